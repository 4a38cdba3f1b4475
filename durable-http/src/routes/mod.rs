//! What is served, route by route: the table in [`table`], what all routes have in common in
//! [`exchange`], and what each does in a file of its own.

mod describe;
mod events;
mod exchange;
mod filter;
mod list;
mod path;
mod purge;
mod restart;
mod start;
mod status;
mod steer;
mod table;
mod wait;

pub(crate) use exchange::{answer, is_under_base};
pub(crate) use path::BasePath;
