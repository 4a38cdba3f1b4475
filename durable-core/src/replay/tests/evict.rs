//! Nothing that user code does in `Drop` does harm, whenever it runs.

use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;

use super::*;

/// What a user might do in `Drop`: all that a context offers.
fn meddle(ctx: OrchestrationContext) {
    let _ = ctx.set_custom_status("released");
    let mut call = ctx.call_activity::<Work>(2);
    let _ = call.poll_unpin(&mut Context::from_waker(Waker::noop()));
    drop(ctx.create_timer(secs(1)).start());
    drop(ctx.wait_for_external_event::<u32>("E").start());
    let _ = (
        ctx.new_uuid(),
        ctx.now(),
        ctx.is_replaying(),
        ctx.instance_id(),
    );
    note("meddled");
}

fn meddler(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
    body(async move {
        // Two of them: a panic in the second, while the first one's unwinds, would abort.
        let _guards = [OnDrop(meddle, ctx), OnDrop(meddle, ctx)];
        let _held = ctx.create_timer(secs(1)).start();
        let _ = ctx.call_activity::<Work>(1).await;
    })
}

#[test]
fn code_in_drop_is_harmless_at_eviction() {
    let mut live = Live::new(meddler);
    assert_eq!(live.feed("start"), "timer #0 at 1; call #1 work 1");
    drop(live);
    assert_eq!(take_notes(), ["meddled", "meddled"]);
}

#[test]
fn an_eviction_in_the_middle_of_anothers_poll_leaves_that_one_alone() {
    static EVICTED: Mutex<Option<Execution>> = Mutex::new(None);
    let mut live = Live::new(meddler);
    live.feed("start");
    *EVICTED.lock().unwrap() = Some(live.execution);
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            let held = ctx.call_activity::<Work>(5).start();
            drop(EVICTED.lock().unwrap().take());
            text(held.await)
        })
    };
    let mut other = Live::new(run);
    assert_eq!(other.feed("start"), "call #0 work 5");
    assert_eq!(take_notes(), ["meddled", "meddled"]);
    assert_eq!(other.feed("done #0 7"), "complete \"7\"");
}

#[test]
fn a_panic_in_drop_at_eviction_is_survived() {
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            let _last = NoteDrop("dropped all the same");
            let _guard = OnDrop(|_| panic!("in drop"), ctx);
            let _ = ctx.call_activity::<Work>(1).await;
        })
    };
    let mut live = Live::new(run);
    live.feed("start");
    drop(live);
    assert_eq!(take_notes(), ["dropped all the same"]);
}

#[test]
fn a_panic_in_drop_at_the_end_is_a_panic_of_the_orchestrator() {
    check(
        |ctx, _| {
            body(async move {
                let _held = ctx.create_timer(secs(1)).start();
                let _guard = OnDrop(|_| panic!("in drop"), ctx);
            })
        },
        &[("start", "timer #0 at 1; cancel #0; fail Panic in drop")],
    );
}

/// A future that has ended, and whose destructor panics.
struct PanicsWhenFreed;

impl Future for PanicsWhenFreed {
    type Output = Result<Payload, FailureDetails>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(Payload::NULL))
    }
}

impl Drop for PanicsWhenFreed {
    fn drop(&mut self) {
        panic!("freed");
    }
}

#[test]
fn a_panic_while_the_ended_future_is_freed_is_survived() {
    check(
        |_, _| Box::pin(PanicsWhenFreed),
        &[("start", "complete null")],
    );
}
