//! The store over an embedded key-value engine.

pub(crate) mod backend;
