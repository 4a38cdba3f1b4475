//! One file per mistake, with what the compiler says about it. The mistake is named by the file.

#[test]
fn every_mistake_has_one_message() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
