//! The management API, asked as a client asks.

mod access;
mod bodies;
mod helpers;
mod links;
mod listing;
mod mounted;
mod paths;
mod poison;
mod unavailable;
mod wire;
mod world;
