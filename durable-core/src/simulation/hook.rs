//! Where a harness takes hold of a store.

use std::io;

/// A call into the embedded engine under the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreCall {
    /// One value is read.
    Get,
    /// A range is read.
    Scan,
    /// A commit is applied.
    Apply,
    /// What was applied is made durable.
    Sync,
    /// The files are let go of.
    Close,
}

/// Told of every call, and able to make it fail, take long, or never return.
pub trait StoreHook: std::fmt::Debug + Send + Sync {
    /// Before the call is made. An error is returned instead of making it.
    ///
    /// # Errors
    ///
    /// What the operating system is to have said.
    fn before(&self, call: StoreCall) -> io::Result<()>;

    /// What the store is told of the bytes that are free on its file system, of which there are
    /// `measured`.
    fn free_space(&self, measured: u64) -> u64 {
        measured
    }

    /// After the call has succeeded. An error is returned although it has.
    ///
    /// # Errors
    ///
    /// What the operating system is to have said.
    fn after(&self, call: StoreCall) -> io::Result<()> {
        let _ = call;
        Ok(())
    }
}
