//! Status and management routes of `durable-core` for any tower service.
