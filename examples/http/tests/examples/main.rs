//! The programs that serve, as processes that are asked over sockets, and killed.

mod async_http_api;
mod call_for_speakers;
mod http_host;
mod server;
