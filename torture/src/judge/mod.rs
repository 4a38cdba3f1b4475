//! Judges what children say: every line by what was said before, by this child or those before it.

mod events;
mod instance;
mod journal;
mod model;
mod tally;
#[cfg(test)]
mod tests;

pub(crate) use self::journal::Journal;
pub(crate) use self::model::{Breach, Model};
pub(crate) use self::tally::Tally;
