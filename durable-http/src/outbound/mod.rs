//! Sending requests: what `call_http` and the client for other services have in common.

pub(crate) mod gate;
pub(crate) mod outgoing;
pub(crate) mod pattern;
pub(crate) mod policy;
pub(crate) mod transport;
pub(crate) mod trust;
