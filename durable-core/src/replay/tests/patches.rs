//! Code that was changed while executions of the old code were under way.

use super::*;

/// Two waits, and a call after each.
fn before(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
    body(async move {
        let _ = ctx.wait_for_external_event::<u32>("a").await;
        let first = text(ctx.call_activity::<Work>(1).await);
        let _ = ctx.wait_for_external_event::<u32>("b").await;
        first + &text(ctx.call_activity::<Work>(2).await)
    })
}

/// The same, with another activity for those that come by there from now on.
fn after(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
    body(async move {
        let changed = async |input| {
            if ctx.patched("other") {
                text(ctx.call_activity::<Other>(input).await)
            } else {
                text(ctx.call_activity::<Work>(input).await)
            }
        };
        let _ = ctx.wait_for_external_event::<u32>("a").await;
        let first = changed(1).await;
        let _ = ctx.wait_for_external_event::<u32>("b").await;
        first + &changed(2).await
    })
}

/// As `after`, once nobody is left that went the old way.
fn cleaned_up(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
    body(async move {
        let _ = ctx.wait_for_external_event::<u32>("a").await;
        let first = text(ctx.call_activity::<Other>(1).await);
        let _ = ctx.wait_for_external_event::<u32>("b").await;
        first + &text(ctx.call_activity::<Other>(2).await)
    })
}

/// As `after`, but it asks at once.
fn hoisted(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
    if ctx.patched("other") {
        cleaned_up(ctx, input)
    } else {
        before(ctx, input)
    }
}

const OLD: [(&str, &str); 5] = [
    ("start", "wait #0 a"),
    ("raise a 0", "call #1 work 1"),
    ("done #1 1", "wait #2 b"),
    ("raise b 0", "call #3 work 2"),
    ("done #3 2", "complete \"12\""),
];

const NEW: [(&str, &str); 5] = [
    ("start", "wait #0 a"),
    ("raise a 0", "patch other; call #1 other 1"),
    ("done #1 1", "wait #2 b"),
    ("raise b 0", "call #3 other 2"),
    ("done #3 2", "complete \"12\""),
];

/// Replays what the first rows of a script recorded with `old`, and goes on with `new`.
fn deploy(
    (old, recorded): (RunOrchestrator, &[(&str, &str)]),
    new: RunOrchestrator,
    script: &[(&str, &str)],
) -> Result<(), Problem> {
    let turns = check(old, recorded);
    let mut execution = execution(new);
    execution.mark_patches(&turns);
    for (index, turn) in turns.iter().enumerate() {
        execution.replay(turn, index + 1, Matching::Tolerant)?;
    }
    let mut live = Live { execution, turns };
    for (row, expected) in script {
        assert_eq!(live.feed(row), *expected, "at `{row}`");
    }
    // It can be evicted now as at any time.
    let replayed = replay(new, &live.turns, Matching::Tolerant);
    replayed.map(|_| ())
}

#[test]
fn a_new_execution_takes_the_changed_path() {
    check(after, &NEW);
}

#[test]
fn an_execution_stays_on_the_path_that_it_took() {
    for at in 2..=OLD.len() {
        let (recorded, rest) = OLD.split_at(at);
        assert_eq!(deploy((before, recorded), after, rest), Ok(()), "from {at}");
        let (recorded, rest) = NEW.split_at(at);
        assert_eq!(deploy((after, recorded), after, rest), Ok(()), "from {at}");
    }
}

#[test]
fn an_execution_that_had_not_come_there_takes_the_changed_path() {
    assert_eq!(deploy((before, &OLD[..1]), after, &NEW[1..]), Ok(()));
    assert_eq!(deploy((before, &[]), after, &NEW), Ok(()));
}

#[test]
fn the_call_may_be_removed_or_moved_to_an_earlier_place() {
    for at in 2..=NEW.len() {
        let (recorded, rest) = NEW.split_at(at);
        assert_eq!(
            deploy((after, recorded), cleaned_up, rest),
            Ok(()),
            "from {at}"
        );
        assert_eq!(
            deploy((after, recorded), hoisted, rest),
            Ok(()),
            "from {at}"
        );
    }
}

#[test]
fn code_from_before_the_change_does_not_fit_the_changed_path() {
    for new in [before as RunOrchestrator, |ctx, input| {
        // Nor does asking for something else of the same kind.
        if ctx.patched("more") {
            cleaned_up(ctx, input)
        } else {
            before(ctx, input)
        }
    }] {
        let problem = deploy((after, &NEW[..2]), new, &[]).expect_err("a divergence");
        assert_eq!(problem.kind(), ProblemKind::Divergence);
        for part in ["turn 1, event 2", "`other` with 1", "`work` with 1"] {
            assert!(
                problem.message().contains(part),
                "no `{part}` in: {problem}"
            );
        }
        assert!(
            problem.report().contains("ctx.patched("),
            "{}",
            problem.report()
        );
    }
}

#[test]
fn what_was_said_in_one_branch_holds_in_all() {
    fn branches(ctx: OrchestrationContext, ask: bool) -> OrchestratorFuture {
        body(async move {
            let branch = async |name: &'static str| {
                let _ = ctx.wait_for_external_event::<u32>(name).await;
                let patched = ask && ctx.patched("p");
                if patched {
                    ctx.call_activity::<Other>(0).await.ok()
                } else {
                    ctx.call_activity::<Work>(0).await.ok()
                }
            };
            futures_util::join!(branch("a"), branch("b"))
        })
    }
    let old: RunOrchestrator = |ctx, _| branches(ctx, false);
    let new: RunOrchestrator = |ctx, _| branches(ctx, true);
    let start = ("start", "wait #0 a; wait #1 b");
    let script = [start, ("raise a 0", "call #2 work 0")];
    assert_eq!(
        deploy((old, &script), new, &[("raise b 0", "call #3 work 0")]),
        Ok(())
    );
    let rest = [
        ("raise b 0", "patch p; call #2 other 0"),
        ("raise a 0", "call #3 other 0"),
    ];
    assert_eq!(deploy((old, &[start]), new, &rest), Ok(()));
    check(new, &[start, rest[0], rest[1]]);
}

#[test]
fn several_patches_are_told_apart() {
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            let first = (ctx.patched("a"), ctx.patched("b"), ctx.patched("a"));
            let _ = ctx.call_activity::<Work>(1).await;
            (first, ctx.patched("b"), ctx.patched(String::from("c")))
        })
    };
    check(
        run,
        &[
            ("start", "patch a; patch b; call #0 work 1"),
            (
                "done #0 7",
                "patch c; complete [[true,true,true],true,true]",
            ),
        ],
    );
    let recorded: RunOrchestrator = |ctx, _| {
        body(async move {
            ctx.patched("b");
            let _ = ctx.call_activity::<Work>(1).await;
        })
    };
    let recorded = (recorded, &[("start", "patch b; call #0 work 1")][..]);
    let rest = [(
        "done #0 7",
        "patch c; complete [[false,true,false],true,true]",
    )];
    assert_eq!(deploy(recorded, run, &rest), Ok(()));
}

#[test]
fn the_second_copy_takes_the_same_path() {
    for (old, recorded, rest) in [
        (before as RunOrchestrator, &OLD[..3], "work 2"),
        (after, &NEW[..3], "other 2"),
        (before, &OLD[..1], "patch other; call #1 other 1"),
    ] {
        let turns = check(old, recorded);
        let on_foreign: ForeignWake = Arc::new(|| {});
        let mut watched = Watched::new(&identity(), after, &on_foreign, true);
        watched.replay(&turns, Matching::Tolerant).expect("replays");
        watched.begin_turn(Timestamp(0));
        let row = if recorded.len() == 1 {
            "raise a 0"
        } else {
            "raise b 0"
        };
        let fed = watched.feed(&parse(row).1).expect("both alike");
        let actions: Vec<_> = fed
            .actions
            .into_iter()
            .map(|emitted| emitted.action)
            .collect();
        assert!(show_all(&actions).contains(rest), "{actions:?}");
    }
}
