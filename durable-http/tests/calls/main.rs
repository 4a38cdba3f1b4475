//! HTTP calls of orchestrators, against servers on this machine.

mod double;
mod limits;
mod outbound;
mod polling;
mod recorded;
mod redirects;
mod requests;
mod retries;
mod stub;
mod tls;
mod tokens;
