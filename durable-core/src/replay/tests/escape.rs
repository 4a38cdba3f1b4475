//! A call that leaves its orchestrator is refused where it is used, and names its place.

use std::sync::Mutex;

use futures_util::FutureExt;

use super::*;

#[test]
fn a_call_polled_on_another_thread_is_refused_and_names_its_place() {
    static ESCAPED: Mutex<Option<CallOf<Work>>> = Mutex::new(None);
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            *ESCAPED.lock().unwrap() = Some(ctx.call_activity::<Work>(1));
            ctx.create_timer(secs(1)).await;
        })
    };
    let mut live = Live::new(run);
    assert_eq!(live.feed("start"), "timer #1 at 1");
    let call = ESCAPED.lock().unwrap().take().expect("it escaped");
    let polled = std::thread::spawn(move || call.now_or_never());
    refused(polled.join().expect("no panic"));
    assert_eq!(live.feed("fired #1"), "complete null");
}

#[test]
fn a_call_polled_in_another_execution_is_refused_there_and_inert() {
    static ESCAPED: Mutex<Vec<Started<CallOf<Work>>>> = Mutex::new(Vec::new());
    let owner: RunOrchestrator = |ctx, _| {
        body(async move {
            let calls = [1, 2].map(|input| ctx.call_activity::<Work>(input).start());
            ESCAPED.lock().unwrap().extend(calls);
            ctx.create_timer(secs(1)).await;
        })
    };
    let thief: RunOrchestrator = |_, _| {
        body(async move {
            let [first, second] = [(); 2].map(|()| ESCAPED.lock().unwrap().remove(0));
            drop(first);
            refused(Some(second.await));
        })
    };
    let mut live = Live::new(owner);
    assert_eq!(
        live.feed("start"),
        "call #0 work 1; call #1 work 2; timer #2 at 1"
    );
    assert_eq!(Live::new(thief).feed("start"), "complete null");
    assert_eq!(live.feed("fired #2"), "complete null");
}

#[track_caller]
fn refused(polled: Option<Result<u32, ActivityError<String>>>) {
    let Some(Err(ActivityError::OutsideOrchestrator(details))) = polled else {
        panic!("{polled:?}");
    };
    assert!(details.message().contains("tests/escape.rs:"), "{details}");
}

#[test]
fn an_event_wait_polled_elsewhere_is_refused_and_a_timer_panics() {
    static ESCAPED: Mutex<Option<(EventCall<u32>, TimerCall)>> = Mutex::new(None);
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            let event = ctx.wait_for_external_event("E");
            *ESCAPED.lock().unwrap() = Some((event, ctx.create_timer(secs(1))));
            ctx.call_activity::<Work>(1).await.ok()
        })
    };
    let mut live = Live::new(run);
    assert_eq!(live.feed("start"), "call #2 work 1");
    let (event, timer) = ESCAPED.lock().unwrap().take().expect("they escaped");
    let polled = event.now_or_never();
    assert!(matches!(
        polled,
        Some(Err(EventError::OutsideOrchestrator(_)))
    ));
    let panicked = catch(|| timer.now_or_never()).expect_err("panics");
    assert!(
        panicked.message.contains("tests/escape.rs:"),
        "{panicked:?}"
    );
}

#[test]
fn a_context_used_elsewhere_makes_refused_calls_and_panics_for_values() {
    static ESCAPED: Mutex<Option<OrchestrationContext>> = Mutex::new(None);
    let run: RunOrchestrator = |ctx, _| {
        *ESCAPED.lock().unwrap() = Some(ctx);
        body(async move { ctx.call_activity::<Work>(1).await.ok() })
    };
    let mut live = Live::new(run);
    live.feed("start");
    let ctx = ESCAPED.lock().unwrap().take().expect("it escaped");
    refused(ctx.call_activity::<Work>(2).now_or_never());
    let panicked = catch(|| ctx.now()).expect_err("panics");
    assert!(panicked.message.contains("outside its orchestrator"));
    assert_eq!(live.feed("done #0 7"), "complete 7");
}
