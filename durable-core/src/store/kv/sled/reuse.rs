//! Keeps sled from writing over a segment of its file before what has replaced it is durable.
//!
//! A segment is free for sled once all that was in it is elsewhere in the log, and that is "stable";
//! but what sled takes for stable on Linux was only handed to `sync_file_range`, which makes nothing
//! durable that needs a change of the file's metadata. So after a power cut the old bytes can be gone,
//! written over in place, and the new ones too, which lay behind the old end of the file: data that was
//! synced long ago is lost. (A power-cut run found it: commits of several segments between two syncs,
//! and sled's own moving of pages, do it within milliseconds.)
//!
//! sled frees segments in closures deferred through `crossbeam_epoch`, of which there is one per
//! process, and such a closure runs only when everybody who was pinned when it was deferred has let go.
//! So a thread of ours stays pinned from one sync to the next.
//!
//! It is pinned twice, and each of the two pins is renewed after every other sync: a closure that is
//! deferred *during* a sync, which may not have covered what it is about, then waits for the end of the
//! next one, too.
//!
//! Others in the process defer what they free in the same way, other hubs among them, and must not
//! wait for commits that do not come: so without any the thread syncs by itself, as often as sled's own
//! does.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crossbeam_epoch::{Guard, LocalHandle, default_collector};

/// How long it waits for a commit to sync.
const PATIENCE: Duration = Duration::from_millis(500);

/// Open for a moment after each sync; for good when it is dropped.
#[derive(Debug)]
pub(super) struct ReuseGate(SyncSender<()>);

impl ReuseGate {
    /// Nothing that sled has written from now on makes it reuse a segment. `sync` makes the file
    /// durable; should it fail, the gate stays closed.
    pub(super) fn close(sync: impl Fn() -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (synced, syncs) = sync_channel(1);
        let (closed, is_closed) = sync_channel(1);
        thread::Builder::new()
            .name("durable-sled-gate".to_owned())
            .spawn(move || {
                let pins: [LocalHandle; 2] =
                    std::array::from_fn(|_| default_collector().register());
                let mut guards = pins.each_ref().map(LocalHandle::pin);
                // Whoever waits for it is told the truth, or is gone.
                let _ = closed.send(());
                hold(&mut guards, &syncs, sync);
            })?;
        match is_closed.recv() {
            Ok(()) => Ok(Self(synced)),
            Err(_) => Err(io::Error::other("a thread ended before it began")),
        }
    }

    /// Everything that sled had written when a sync began is durable, and it has ended.
    pub(super) fn synced(&self) {
        match self.0.try_send(()) {
            // One that is not noticed only puts off the reuse.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }
}

fn hold(guards: &mut [Guard; 2], syncs: &Receiver<()>, sync: impl Fn() -> io::Result<()>) {
    let mut failed = false;
    loop {
        match syncs.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => failed = failed || sync().is_err(),
        }
        if !failed {
            guards[0].repin();
            guards.swap(0, 1);
        }
    }
}
