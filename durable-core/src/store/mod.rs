//! Where histories live.

mod error;
pub(crate) mod kv;

pub use error::{OpenError, StoreError};
