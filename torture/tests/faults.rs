//! A few of the faults, in real processes.

use std::process::Command;

#[test]
fn faults_at_the_seam_lose_nothing() {
    let output = Command::new(env!("CARGO_BIN_EXE_durable-torture"))
        .args(["faults", "--only", "-9-eio"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    assert!(
        said.contains("faults: cases=8 kept=8 violated=0 skipped=0 "),
        "{said}"
    );
}
