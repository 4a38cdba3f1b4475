//! How long instances are kept once they have ended.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::store::{Header, RuntimeStatus};
use crate::time::Timestamp;

/// How long instances are kept once they have ended, by how that was. Without a time they are kept
/// for ever, and so they are with [`Duration::MAX`]; see [`Retention`].
///
/// ```
/// use std::time::Duration;
/// use durable_core::Keep;
///
/// const DAY: Duration = Duration::from_secs(24 * 3600);
/// let keep = Keep::every(30 * DAY).completed(DAY).terminated(Duration::MAX);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "it is a setting of a hub's retention"]
pub struct Keep {
    every: Option<Duration>,
    by_status: BTreeMap<RuntimeStatus, Duration>,
}

impl Keep {
    /// All of them for ever.
    pub fn new() -> Self {
        Self::default()
    }

    /// All of them for so long, but for those of which something else is said.
    pub fn every(time: Duration) -> Self {
        Self {
            every: Some(time),
            ..Self::default()
        }
    }

    /// Those that have completed, for so long.
    pub fn completed(self, time: Duration) -> Self {
        self.with(RuntimeStatus::Completed, time)
    }

    /// Those that have failed, for so long. One that is begun anew meanwhile is kept; its time
    /// counts from its next end.
    pub fn failed(self, time: Duration) -> Self {
        self.with(RuntimeStatus::Failed, time)
    }

    /// Those that were terminated, for so long.
    pub fn terminated(self, time: Duration) -> Self {
        self.with(RuntimeStatus::Terminated, time)
    }

    fn with(mut self, status: RuntimeStatus, time: Duration) -> Self {
        self.by_status.insert(status, time);
        self
    }

    fn times(&self) -> impl Iterator<Item = Duration> {
        self.by_status.values().copied().chain(self.every)
    }
}

/// How long a hub keeps instances once they have ended: [`TaskHubOptions::retention`](crate::TaskHubOptions::retention).
///
/// What is said of an orchestrator goes before what is said of all, and what is said of a status
/// before what is said of every: so the first that there is of the orchestrator's time for the
/// status, the orchestrator's for every, the hub's for the status, and the hub's for every. Without
/// one the instance is kept for ever. Default: everything is.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use std::time::Duration;
/// use durable_core::{Keep, Retention, TaskHub};
///
/// const DAY: Duration = Duration::from_secs(24 * 3600);
/// let retention = Retention::new(Keep::every(30 * DAY).failed(90 * DAY))
///     .orchestrator("heartbeat", Keep::every(Duration::from_secs(3600)))
///     .orchestrator("invoice", Keep::every(Duration::MAX));
/// let hub = TaskHub::options().retention(retention).open_in_memory().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "it is a setting of a hub"]
pub struct Retention {
    hub: Keep,
    orchestrators: BTreeMap<String, Keep>,
}

impl Retention {
    /// So long, whatever the orchestrator.
    pub fn new(keep: Keep) -> Self {
        Self {
            hub: keep,
            ..Self::default()
        }
    }

    /// So long if the orchestrator has this name, compared byte for byte; said again it replaces what
    /// was said of it.
    pub fn orchestrator(mut self, name: impl Into<String>, keep: Keep) -> Self {
        self.orchestrators.insert(name.into(), keep);
        self
    }

    /// Whether everything is kept for ever.
    pub(crate) fn is_unlimited(&self) -> bool {
        let all = self.orchestrators.values().chain([&self.hub]);
        all.flat_map(Keep::times).all(|time| time == Duration::MAX)
    }

    /// When an instance's time is over; `None`: never, or it has not ended.
    pub(crate) fn due(&self, header: &Header) -> Option<Timestamp> {
        let status = header.status;
        if !status.is_terminal() {
            return None;
        }
        let keeps = self.orchestrators.get(&header.name).into_iter();
        let time = keeps
            .chain([&self.hub])
            .find_map(|keep| keep.by_status.get(&status).copied().or(keep.every))?;
        let time = if planted!(ExpireEarly) {
            time / 2
        } else {
            time
        };
        (time < Duration::MAX).then(|| header.updated.deadline_after(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What it says of an instance that ended at second 100.
    #[track_caller]
    fn check(retention: &Retention, name: &str, status: RuntimeStatus, expected: Option<u64>) {
        let header = Header {
            updated: Timestamp(100_000_000),
            ..Header::of_test(name, status)
        };
        let due = retention.due(&header).map(|due| due.0 / 1_000_000 - 100);
        assert_eq!(due, expected, "{retention:?} {name} {status}");
    }

    #[test]
    fn what_is_most_specific_counts() {
        use RuntimeStatus::{Canceled, Completed, Failed, Running, Suspended, Terminated};

        let keep = Keep::every(seconds(1)).failed(seconds(2));
        let own = Keep::new().completed(seconds(3));
        let retention = Retention::new(keep)
            .orchestrator("own", own.clone())
            .orchestrator("all", Keep::every(seconds(4)).terminated(seconds(5)))
            .orchestrator("ever", Keep::every(Duration::MAX).failed(seconds(0)));
        for (name, status, expected) in [
            ("x", Completed, Some(1)),
            ("x", Failed, Some(2)),
            ("x", Terminated, Some(1)),
            ("x", Canceled, Some(1)),
            ("x", Running, None),
            ("x", Suspended, None),
            ("own", Completed, Some(3)),
            ("own", Failed, Some(2)),
            ("Own", Completed, Some(1)),
            ("all", Failed, Some(4)),
            ("all", Terminated, Some(5)),
            ("ever", Completed, None),
            ("ever", Failed, Some(0)),
        ] {
            check(&retention, name, status, expected);
        }
        assert!(!retention.is_unlimited());
        let retention = Retention::default().orchestrator("own", own);
        check(&retention, "own", Completed, Some(3));
        check(&retention, "own", Failed, None);
        check(&retention, "x", Completed, None);
        assert!(!retention.is_unlimited());
        for unlimited in [
            Retention::default(),
            Retention::default().orchestrator("x", Keep::new().failed(Duration::MAX)),
        ] {
            check(&unlimited, "x", Failed, None);
            assert!(unlimited.is_unlimited());
        }
    }
}
