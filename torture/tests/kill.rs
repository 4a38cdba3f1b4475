//! The real thing, in small: processes killed on a real directory.

use std::process::Command;

#[test]
fn a_dozen_kills_lose_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_durable-torture"))
        .args(["kill", "--rounds", "15", "--seed", "1", "--instances", "8"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    assert!(
        said.contains("rounds=15 ")
            && said.contains(" lost=0 duplicated=0 changed=0 refused=0 broken=0 "),
        "{said}"
    );
    // Some of them where the store is called.
    assert!(!said.contains("at_a_moment=15,"), "{said}");
}

#[test]
fn what_it_is_not_told_is_explained() {
    let output = Command::new(env!("CARGO_BIN_EXE_durable-torture"))
        .arg("kil")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaints.contains("usage: durable-torture COMMAND"),
        "{complaints}"
    );
}
