//! The thread on which a hub is compacted or backed up.

use std::sync::Arc;

use crate::store::CopyError;

/// Runs a copy on a thread of its own.
pub(super) fn spawn(copy: impl FnOnce() + Send + 'static) -> Result<(), CopyError> {
    let thread = std::thread::Builder::new().name("durable-copy".into());
    match thread.spawn(copy) {
        // Closing the hub ends the copy and waits for it.
        Ok(_) => Ok(()),
        Err(error) => Err(CopyError::Io {
            path: "a thread for the copy".into(),
            source: Arc::new(error),
        }),
    }
}
