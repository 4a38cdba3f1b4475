use durable_core::{State, activity};

#[derive(Clone)]
struct Bank;

type Db = State<Bank>;

// The attribute sees a name it does not know, and takes it for an input: `#[extract]` is missing.
#[activity]
async fn charge(_db: Db) {}

fn main() {}
