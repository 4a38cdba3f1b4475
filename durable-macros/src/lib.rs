//! The attributes of `durable-core`.
