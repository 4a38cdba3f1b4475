//! What may differ from what was recorded, and what may not.

use super::*;
use crate::history::ActivityOptions;
use crate::retry::RetryPolicy;

/// Calls `post` with what it is started with.
fn post_input(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
    let input: serde_json::Value = input.decode().expect("JSON");
    body(async move { ctx.call_activity::<Post>(input).await.ok() })
}

/// An input that was recorded as `old` and is now `new`: how many drifts are tolerated, if they are.
#[track_caller]
fn check_drift(old: &str, new: &str, tolerant: Option<u64>, strict: Option<u64>) {
    let started = |input: &str| Turn {
        time: Timestamp(0),
        steps: vec![Step {
            event: started(new),
            actions: vec![Action::ScheduleActivity {
                call: CallId(0),
                name: "post".into(),
                input: json(input),
                inline: false,
                options: ActivityOptions::default(),
            }],
        }],
    };
    for (matching, expected) in [(Matching::Tolerant, tolerant), (Matching::Strict, strict)] {
        let replayed = replay(post_input, &[started(old)], matching);
        assert_eq!(
            replayed.as_ref().ok().copied(),
            expected,
            "{matching:?}: {replayed:?}"
        );
    }
}

#[test]
fn an_input_may_drift_where_its_meaning_stays() {
    check_drift("{\"a\":1}", "{\"a\":1}", Some(0), Some(0));
    // Gained, lost, both, further in, in another order, with other white space.
    check_drift("{\"a\":1}", "{\"a\":1,\"b\":2}", Some(1), None);
    check_drift("{\"a\":1,\"b\":2}", "{\"a\":1}", Some(1), None);
    check_drift("{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", Some(1), None);
    check_drift("[{\"a\":{}}]", "[{\"a\":{\"b\":1}}]", Some(1), None);
    check_drift("{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}", Some(1), Some(1));
    check_drift("{\"a\": 1}", "{\"a\":1}", Some(1), Some(1));
    // Other values are other calls.
    check_drift("{\"a\":1}", "{\"a\":2}", None, None);
    check_drift("{\"a\":1}", "{\"a\":\"1\"}", None, None);
    check_drift("{\"a\":null}", "{\"a\":1}", None, None);
    check_drift("[1,2]", "[2,1]", None, None);
    check_drift("[1,2]", "[1]", None, None);
}

#[test]
fn another_retry_policy_is_tolerated_but_not_if_strict() {
    let recorded = check(
        |ctx, _| body(async move { ctx.call_activity::<Work>(1).await.ok() }),
        &[("start", "call #0 work 1"), ("done #0 7", "complete 7")],
    );
    let retried: RunOrchestrator = |ctx, _| {
        body(async move {
            let retry = RetryPolicy::fixed(3, secs(1));
            ctx.call_activity::<Work>(1).retry(retry).await.ok()
        })
    };
    assert!(replay(retried, &recorded, Matching::Tolerant).is_ok());
    let problem = replay(retried, &recorded, Matching::Strict).expect_err("strict");
    assert_eq!(problem.kind(), ProblemKind::Divergence);
    assert!(problem.message().contains("RetryPolicy"), "{problem}");
}
