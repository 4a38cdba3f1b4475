//! What is served, route by route: the table in [`table`], what all routes have in common in
//! [`exchange`], and what each does in a file of its own.

mod exchange;
mod path;
mod start;
mod status;
mod steer;
mod table;

pub(crate) use exchange::{answer, is_under_base};
pub(crate) use path::BasePath;
