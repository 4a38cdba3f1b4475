//! Runs activities on the user's tokio runtime.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use super::inbox::Inbox;
use super::queues::Queues;
use super::shell::{Permit, Reply, ToEngine};
use crate::activity::{ActivityContext, Attempt, Attempted, Occupied, Reports, States};
use crate::engine::{ActivityKey, Dispatch, Input, Reported, WorkerId};
use crate::failure::{FailureDetails, FailureKind};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::{Panicked, catch};

/// What a commit sends to the worker.
#[derive(Debug)]
pub(super) enum ToWorker {
    Run(Dispatch),
    Cancel(ActivityKey),
}

/// Where jobs go: to the worker that runs, if one does.
///
/// The channel has no bound of its own: what is in it was scheduled durably, and is in the engine's
/// memory anyway.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs(Arc<Mutex<Place>>);

#[derive(Debug, Default)]
struct Place {
    worker: Option<UnboundedSender<Vec<ToWorker>>>,
    /// Of the worker that runs, or ran last.
    id: WorkerId,
}

impl Jobs {
    fn place<R>(&self, f: impl FnOnce(&mut Place) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends jobs to the worker they are meant for. If that is gone they are dropped: the engine
    /// knows of its stop and dispatches again.
    pub(super) fn send(&self, mut jobs: Vec<ToWorker>) {
        let (worker, id) = self.place(|place| (place.worker.clone(), place.id));
        // Not under the lock: an inline step may hold anything, with any destructor.
        jobs.retain(|job| !matches!(job, ToWorker::Run(dispatch) if dispatch.worker != id));
        if let Some(worker) = worker {
            drop(worker.send(jobs));
        }
    }

    /// Takes jobs from now on, under a new id; `None` if another worker does.
    pub(super) fn take(&self) -> Option<(WorkerId, UnboundedReceiver<Vec<ToWorker>>)> {
        self.place(|place| {
            if place.worker.is_some() {
                return None;
            }
            let (sender, receiver) = mpsc::unbounded_channel();
            place.worker = Some(sender);
            place.id += 1;
            Some((place.id, receiver))
        })
    }

    pub(super) fn release(&self) {
        let worker = self.place(|place| place.worker.take());
        drop(worker);
    }
}

/// The shortest time between two reports of one attempt that are stored.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// What runs activities.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) id: WorkerId,
    pub(super) registry: Arc<Registry>,
    pub(super) states: States,
    pub(super) hub: u64,
    pub(super) inbox: Inbox,
    /// At most so many attempts run at once; closed when the worker drains.
    pub(super) slots: Arc<Semaphore>,
    /// And at most so many of these activities.
    pub(super) limits: BTreeMap<&'static str, usize>,
    /// Told when an attempt at one of those has ended.
    pub(super) freed: Arc<Notify>,
    pub(super) max_payload: usize,
    /// The attempts that run.
    pub(super) tokens: Mutex<BTreeMap<ActivityKey, CancellationToken>>,
    pub(super) tracker: TaskTracker,
    /// Fires when nothing new is begun.
    pub(super) draining: CancellationToken,
    /// Fires when nothing may run any more.
    pub(super) stop: CancellationToken,
}

/// One of the attempts that may run at once, until the last holder of it lets go: the attempt, its
/// answer on the way to the engine, and a thread that a synchronous one blocks.
pub(crate) type Slot = Arc<Occupied>;

impl Runner {
    /// Takes jobs until the worker stops or the hub is gone; then nothing may run any more.
    pub(super) async fn run(self: Arc<Self>, mut jobs: UnboundedReceiver<Vec<ToWorker>>) {
        let mut waiting = Queues::new(&self.limits);
        loop {
            tokio::select! {
                biased;
                jobs = jobs.recv() => match jobs {
                    Some(jobs) => jobs.into_iter().for_each(|job| self.take(job, &mut waiting)),
                    None => break,
                },
                slot = Arc::clone(&self.slots).acquire_owned(), if waiting.can_begin() => {
                    self.begin(slot.ok(), &mut waiting);
                }
                // Then there may be one that can begin.
                () = self.freed.notified(), if !waiting.is_empty() && !waiting.can_begin() => {}
            }
        }
        self.stop.cancel();
        discard_all(&mut waiting);
    }

    fn take(&self, job: ToWorker, waiting: &mut Queues) {
        match job {
            ToWorker::Run(dispatch) => waiting.push(dispatch),
            ToWorker::Cancel(key) => match waiting.remove(&key) {
                Some(dispatch) => discard(dispatch),
                None => self.cancel(&key),
            },
        }
    }

    /// Begins as many attempts as there are slots, the first of which is at hand; none any more if
    /// there are no slots. Then the next worker makes them.
    fn begin(self: &Arc<Self>, first: Option<OwnedSemaphorePermit>, waiting: &mut Queues) {
        let Some(first) = first else {
            return discard_all(waiting);
        };
        let mut free = Some(first);
        while let Some(slot) = free
            && let Some((dispatch, own)) = waiting.pop()
        {
            let own = own.map(|own| (own, Arc::clone(&self.freed)));
            self.spawn(dispatch, Arc::new(Occupied::new(slot, own)));
            free = if waiting.can_begin() {
                Arc::clone(&self.slots).try_acquire_owned().ok()
            } else {
                None
            };
        }
    }

    fn tokens<R>(&self, f: impl FnOnce(&mut BTreeMap<ActivityKey, CancellationToken>) -> R) -> R {
        f(&mut self.tokens.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn cancel(&self, key: &ActivityKey) {
        if let Some(token) = self.tokens(|tokens| tokens.remove(key)) {
            token.cancel();
        }
    }

    fn spawn(self: &Arc<Self>, mut dispatch: Dispatch, slot: Slot) {
        let token = self.stop.child_token();
        self.tokens(|tokens| tokens.insert(dispatch.key, token.clone()));
        let runner = Arc::clone(self);
        self.tracker.spawn(async move {
            let (key, attempt) = (dispatch.key, dispatch.attempt);
            let span = span_of(&dispatch);
            let reports = Reports::after(dispatch.progress.take());
            let attempted = runner.attempt(dispatch, token, &slot, &reports);
            let attempted = Caught(Box::pin(attempted));
            let result = match attempted.instrument(span).await {
                Ok(result) => result,
                // It was dropped, and its destructors are what panicked.
                Err(_) if runner.stop.is_cancelled() => None,
                Err(panicked) => {
                    let text = panicked.text();
                    Some(Err(FailureDetails::new(FailureKind::Panic, "panic", text)))
                }
            };
            // A thread that is left behind may still report.
            let progress = reports.close();
            if let Some(result) = result {
                runner.tokens(|tokens| tokens.remove(&key));
                let ended = Input::AttemptEnded {
                    worker: runner.id,
                    key,
                    attempt,
                    result,
                    progress,
                };
                let permit = Permit::Attempt { _slot: slot };
                // The engine may be gone: then the attempt is lost, and made again.
                drop(runner.inbox.send(ToEngine::Bounded(ended, permit)));
            }
        });
    }

    /// One attempt. `None` if it was not finished, because nobody wants it any more.
    async fn attempt(
        &self,
        dispatch: Dispatch,
        token: CancellationToken,
        slot: &Slot,
        reports: &Arc<Reports>,
    ) -> Option<Result<Attempted, FailureDetails>> {
        let timeout = dispatch.timeout;
        let handed_on = self.hand_on(dispatch.key, dispatch.attempt, reports);
        let body = self.body(dispatch, token.clone(), slot, reports);
        let limited = async {
            match timeout {
                None => Ok(body.await),
                Some(limit) => tokio::time::timeout(limit, body).await.map_err(|_| limit),
            }
        };
        let result = tokio::select! {
            biased;
            result = limited => result,
            () = self.stop.cancelled() => return None,
            () = self.unwanted(&token) => return None,
            never = handed_on => match never {},
        };
        // What it makes of being stopped is not what it does: it runs again under the next worker.
        // A token is told by whoever holds the lock of `stop`, so this cannot come too early.
        if self.stop.is_cancelled() {
            return None;
        }
        Some(match result {
            Ok(Ok(attempted)) => {
                let fits = match &attempted {
                    Attempted::Done(output) => self.within_limit("an output", output),
                    Attempted::Again { state, .. } => self.within_limit("a state", state),
                };
                fits.map(|()| attempted)
            }
            Ok(Err(failure)) => Err(match failure.value() {
                Some(value) => self
                    .within_limit("an error", value)
                    .err()
                    .unwrap_or(failure),
                None => failure,
            }),
            Err(limit) => {
                token.cancel();
                let text = format!("it took longer than {limit:?}");
                Err(FailureDetails::new(FailureKind::Timeout, "timeout", text))
            }
        })
    }

    /// Ends when the worker drains and nobody waits for this attempt any more: such a one may run
    /// on for as long as it likes, but not hold up a shutdown.
    async fn unwanted(&self, token: &CancellationToken) {
        token.cancelled().await;
        self.draining.cancelled().await;
    }

    /// Tells the engine how far an attempt has come, whenever it has said so: not sooner than
    /// [`REPORT_EVERY`] after it has stored the last report, so that one at most is under way.
    async fn hand_on(&self, key: ActivityKey, attempt: u32, reports: &Reports) -> Infallible {
        loop {
            let reported = Reported {
                worker: self.id,
                key,
                attempt,
                progress: reports.next().await,
            };
            let (reply, is_stored) = Reply::new(None);
            let reported = Input::Reported(reported, reply);
            // The engine may be gone: then there is nobody to tell.
            drop(self.inbox.send(ToEngine::Input(reported)));
            // Or it does not want to hear of it.
            drop(is_stored.await);
            tokio::time::sleep(REPORT_EVERY).await;
        }
    }

    async fn body(
        &self,
        dispatch: Dispatch,
        token: CancellationToken,
        slot: &Slot,
        reports: &Arc<Reports>,
    ) -> Result<Attempted, FailureDetails> {
        let Dispatch {
            worker: _,
            key,
            instance,
            name,
            input,
            attempt,
            state,
            progress: _,
            timeout: _,
            heartbeat,
            step,
        } = dispatch;
        if let Some(step) = step {
            return step().await;
        }
        let Some(activity) = self.registry.find_activity(&name) else {
            let text = format!("`{name}` is not registered");
            return Err(FailureDetails::new(
                FailureKind::NotRegistered,
                "durable_core",
                text,
            ));
        };
        let attempt = Attempt {
            hub: self.hub,
            instance,
            number: key.number,
            execution: key.execution,
            call: key.call,
            activity: name,
            nth: attempt,
            resumed: state,
        };
        let (reports, states) = (Arc::clone(reports), self.states.clone());
        let ctx = ActivityContext::new(attempt, reports, states, token, Arc::downgrade(slot));
        let attempted = (activity.run)(ctx.clone(), input);
        let attempted = match heartbeat {
            None => attempted.await,
            Some(limit) => tokio::select! {
                biased;
                attempted = attempted => attempted,
                () = ctx.silent(limit) => {
                    ctx.cancellation_token().cancel();
                    let text = format!("it gave no sign of life for {limit:?}");
                    Err(FailureDetails::new(FailureKind::Timeout, "heartbeat timeout", text))
                }
            },
        };
        attempted.map_err(|failure| {
            if ctx.is_last() {
                failure.not_retryable()
            } else {
                failure
            }
        })
    }

    fn within_limit(&self, what: &str, payload: &Payload) -> Result<(), FailureDetails> {
        let (len, limit) = (payload.len(), self.max_payload);
        if len <= limit {
            return Ok(());
        }
        let text = format!("{what} of {len} bytes is over the limit of {limit}");
        Err(FailureDetails::new(FailureKind::PayloadTooLarge, "durable_core", text).not_retryable())
    }
}

/// What an activity logs says whose it is.
fn span_of(dispatch: &Dispatch) -> Span {
    let Dispatch {
        key,
        instance,
        name,
        attempt,
        ..
    } = dispatch;
    let execution = key.execution;
    tracing::info_span!("activity", %instance, %execution, name = &**name, attempt)
}

/// An inline step may hold anything, also what panics when it is dropped.
fn discard(dispatch: Dispatch) {
    drop(catch(|| drop(dispatch)));
}

fn discard_all(waiting: &mut Queues) {
    while let Some(dispatch) = waiting.discard() {
        discard(dispatch);
    }
}

/// A future whose panic is a value. What it drops may panic too.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch(|| self.0.as_mut().poll(cx)) {
            Ok(polled) => polled.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

#[cfg(test)]
mod tests;
