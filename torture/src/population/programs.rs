//! What the instances of a population run.
//!
//! Histories of these are kept in the repository (`golden`): what one of them asks for must never
//! change. A new kind of history is a new program.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use durable_core::{
    ActivityError, EventError, NoError, OrchestrationContext, Poll, Progress, Resumed, RetryPolicy,
    SubOrchestrationError, WorkerBuilder, activity, orchestrator,
};
use serde::{Deserialize, Serialize};

/// The event that wakes a [`rest`].
pub(super) const WAKE: &str = "Wake";
/// The events that a [`gather`] waits for, and how many.
pub(crate) const NOTE: &str = "Note";
pub(super) const NOTES: u32 = 3;
/// The event by which a [`beget`] knows that its child is there.
const READY: &str = "Ready";

/// How long a [`doze`] takes: long enough to be left asleep.
pub(super) const NAP: Duration = Duration::from_secs(3);
/// Longer than anybody looks.
const LONG: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The custom status of a program that has come as far as it is to be left.
pub(super) const THERE: &str = "there";

/// Whether this process makes the population: work that is to be left open is then
/// not finished.
static HOLDING: AtomicBool = AtomicBool::new(false);

pub(super) fn hold(holding: bool) {
    HOLDING.store(holding, Ordering::Relaxed);
}

/// The input of every program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) n: u64,
    pub(super) blob: String,
}

/// Why a program ends without an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(super) enum Unfinished {
    #[error("instance {0} is made to fail")]
    Refused(u64),
    #[error(transparent)]
    Turn(#[from] ActivityError<NoError>),
    #[error(transparent)]
    Stubborn(#[from] ActivityError<Stubborn>),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("the child: {0}")]
    Child(String),
}

impl From<SubOrchestrationError<Self>> for Unfinished {
    fn from(error: SubOrchestrationError<Self>) -> Self {
        Self::Child(error.to_string())
    }
}

/// Why an attempt at [`insist`] fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("not yet")]
pub(super) struct Stubborn;

/// What [`turned`] makes of a text.
pub(super) fn turned(blob: &str) -> String {
    let turn = |byte: u8| match byte {
        b'z' => 'a',
        b'Z' => 'A',
        b'9' => '0',
        byte => char::from(byte + 1),
    };
    blob.bytes().map(turn).collect()
}

#[activity(name = "turn")]
async fn turn_text(blob: String) -> String {
    turned(&blob)
}

#[activity]
async fn hold_on(progress: Progress, blob: String) -> String {
    if HOLDING.load(Ordering::Relaxed) {
        progress.report(&blob.len()).ok();
        std::future::pending::<()>().await;
    }
    turned(&blob)
}

#[activity]
async fn insist() -> Result<(), Stubborn> {
    Err(Stubborn)
}

/// Three activities one after the other, and a custom status after each.
#[orchestrator]
pub(super) async fn settle(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    let mut blob = task.blob;
    for step in 0..3_u32 {
        blob = ctx.call_activity::<turn_text>(blob).await?;
        ctx.set_custom_status(&step).ok();
    }
    Ok(blob)
}

/// One activity, then an error.
#[orchestrator]
pub(super) async fn refuse(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    ctx.call_activity::<turn_text>(task.blob).await?;
    Err(Unfinished::Refused(task.n))
}

/// An event, or a timer that nobody waits for.
#[orchestrator]
pub(super) async fn rest(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    let blob = ctx.call_activity::<turn_text>(task.blob).await?;
    ctx.set_custom_status(THERE).ok();
    tokio::select! { biased;
        woken = ctx.wait_for_external_event::<String>(WAKE) => Ok(blob + &woken?),
        () = ctx.create_timer(LONG) => Err(Unfinished::Refused(task.n)),
    }
}

/// A timer that is due by the time somebody looks.
#[orchestrator]
pub(super) async fn doze(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    ctx.set_custom_status(THERE).ok();
    ctx.create_timer(NAP).await;
    Ok(ctx.call_activity::<turn_text>(task.blob).await?)
}

/// Two activities at once, one of which is left open.
#[orchestrator]
pub(super) async fn labour(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    ctx.set_custom_status(THERE).ok();
    let (first, second) = tokio::try_join!(
        ctx.call_activity::<turn_text>(task.blob.clone()),
        ctx.call_activity::<hold_on>(task.blob),
    )?;
    ctx.set_custom_status("both").ok();
    Ok(ctx.call_activity::<turn_text>(first + &second).await?)
}

/// An activity that has failed, and whose next attempt is far away.
#[orchestrator]
pub(super) async fn persist(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    ctx.set_custom_status(THERE).ok();
    let policy = RetryPolicy::exponential(9, Duration::from_secs(365 * 24 * 3600));
    ctx.call_activity::<insist>(()).retry(policy).await?;
    Ok(task.blob)
}

/// Events, one after the other.
#[orchestrator]
pub(super) async fn gather(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    let mut blob = ctx.call_activity::<turn_text>(task.blob).await?;
    ctx.set_custom_status(THERE).ok();
    for _ in 0..NOTES {
        blob += &ctx.wait_for_external_event::<String>(NOTE).await?;
    }
    Ok(ctx.call_activity::<turn_text>(blob).await?)
}

/// The child of an instance of this id.
pub(super) fn child_of(id: &str) -> String {
    format!("child of {id}")
}

/// A child that says when it is there, and wakes it when it is woken.
#[orchestrator]
pub(super) async fn beget(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    let id = child_of(ctx.instance_id().as_str());
    let child = ctx.call_sub_orchestrator::<follow>(task);
    let child = child.id(id).tag("who", "child").start();
    ctx.wait_for_external_event::<()>(READY).await?;
    if ctx.patched("settled") {
        ctx.set_custom_status(THERE).ok();
    }
    let blob = child.await?;
    Ok(ctx.call_activity::<turn_text>(blob).await?)
}

/// What has a parent, and tells it.
#[orchestrator]
pub(super) async fn follow(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    let blob = ctx.call_activity::<turn_text>(task.blob).await?;
    if let Some(parent) = ctx.parent() {
        ctx.raise_event(parent.id, READY, &()).ok();
    }
    Ok(blob + &ctx.wait_for_external_event::<String>(WAKE).await?)
}

/// Continues as new, twice.
#[orchestrator]
pub(super) async fn renew(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    if ctx.execution_id().generation() < 2 {
        let blob = ctx.call_activity::<turn_text>(task.blob).await?;
        let task = Task { blob, ..task };
        return ctx.continue_as_new::<renew, _>(task).await;
    }
    ctx.set_custom_status(THERE).ok();
    Ok(task.blob + &ctx.wait_for_external_event::<String>(WAKE).await?)
}

/// What [`ask_again`] leaves to its next attempt.
pub(super) const LEFT: &str = "left";

/// How many attempts at [`ask_again`] are held.
pub(super) static ASKING: AtomicUsize = AtomicUsize::new(0);

#[activity]
async fn ask_again(Resumed(left): Resumed<String>, blob: String) -> Poll<String, String> {
    let holding = HOLDING.load(Ordering::Relaxed);
    match left {
        None if holding => return Poll::again(Duration::ZERO, LEFT.to_owned()),
        Some(_) if holding => {
            ASKING.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        None | Some(_) => {}
    }
    Poll::Done(turned(&blob) + &left.unwrap_or_default())
}

/// An activity that goes on from what it has left.
#[orchestrator]
pub(super) async fn ask(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    Ok(ctx.call_activity::<ask_again>(task.blob).await?)
}

/// No worker ever has it.
#[orchestrator]
pub(super) async fn orphan(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    Ok(ctx.call_activity::<turn_text>(task.blob).await?)
}

/// Only a later worker has it.
#[orchestrator]
pub(super) async fn foster(ctx: OrchestrationContext, task: Task) -> Result<String, Unfinished> {
    Ok(ctx.call_activity::<turn_text>(task.blob).await?)
}

/// Everything but what is to be blocked.
pub(crate) fn registered(worker: WorkerBuilder) -> WorkerBuilder {
    worker
        .register::<turn_text>()
        .register::<hold_on>()
        .register::<insist>()
        .register::<settle>()
        .register::<refuse>()
        .register::<rest>()
        .register::<doze>()
        .register::<labour>()
        .register::<persist>()
        .register::<gather>()
        .register::<beget>()
        .register::<follow>()
        .register::<renew>()
        .register::<ask_again>()
        .register::<ask>()
}
