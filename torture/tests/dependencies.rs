//! What `deny.toml` says of licences and sources, also where `cargo deny` is not installed.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;
use spdx::{Expression, ParseMode};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
    allow_git: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
}

#[derive(Clone, Deserialize)]
struct Package {
    id: String,
    name: String,
    license: Option<String>,
    source: Option<String>,
}

#[test]
fn every_dependency_is_under_a_licence_of_the_list() {
    let deny = deny();
    for package in metadata().packages {
        assert_eq!(licence_problem(&deny.licenses, &package), None);
    }
}

#[test]
fn every_dependency_is_from_the_registry_or_of_this_workspace() {
    let metadata = metadata();
    for package in &metadata.packages {
        assert_eq!(source_problem(&metadata.workspace_members, package), None);
    }
    let sources = deny().sources;
    let allowed = |registry: &String| CRATES_IO == format!("registry+{registry}");
    assert!(sources.allow_registry.iter().all(allowed) && sources.allow_git.is_empty());
}

#[test]
fn every_exception_is_needed() {
    let mut deny = deny();
    let exceptions = std::mem::take(&mut deny.licenses.exceptions);
    let packages: BTreeMap<_, _> = metadata()
        .packages
        .into_iter()
        .map(|package| (package.name.clone(), package))
        .collect();
    for Exception { name, .. } in exceptions {
        let package = packages
            .get(&name)
            .unwrap_or_else(|| panic!("{name} is not used"));
        assert!(licence_problem(&deny.licenses, package).is_some(), "{name}");
    }
}

#[test]
fn who_only_serves_compiles_neither_a_client_nor_tls() {
    let client = ["hyper", "hyper-rustls", "ring", "rustls", "url"];
    let has = |package: &[&str]| {
        let tree = tree(package);
        client.map(|name| tree.iter().any(|used| used == name))
    };
    assert_eq!(has(&["-p", "durable-http"]), [false; 5]);
    assert_eq!(has(&["-p", "durable-examples"]), [false; 5]);
    assert_eq!(
        has(&["-p", "durable-http", "--features", "client"]),
        [true; 5]
    );
}

#[test]
fn what_is_not_allowed_is_found() {
    let deny = deny();
    let package = |license: Option<&str>, source: Option<&str>| Package {
        id: "id".to_owned(),
        name: "new".to_owned(),
        license: license.map(str::to_owned),
        source: source.map(str::to_owned),
    };
    for license in [
        None,
        Some("GPL-3.0-only"),
        Some("MIT AND MPL-2.0"),
        Some("BSD-3-Clause"),
        Some("no licence at all"),
    ] {
        let package = package(license, None);
        assert!(
            licence_problem(&deny.licenses, &package).is_some(),
            "{license:?}"
        );
    }
    for source in [None, Some("git+https://github.com/someone/fork#1234")] {
        let package = package(None, source);
        assert!(source_problem(&[], &package).is_some(), "{source:?}");
    }
    let fine = package(Some("MIT/Apache-2.0 OR GPL-3.0"), Some(CRATES_IO));
    assert_eq!(licence_problem(&deny.licenses, &fine), None);
    assert_eq!(source_problem(&[], &fine), None);
}

fn licence_problem(list: &Licenses, package: &Package) -> Option<String> {
    let Package { name, license, .. } = package;
    let Some(license) = license else {
        return Some(format!("{name} does not say its licence"));
    };
    let expression = match Expression::parse_mode(license, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("{name}: {license}: {error}")),
    };
    let allowed_for_it = list
        .exceptions
        .iter()
        .filter(|exception| exception.name == *name)
        .flat_map(|exception| &exception.allow);
    let allowed: Vec<_> = list.allow.iter().chain(allowed_for_it).collect();
    let fits = expression.evaluate(|wanted| allowed.contains(&&wanted.to_string()));
    (!fits).then(|| format!("{name} is under {license}; deny.toml allows {allowed:?}"))
}

fn source_problem(workspace: &[String], package: &Package) -> Option<String> {
    let fits = match &package.source {
        Some(source) => source == CRATES_IO,
        None => workspace.contains(&package.id),
    };
    (!fits).then(|| format!("{} comes from {:?}", package.name, package.source))
}

fn deny() -> Deny {
    let text = std::fs::read_to_string(format!("{ROOT}/deny.toml")).expect("it is there");
    toml::from_str(&text).expect("it is TOML")
}

fn metadata() -> Metadata {
    let output = cargo(&["metadata", "--format-version", "1", "--all-features"]);
    serde_json::from_slice(&output).expect("it says what it promises")
}

/// The names of what is compiled for a package and its features.
fn tree(package: &[&str]) -> Vec<String> {
    let all = [
        "tree", "--edges", "normal", "--prefix", "none", "--format", "{p}",
    ];
    let output = cargo(&[&all, package].concat());
    let output = String::from_utf8(output).expect("it is text");
    let name = |line: &str| line.split(' ').next().map(str::to_owned);
    output.lines().filter_map(name).collect()
}

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--locked")
        .current_dir(ROOT)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}
