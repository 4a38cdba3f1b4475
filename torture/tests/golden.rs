//! The hubs of every version of the format that are kept in the repository.

use std::process::Command;

#[test]
fn every_hub_that_is_kept_opens_and_goes_on() {
    let output = Command::new(env!("CARGO_BIN_EXE_durable-torture"))
        .arg("golden")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaints}");
    assert!(
        said.contains("golden: hubs=2 instances=64 wrong=0"),
        "{said}"
    );
}
