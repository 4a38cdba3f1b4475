//! How far an activity has come, as it says itself.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

use crate::activity::context::ActivityContext;
use crate::activity::extract::{FromActivity, Rejection};
use crate::payload::{Payload, Wire};

/// The most bytes a report may have as JSON: as many as a custom status, since both are shown with
/// every look at the instance.
const MAX_REPORT: usize = 12 * 1024;

/// Where an activity says how far it has come, and reads where the attempt before has got to.
///
/// What is [reported](Self::report) is shown in the [status](crate::OrchestrationStatus::progress) of
/// the instance, and the next attempt, after a failure, a time-out, a crash or
/// [`Poll::again`](crate::Poll::again), can go on from [there](Self::last). It is forgotten when the
/// call ends, however it ends, and is never seen by the orchestrator.
///
/// ```
/// use durable_core::{ActivityContext, Progress, activity};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Done {
///     rows: u64,
/// }
///
/// #[activity]
/// async fn import(progress: Progress, rows: u64) -> Result<u64, String> {
///     let done: Option<Done> = progress.last().map_err(|error| error.to_string())?;
///     for row in done.map_or(0, |done| done.rows)..rows {
///         // ... import this row ...
///         progress.report(&Done { rows: row + 1 }).map_err(|error| error.to_string())?;
///     }
///     Ok(rows)
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// // As a function it can be tested without a hub.
/// let ctx = ActivityContext::for_test();
/// assert_eq!(import(ctx.progress(), 3).await, Ok(3));
/// assert_eq!(ctx.progress().last::<Done>()?.map(|done| done.rows), Some(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Progress {
    ctx: ActivityContext,
}

impl Progress {
    pub(super) fn of(ctx: ActivityContext) -> Self {
        Self { ctx }
    }

    /// Says how far the activity has come; it is a [sign of life](ActivityContext::heartbeat), too.
    ///
    /// It never waits and may be called as often as is convenient: it costs writing the value as
    /// JSON. The newest report counts. It is stored at once if the last one was stored at least half
    /// a second ago, else then; so a call costs at most two commits a second, which it shares with
    /// whatever else is committed. What was not stored when the attempt ends is stored with its end;
    /// only a crash, or a worker that is stopped, loses it.
    ///
    /// Of an attempt whose result nobody waits for any more it does nothing. While an `async` activity
    /// blocks its thread, without waiting for anything, nothing of it is stored.
    ///
    /// # Errors
    ///
    /// [`ReportError`] if it cannot be written as JSON or has more than 12 KiB; then the report before
    /// stays.
    pub fn report<T: Serialize + ?Sized>(&self, progress: &T) -> Result<(), ReportError> {
        let progress = Payload::encode(progress)?;
        if progress.len() > MAX_REPORT {
            return Err(ReportError::TooLarge {
                bytes: progress.len(),
                limit: MAX_REPORT,
            });
        }
        self.ctx.reports().put(progress);
        self.ctx.heartbeat();
        Ok(())
    }

    /// The newest report of this call: of this attempt, if it has reported, else what the attempts
    /// before have left; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it is of another shape than `T`, say of an older version of the code.
    pub fn last<T: Wire>(&self) -> Result<Option<T>, Rejection> {
        let last = self.ctx.reports().last();
        let last = last.as_ref().map(Payload::decode).transpose();
        last.map_err(|error| Rejection::new(format!("the last report of progress: {error}")))
    }
}

impl FromActivity for Progress {
    fn from_activity(ctx: &ActivityContext) -> Result<Self, Rejection> {
        Ok(ctx.progress())
    }
}

/// Why a report of [`Progress`] was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It cannot be written as JSON.
    #[error("the report cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It has too many bytes as JSON.
    #[error("a report of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
}

/// What an attempt has reported. Only the newest is kept, so there is nothing to wait for.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    newest: Mutex<Newest>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Newest {
    report: Option<Payload>,
    /// Nobody was told of it.
    is_news: bool,
    /// The attempt has ended, and nothing is heard of it any more.
    over: bool,
}

impl Reports {
    /// Of an attempt that goes on from this.
    pub(crate) fn after(last: Option<Payload>) -> Arc<Self> {
        let newest = Newest {
            report: last,
            ..Newest::default()
        };
        Arc::new(Self {
            newest: Mutex::new(newest),
            news: Notify::new(),
        })
    }

    fn newest<R>(&self, f: impl FnOnce(&mut Newest) -> R) -> R {
        f(&mut self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, report: Payload) {
        let heard = self.newest(|newest| {
            if !newest.over {
                newest.report = Some(report);
                newest.is_news = true;
            }
            newest.is_news
        });
        if heard {
            self.news.notify_one();
        }
    }

    fn last(&self) -> Option<Payload> {
        self.newest(|newest| newest.report.clone())
    }

    /// Waits for a report that was not given out yet.
    pub(crate) async fn next(&self) -> Payload {
        loop {
            if let Some(news) = self.newest(Newest::take) {
                return news;
            }
            self.news.notified().await;
        }
    }

    /// The attempt has ended: what was not given out yet. Nothing is heard of it from now on.
    pub(crate) fn close(&self) -> Option<Payload> {
        self.newest(|newest| {
            newest.over = true;
            newest.take()
        })
    }
}

impl Newest {
    fn take(&mut self) -> Option<Payload> {
        let is_news = std::mem::replace(&mut self.is_news, false);
        self.report.clone().filter(|_| is_news)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn number(report: Option<Payload>) -> Option<u32> {
        report.map(|report| report.decode().expect("a number"))
    }

    fn next(reports: &Reports) -> Option<u32> {
        number(reports.next().now_or_never())
    }

    #[test]
    fn the_newest_report_is_given_out_once() {
        let one = |n: u32| Payload::encode(&n).expect("JSON");
        let reports = Reports::after(Some(one(7)));
        assert_eq!((next(&reports), number(reports.last())), (None, Some(7)));
        for n in 1..=3 {
            reports.put(one(n));
        }
        assert_eq!((next(&reports), next(&reports)), (Some(3), None));
        reports.put(one(4));
        assert_eq!(number(reports.close()), Some(4));
        reports.put(one(5));
        assert_eq!((next(&reports), number(reports.close())), (None, None));
        assert_eq!(number(reports.last()), Some(4));
    }

    #[test]
    fn a_report_that_is_not_taken_leaves_the_one_before() {
        let progress = ActivityContext::for_test().progress();
        progress.report("x").expect("it is short");
        for (bytes, fits) in [(MAX_REPORT - 2, true), (MAX_REPORT - 1, false)] {
            // As JSON it has two quotes.
            let reported = progress.report(&"y".repeat(bytes));
            assert_eq!(reported.is_ok(), fits, "{reported:?}");
        }
        let unwritable = std::collections::BTreeMap::from([((1, 2), 3)]);
        let refused = progress.report(&unwritable);
        assert!(matches!(refused, Err(ReportError::Json(_))), "{refused:?}");
        let last: Option<String> = progress.last().expect("text");
        assert_eq!(last.map(|last| last.len()), Some(MAX_REPORT - 2));
        assert!(progress.last::<u32>().is_err());
    }
}
