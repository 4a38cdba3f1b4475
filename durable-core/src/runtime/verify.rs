//! The full check of a hub, on a thread of its own beside everything else.

#[cfg(test)]
mod tests;

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::HubError;
use super::hub::Shared;
use super::shell::ToEngine;
use crate::store::{Store, StoreError, Verification};

/// A full check about to be made: await it. See [`TaskHub::verify`](crate::TaskHub::verify).
#[must_use = "nothing is checked until this is awaited"]
#[derive(Debug)]
pub struct Verify {
    shared: Arc<Shared>,
    bytes_per_second: Option<u64>,
}

impl Verify {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            bytes_per_second: None,
        }
    }

    /// Reads no more than so many bytes a second, at least 1, so that the check can go on in the
    /// background for hours. (Everything is read about three times.) Default: as fast as it can be
    /// read.
    pub fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.bytes_per_second = Some(bytes.max(1));
        self
    }

    async fn run(self) -> Result<Verification, HubError> {
        let Self {
            shared,
            bytes_per_second,
        } = self;
        let _turn = shared.verifying.lock().await;
        let (done, is_done) = oneshot::channel();
        let (stop, stopped) = channel();
        let stop = StopOnDrop(stop);
        let order = Order {
            bytes_per_second,
            done,
            stop: stop.0.clone(),
            stopped,
        };
        let sent = shared.inbox.send(ToEngine::Verify(order));
        sent.map_err(|_| shared.why_closed())?;
        let verified = is_done.await.map_err(|_| shared.why_closed())?;
        verified.or_else(|error| {
            // That the store is closed is not why.
            shared.condition.check_open()?;
            Err(HubError::Store(error))
        })
    }
}

impl IntoFuture for Verify {
    type Output = Result<Verification, HubError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Ends the check when nobody waits for it any more.
struct StopOnDrop(Sender<()>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.send(());
    }
}

/// What the engine's thread, which has the store, is asked for.
pub(super) struct Order {
    bytes_per_second: Option<u64>,
    done: oneshot::Sender<Result<Verification, StoreError>>,
    stop: Sender<()>,
    stopped: Receiver<()>,
}

/// The thread of the last check, if there was one.
#[derive(Default)]
pub(super) struct Verifier(Option<(Sender<()>, JoinHandle<()>)>);

impl Verifier {
    /// Begins a check. One that still runs is not waited for by anybody.
    pub(super) fn begin<S: Store>(&mut self, store: &Arc<S>, order: Order) {
        self.end();
        let Order {
            bytes_per_second,
            done,
            stop,
            stopped,
        } = order;
        let store = Arc::clone(store);
        let verify = move || {
            let pause = &mut |bytes| pause(bytes, bytes_per_second, &stopped);
            // Nobody may wait for it any more.
            drop(done.send(store.verify(pause)));
        };
        let thread = std::thread::Builder::new().name("durable-verify".into());
        match thread.spawn(verify) {
            Ok(thread) => self.0 = Some((stop, thread)),
            // Whoever waits is told that it has ended.
            Err(error) => tracing::error!(%error, "no thread for the check"),
        }
    }

    /// Ends the check that runs, if one does.
    pub(super) fn end(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            let _ = stop.send(());
            drop(thread.join());
        }
    }
}

/// Gives way to commits, for as long as the pace demands.
fn pause(
    bytes: u64,
    bytes_per_second: Option<u64>,
    stopped: &Receiver<()>,
) -> Result<(), StoreError> {
    /// Long enough for who waits for a lock to get it.
    const LEAST: Duration = Duration::from_micros(50);
    let wait = bytes_per_second.map_or(LEAST, |pace| {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(pace);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(LEAST)
    });
    match stopped.recv_timeout(wait) {
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            Err(StoreError::fatal("the check was stopped"))
        }
    }
}
