//! The real thing, in small, where there are root and loop devices: the power of a file system is
//! cut.

use std::process::Command;

#[test]
fn a_cut_loses_nothing_and_without_a_sync_it_does() {
    let output = Command::new(env!("CARGO_BIN_EXE_durable-torture"))
        .args(["powercut", "--rounds", "2", "--seed", "1"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    if said.contains("skipped=") {
        assert!(
            complaints.contains("power cuts are skipped"),
            "{complaints}"
        );
        return;
    }
    assert!(said.contains("rounds=2 "), "{said}");
    assert!(
        said.contains(" lost=0 duplicated=0 changed=0 refused=0 broken=0 "),
        "{said}"
    );
    let control = said.split("control_lost=").nth(1).unwrap_or_default();
    assert!(!control.starts_with("0 "), "{said}");
}
