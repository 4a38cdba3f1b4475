//! The management API, asked as a client asks.

mod access;
mod bodies;
mod conformance;
mod events;
mod fuzz;
mod helpers;
mod history;
mod links;
mod listing;
mod mounted;
mod paths;
mod poison;
mod restart;
mod served;
mod threats;
mod unavailable;
mod waiting;
mod wire;
mod world;
