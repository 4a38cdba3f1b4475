//! Which part of the crate may know which: the arrows of `ARCHITECTURE.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// No file of `part` may have one of these words in its code.
#[test]
fn parts_know_only_what_they_may() {
    check(
        "history",
        &[
            "crate::engine",
            "crate::store",
            "crate::runtime",
            "crate::replay",
            "tokio",
            "sled",
        ],
    );
    check(
        "replay",
        &[
            "crate::engine",
            "crate::store",
            "crate::runtime",
            "use tokio",
            "sled",
            "SystemTime::now",
        ],
    );
    check(
        "engine",
        &[
            "crate::runtime",
            "tokio",
            "sled",
            "std::thread",
            "SystemTime",
            "Instant::now",
        ],
    );
    check("store", &["crate::engine", "crate::runtime", "use tokio"]);
    check(
        "activity",
        &[
            "crate::engine",
            "crate::store",
            "crate::runtime",
            "crate::history",
        ],
    );
}

#[test]
fn only_its_own_module_names_sled() {
    for file in sources(&source_directory()) {
        let allowed = file.components().any(|part| part.as_os_str() == "sled")
            // Choosing the store.
            || file.ends_with("runtime/hub.rs")
            || file.ends_with("store/kv/mod.rs");
        assert!(
            allowed || !code(&file).contains("sled::"),
            "{}",
            file.display()
        );
    }
}

#[test]
fn only_the_clock_reads_the_time() {
    for file in sources(&source_directory()) {
        let allowed = file.ends_with("runtime/clock.rs") || file.ends_with("store/kv/sled/mod.rs");
        let code = code(&file);
        let reads = code.contains("SystemTime::now") || code.contains("Instant::now");
        assert!(allowed || !reads, "{}", file.display());
    }
}

#[track_caller]
fn check(part: &str, forbidden: &[&str]) {
    let files = sources(&source_directory().join(part));
    assert!(!files.is_empty(), "there is no part {part}");
    for file in files {
        let code = code(&file);
        for word in forbidden {
            assert!(!code.contains(word), "{} names `{word}`", file.display());
        }
    }
}

fn source_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The source files below a directory, without those that are tests only.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if matches!(
            name,
            "tests" | "simulation" | "conformance" | "backend_conformance"
        ) {
            continue;
        }
        if path.is_dir() {
            files.extend(sources(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// A file's code: no comments, no tests at its end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("text");
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let line = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
