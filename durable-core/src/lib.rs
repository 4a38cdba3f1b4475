//! Durable orchestrations embedded in your process.

mod store;

pub use store::{OpenError, StoreError};
