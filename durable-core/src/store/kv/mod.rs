//! The store over an embedded key-value engine.

pub(crate) mod backend;
#[cfg(test)]
pub(crate) mod backend_conformance;
pub(crate) mod sled;
