//! For this repository's own harness (`torture/`), not for programs: faults of the store, planted
//! bugs, and the simulator. Nothing here is stable.

mod hook;
mod planted;

pub use hook::{StoreCall, StoreHook};
pub(crate) use planted::is_planted;
pub use planted::{Planted, plant};
