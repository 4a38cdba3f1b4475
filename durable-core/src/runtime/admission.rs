//! Who is let in: what clients have under way is bounded, in number and in bytes.
//!
//! A request takes part of a bound until it is answered, and so do all of its traces in memory:
//! in the inbox, in a mailbox, in a commit that waits. At the bound callers wait, and are refused
//! if that takes too long.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::HubError;
use crate::id::InstanceId;
use crate::replay::catch;

/// A request takes as many of these as its payload has, and at least one.
const UNIT: usize = 4 * 1024;
/// 16,384 requests, or 64 MiB.
const UNITS: usize = 16 * 1024;
/// Instances share lanes by their ids, and no lane may have more than this share of all. So whoever
/// floods one instance holds up few others.
const LANES: usize = 64;
const SHARE_OF_LANE: usize = 8;
/// Reading takes the cores and the disk from what goes on.
const READERS: usize = 2;
/// What those are told who are refused sooner than that.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// The bounds, and how long to wait at them.
#[derive(Debug)]
pub(super) struct Admission {
    all: Arc<Semaphore>,
    lanes: [Arc<Semaphore>; LANES],
    /// Those that read beside the engine.
    readers: Arc<Semaphore>,
    /// The most that one request can take.
    units_of_lane: usize,
    patience: Duration,
}

/// A request's part of the bounds; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    _lane: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(max_payload: usize, patience: Duration) -> Self {
        let largest = max_payload.div_ceil(UNIT);
        let units_of_lane = largest.max(UNITS / SHARE_OF_LANE);
        Self {
            all: Arc::new(Semaphore::new(largest.max(UNITS))),
            readers: Arc::new(Semaphore::new(READERS)),
            lanes: std::array::from_fn(|_| Arc::new(Semaphore::new(units_of_lane))),
            units_of_lane,
            patience,
        }
    }

    /// Lets in a request about this instance with so many bytes of payload, once there is room.
    pub(super) async fn admit(&self, id: &InstanceId, bytes: usize) -> Result<Admitted, HubError> {
        let lane = crc32fast::hash(id.as_str().as_bytes()) as usize % LANES;
        let lane = &self.lanes[lane];
        let units = bytes.div_ceil(UNIT).clamp(1, self.units_of_lane);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        if let Ok(lane) = Arc::clone(lane).try_acquire_many_owned(units)
            && let Ok(all) = Arc::clone(&self.all).try_acquire_many_owned(units)
        {
            return Ok(Admitted {
                _lane: lane,
                _all: all,
            });
        }
        self.patiently(self.wait(lane, units)).await
    }

    /// Lets in one that reads beside the engine.
    pub(super) async fn admit_reader(&self) -> Result<OwnedSemaphorePermit, HubError> {
        let turn = Arc::clone(&self.readers).acquire_owned();
        self.patiently(async { turn.await.map_err(|_| HubError::Closed) })
            .await
    }

    /// Waits for those that read, and lets no more in.
    pub(super) async fn end_readers(&self) {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        // It may have been closed before.
        let _all = self.readers.acquire_many(all).await;
        self.readers.close();
    }

    async fn patiently<T>(
        &self,
        admitted: impl Future<Output = Result<T, HubError>>,
    ) -> Result<T, HubError> {
        tokio::select! {
            biased;
            admitted = admitted => admitted,
            () = patience(self.patience) => Err(HubError::Overloaded {
                retry_after: self.patience.max(SHORTEST_RETRY),
            }),
        }
    }

    async fn wait(&self, lane: &Arc<Semaphore>, units: u32) -> Result<Admitted, HubError> {
        // They are never closed.
        let lane = Arc::clone(lane).acquire_many_owned(units).await;
        let all = Arc::clone(&self.all).acquire_many_owned(units).await;
        match (lane, all) {
            (Ok(lane), Ok(all)) => Ok(Admitted {
                _lane: lane,
                _all: all,
            }),
            _ => Err(HubError::Closed),
        }
    }
}

/// Ends after so long; never where there are no timers, for clients need no runtime.
async fn patience(patience: Duration) {
    if Handle::try_current().is_ok()
        && let Ok(timer) = catch(|| tokio::time::sleep(patience))
    {
        timer.await;
    } else {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn id(id: usize) -> InstanceId {
        InstanceId::new(format!("i{id}")).expect("valid")
    }

    fn admission(max_payload: usize) -> Admission {
        Admission::new(max_payload, Duration::from_secs(5))
    }

    /// How many requests of this size are let in at once.
    fn room(admission: &Admission, bytes: usize, ids: usize) -> usize {
        let mut admitted = Vec::new();
        while let Some(one) = admission
            .admit(&id(admitted.len() % ids), bytes)
            .now_or_never()
        {
            admitted.push(one.expect("let in"));
        }
        admitted.len()
    }

    #[test]
    fn number_and_bytes_are_bounded_and_given_back() {
        let admission = admission(2 << 20);
        for _ in 0..2 {
            // No request waits for ever, also if a lane is full before all is.
            assert!((10_000..=16_384).contains(&room(&admission, 0, 100_000)));
            assert!((20..=32).contains(&room(&admission, 2 << 20, 1_000)));
        }
    }

    #[test]
    fn one_instance_leaves_room_for_others() {
        let admission = admission(2 << 20);
        let flood: Vec<_> =
            std::iter::from_fn(|| admission.admit(&id(0), 0).now_or_never()).collect();
        assert_eq!(flood.len(), UNITS / SHARE_OF_LANE);
        let other =
            (1..100).filter(|other| admission.admit(&id(*other), 0).now_or_never().is_some());
        assert!(other.count() > 90);
    }

    #[test]
    fn the_largest_payload_is_let_in() {
        let admission = admission(64 << 20);
        assert_eq!(room(&admission, 64 << 20, 1), 1);
        assert_eq!(room(&admission, 65 << 20, 1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_is_told_when_to_come_again() {
        let admission = admission(2 << 20);
        let _flood: Vec<_> =
            std::iter::from_fn(|| admission.admit(&id(0), 0).now_or_never()).collect();
        let refused = admission.admit(&id(0), 0).await;
        let Err(HubError::Overloaded { retry_after }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(retry_after, Duration::from_secs(5));
    }

    #[test]
    fn without_timers_there_is_no_limit_to_waiting() {
        let admission = admission(2 << 20);
        let mut flood: Vec<_> =
            std::iter::from_fn(|| admission.admit(&id(0), 0).now_or_never()).collect();
        let without = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let flooded = id(0);
        let mut waits = Box::pin(admission.admit(&flooded, 0));
        assert!(waits.as_mut().now_or_never().is_none());
        assert!(
            without
                .block_on(async { futures_util::poll!(&mut waits) })
                .is_pending()
        );
        flood.pop();
        assert!(
            waits
                .now_or_never()
                .is_some_and(|admitted| admitted.is_ok())
        );
    }
}
