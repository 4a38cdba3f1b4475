use durable_core::activity;

// There is nothing to allow: an activity may do anything.
#[activity(allow_nondeterminism = "it reads a file")]
async fn charge() {}

fn main() {}
