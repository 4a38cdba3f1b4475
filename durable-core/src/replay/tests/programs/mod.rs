//! Programs that use ordinary combinators do exactly the same in replay.
//!
//! A random world answers each program's calls in random order and random batches; time moves from
//! turn to turn, and sometimes back; answers to cancelled calls arrive late. What was recorded is
//! then replayed, on another thread too, and from every point in it gone on with live: each event
//! must lead to the same actions in the same order, after the same number of polls.

mod channels;
mod cost;
mod joins;
mod selects;
mod streams;
pub(super) mod world;

use super::*;
use world::{Recorded, World};

/// How many worlds a program is tried in.
const SEEDS: u64 = 20;

/// Points from which it is gone on live, at most.
const CUTS: usize = 150;

/// What must be the same.
#[derive(Clone, Copy, Debug)]
enum Same {
    /// Actions in their order, and the number of polls.
    Exactly,
    /// Actions as a set: where the order of first polls is random, ids are not.
    ById,
}

/// The program is deterministic, in its order of actions too.
#[track_caller]
fn check(run: RunOrchestrator) {
    check_in_worlds(run, SEEDS, Same::Exactly);
}

/// The same for one that takes long.
#[track_caller]
fn check_large(run: RunOrchestrator) {
    check_in_worlds(run, 2, Same::Exactly);
}

/// The program is deterministic but for the order of the actions of a step.
#[track_caller]
fn check_by_id(run: RunOrchestrator) {
    check_in_worlds(run, SEEDS, Same::ById);
}

#[track_caller]
fn check_in_worlds(run: RunOrchestrator, seeds: u64, same: Same) {
    let worlds: Vec<_> = (0..seeds).map(|seed| World::new(seed).run(run)).collect();
    for (seed, recorded) in worlds.iter().enumerate() {
        let strictly = replay(run, &recorded.turns(), Matching::Strict);
        assert_eq!(strictly, Ok(0), "seed {seed}");
        let cuts = recorded.steps.len().div_ceil(CUTS).max(1);
        for cut in (0..recorded.steps.len()).step_by(cuts) {
            go_on_from(run, recorded, cut, same);
        }
    }
    let elsewhere = std::thread::spawn(move || {
        for recorded in &worlds {
            go_on_from(run, recorded, 0, same);
            go_on_from(run, recorded, recorded.steps.len(), same);
        }
    });
    elsewhere.join().expect("the same on another thread");
}

/// Replays as far as `cut` and feeds what came after it as new.
fn go_on_from(run: RunOrchestrator, recorded: &Recorded, cut: usize, same: Same) {
    let mut execution = execution(run);
    let (before, after) = recorded.steps.split_at(cut);
    let before = Recorded::turns_of(before);
    execution.mark_patches(&before);
    for (index, turn) in before.iter().enumerate() {
        let replayed = execution.replay(turn, index + 1, Matching::Strict);
        assert_eq!(replayed, Ok(0), "as far as {cut}");
    }
    for (index, (time, step, polls)) in after.iter().enumerate() {
        execution.begin_turn(*time);
        let polls_before = POLLS.get();
        let fed = execution.feed(&step.event).expect("runs");
        let mut asked: Vec<_> = fed
            .actions
            .into_iter()
            .map(|emitted| emitted.action)
            .collect();
        let mut expected = step.actions.clone();
        match same {
            Same::Exactly => assert_eq!(POLLS.get() - polls_before, *polls, "polls"),
            Same::ById => {
                asked.sort_by_key(show);
                expected.sort_by_key(show);
            }
        }
        assert_eq!(asked, expected, "at {index} after {cut}, {:?}", step.event);
    }
}

/// A call of `work`.
fn work(ctx: OrchestrationContext, input: u32) -> CallOf<Work> {
    ctx.call_activity::<Work>(input)
}

/// A helper that makes two calls, the second depending on the first.
async fn two_steps(ctx: OrchestrationContext, input: u32) -> String {
    let first = text(work(ctx, input).await);
    let second = text(ctx.call_activity::<Other>(input).await);
    format!("{input}: {first}, {second}")
}

/// Waits for an event, with a deadline.
async fn event_within(ctx: OrchestrationContext, name: &str, within: u64) -> Option<u32> {
    tokio::select! { biased;
        data = ctx.wait_for_external_event(name) => data.ok(),
        () = ctx.create_timer(secs(within)) => None,
    }
}

#[test]
fn a_program_that_is_not_deterministic_is_found_out() {
    let run: RunOrchestrator = |ctx, _| {
        body(async move {
            tokio::select! {
                first = two_steps(ctx, 1) => first,
                second = two_steps(ctx, 2) => second,
            }
        })
    };
    assert!(catch(|| check_in_worlds(run, SEEDS, Same::ById)).is_err());
}
