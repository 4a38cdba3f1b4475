//! For this repository's own harness (`torture/`), not for programs: faults of the store, planted
//! bugs, and the simulator. Nothing here is stable.
//!
//! # The simulator
//!
//! The engine, its store and the world around it run on one thread, under one seed. Time is
//! virtual, the store forgets what was not synced, every call into it may fail, and the process may
//! die between any two moves. Orchestrations are made at random (`program`) or by hand
//! (`scenario`). An auditor that knows what was promised, not how the engine works, looks at
//! everything that leaves the engine, and at all that is stored. A failure names its seed, and is
//! shrunk.

#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::match_bool,
    reason = "a harness names what it expects, anything else fails the run; choices are tables"
)]

mod auditor;
mod follower;
mod hook;
mod lives;
mod plan;
mod planted;
mod process;
mod program;
mod residents;
mod run;
mod scenario;
mod sweep;
#[cfg(test)]
mod tests;
mod world;

pub use hook::{StoreCall, StoreHook};
#[cfg(feature = "simulation")]
pub(crate) use planted::is_planted;
pub use planted::{Planted, plant};
pub use residents::{Residents, Shape};
pub use run::{Exhausted, Failure, Figures, exhaust, scenarios, simulate};
