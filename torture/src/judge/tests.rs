//! The judge can say no: what a child says is tampered with, and each lie is found.

use durable_core::RuntimeStatus::{self, Completed, Failed, Pending, Running, Terminated};

use super::model::{Breach, Model};
use crate::line::{Digest, End, Line, View};
use crate::plan::{Load, Plan, Plans, Program};

const PLANS: Plans = Plans {
    seed: 1,
    load: Load::Brisk,
};

/// A story of one instance, told line by line.
struct Story {
    plan: Plan,
    n: u64,
    model: Model,
    asks: u64,
}

/// The first instance of this kind.
fn story(is_it: impl Fn(&Plan) -> bool) -> Story {
    let found = (0..1_000).find(|n| is_it(&PLANS.of(*n)));
    let n = found.expect("one of every kind");
    let mut model = Model::new(PLANS);
    model.begin_round();
    Story {
        plan: PLANS.of(n),
        n,
        model,
        asks: 0,
    }
}

fn is(program: Program) -> impl Fn(&Plan) -> bool {
    move |plan| plan.program == program && !plan.fails()
}

fn long_chain() -> Story {
    story(|plan| plan.program == Program::Chain && plan.task.count > 2).started()
}

impl Story {
    fn says(mut self, line: Line) -> Self {
        // As it comes out of the pipe.
        let line = Line::parse(&line.to_string()).expect("a line is read as it was written");
        self.model.take(&line);
        self
    }

    fn started(self) -> Self {
        let n = self.n;
        self.says(Line::Starting { n }).says(Line::Started { n })
    }

    fn killed(mut self) -> Self {
        self.model.begin_round();
        self
    }

    fn begins(self, step: u32, attempt: u32) -> Self {
        let line = Line::Begin {
            n: self.n,
            step,
            attempt,
            key: format!("key {step}"),
            input: Digest::of("input"),
        };
        self.says(line)
    }

    fn asks(mut self) -> Self {
        self.asks += 1;
        let (n, ask) = (self.n, self.asks);
        self.says(Line::Ask { n, ask })
    }

    fn told(self, view: Option<View>) -> Self {
        let (n, ask) = (self.n, self.asks);
        self.says(Line::Read { n, ask, view })
    }

    fn sees(self, status: RuntimeStatus, progress: u32) -> Self {
        self.asks().told(Some(view(status, progress, None)))
    }

    fn raises(self, name: usize, number: u64) -> Self {
        let n = self.n;
        self.says(Line::Raising { n, name, number })
    }

    fn raised(self, name: usize, number: u64) -> Self {
        let n = self.n;
        self.raises(name, number)
            .says(Line::Raised { n, name, number })
    }

    fn terminated(self) -> Self {
        let n = self.n;
        self.says(Line::Terminating { n })
            .says(Line::Terminated { n })
    }

    fn purging(self) -> Self {
        let n = self.n;
        self.says(Line::Purging { n })
    }

    fn purged(self) -> Self {
        let n = self.n;
        self.purging().says(Line::Purged { n })
    }

    /// It is seen to have ended as planned, with these events.
    fn ends_with(self, events: [&[u64]; 2]) -> Self {
        let events = events.map(<[u64]>::to_vec);
        let steps = is(Program::Chain)(&self.plan).then_some(self.plan.task.count);
        let output = End::Output {
            blob: Digest::of(&self.plan.blob(&events)),
            events,
            waited_us: None,
        };
        self.asks()
            .told(Some(view(Completed, steps.unwrap_or(0), Some(output))))
    }

    fn ends_with_blob(self, blob: &str) -> Self {
        let output = End::Output {
            blob: Digest::of(blob),
            events: Default::default(),
            waited_us: None,
        };
        let count = self.plan.task.count;
        self.asks().told(Some(view(Completed, count, Some(output))))
    }

    #[track_caller]
    fn holds(self) {
        assert_eq!(self.model.violations, []);
    }

    #[track_caller]
    fn breaks(self, breach: Breach, text: &str) {
        let [violation] = &self.model.violations[..] else {
            panic!("not one violation: {:?}", self.model.violations);
        };
        assert_eq!(violation.breach, breach, "{violation}");
        assert!(violation.text.contains(text), "{violation}");
    }
}

fn view(status: RuntimeStatus, progress: u32, end: Option<End>) -> View {
    View {
        status,
        progress,
        end,
        problem: None,
    }
}

#[test]
fn what_goes_well_holds() {
    let chain = long_chain().begins(0, 1).sees(Running, 1).begins(1, 1);
    // Killed before the result of the second step was recorded.
    let chain = chain.killed().begins(1, 1).begins(2, 1).sees(Running, 2);
    chain.ends_with([&[], &[]]).ends_with([&[], &[]]).holds();
}

#[test]
fn what_was_purged_is_looked_for_once_more_and_forgotten() {
    let ended = long_chain().ends_with([&[], &[]]).purged();
    let n = ended.n;
    assert!(ended.model.all().is_empty());
    assert_eq!(ended.model.brief().gone, [n]);
    let looked_for = ended.asks().told(None);
    assert_eq!(looked_for.model.known(), 1, "not by the same child");
    let looked_for = looked_for.killed().asks().told(None);
    assert_eq!(looked_for.model.known(), 0);
    assert!(looked_for.model.brief().gone.is_empty());
    assert!(looked_for.model.brief().first > n, "no number comes again");
    looked_for.holds();
}

#[test]
fn a_purge_that_was_not_acknowledged_may_have_happened_or_not() {
    let unsure = || long_chain().ends_with([&[], &[]]).purging().killed();
    let n = unsure().n;
    unsure().asks().told(None).holds();
    unsure().ends_with([&[], &[]]).holds();
    unsure().purged().holds();
    unsure().purging().says(Line::Gone { n }).holds();
    let gone = unsure().asks().told(None).ends_with([&[], &[]]);
    gone.breaks(Breach::Lost, "its purge was acknowledged");
}

#[test]
fn a_purge_that_was_lost_or_done_twice_is_found() {
    let purged = || long_chain().ends_with([&[], &[]]).purged();
    let back = purged().killed().ends_with([&[], &[]]);
    back.breaks(Breach::Lost, "its purge was acknowledged");
    let twice = purged().killed().purged();
    twice.breaks(Breach::Duplicated, "it was purged twice");
    let story = long_chain().ends_with([&[], &[]]).purging();
    let n = story.n;
    let gone = story.says(Line::Gone { n });
    gone.breaks(Breach::Lost, "nobody had purged it");
}

#[test]
fn a_hub_that_does_not_open_is_found() {
    let text = "it is damaged".to_owned();
    let refused = long_chain().says(Line::NotOpened { text });
    let tally = refused.model.tally().to_string();
    assert_eq!(tally, "lost=0 duplicated=0 changed=0 refused=1 broken=0");
    refused.breaks(Breach::Refused, "it is damaged");
}

#[test]
fn a_start_that_was_not_acknowledged_may_be_there_or_not() {
    let unsure = || {
        let story = story(is(Program::Chain));
        let n = story.n;
        story.says(Line::Starting { n }).killed()
    };
    let n = unsure().n;
    unsure().asks().told(None).holds();
    let again = unsure().says(Line::Starting { n });
    again.says(Line::Existed { n }).holds();
    let again = unsure().says(Line::Starting { n });
    again.says(Line::Started { n }).holds();
}

#[test]
fn a_lost_start_is_found() {
    let lost = long_chain().killed().asks().told(None);
    lost.breaks(Breach::Lost, "its start was acknowledged");
    let lost = story(is(Program::Chain));
    let n = lost.n;
    let lost = lost.says(Line::Starting { n }).begins(0, 1).killed();
    lost.asks().told(None).breaks(Breach::Lost, "its start");
}

#[test]
fn a_second_start_is_found() {
    long_chain()
        .killed()
        .started()
        .breaks(Breach::Duplicated, "started although it exists");
}

#[test]
fn a_refusal_of_what_nobody_has_started_is_found() {
    let story = story(is(Program::Chain));
    let n = story.n;
    let story = story.says(Line::Starting { n }).says(Line::Existed { n });
    story.breaks(Breach::Changed, "nobody has started it");
}

#[test]
fn a_status_that_goes_back_is_found() {
    let back = long_chain().sees(Running, 2).sees(Pending, 2);
    back.breaks(Breach::Changed, "went back to Pending");
    let back = long_chain().sees(Running, 2).sees(Running, 1);
    back.breaks(Breach::Changed, "from 2 to 1");
    let back = long_chain().ends_with([&[], &[]]).sees(Running, 9);
    back.breaks(Breach::Changed, "went back to Running");
}

#[test]
fn an_answer_that_was_overtaken_holds() {
    let story = long_chain().asks();
    let (n, ask) = (story.n, 77);
    let story = story
        .says(Line::Ask { n, ask })
        .told(Some(view(Running, 2, None)));
    let view = Some(view(Running, 1, None));
    story.says(Line::Read { n, ask, view }).holds();
}

#[test]
fn a_wrong_output_and_a_changed_one_are_found() {
    let wrong = long_chain().ends_with_blob("something else");
    wrong.breaks(Breach::Changed, "its output is");
    let changed = long_chain().ends_with([&[], &[]]).killed();
    let changed = changed.ends_with_blob("something else");
    changed.breaks(Breach::Changed, "it has ended as");
}

#[test]
fn an_end_that_nobody_planned_is_found() {
    let failure = || Some(End::Failure("alas".into()));
    let failed = long_chain().asks().told(Some(view(Failed, 0, failure())));
    failed.breaks(Breach::Changed, "must not end as Failed");
    let exhausted = || story(Plan::fails).started().asks();
    let after = |attempts| Some(End::Failure(format!("attempt {attempts} fails")));
    exhausted().told(Some(view(Failed, 0, after(4)))).holds();
    let early = exhausted().told(Some(view(Failed, 0, after(3))));
    early.breaks(Breach::Changed, "must not end as Failed");
    let completed = exhausted().ends_with([&[], &[]]);
    completed.breaks(Breach::Changed, "must not end as Completed");
    let ended = long_chain().asks();
    let ended = ended.told(Some(view(Terminated, 0, failure())));
    ended.breaks(Breach::Changed, "nobody has asked for it");
    let missing = story(is(Program::Ledger)).started();
    let missing = missing.ends_with([&[], &[]]);
    missing.breaks(Breach::Changed, "not complete");
}

#[test]
fn a_repeated_step_is_found() {
    let told = "step 0 runs again";
    let by_custom_status = long_chain().begins(0, 1).sees(Running, 1).killed();
    by_custom_status
        .begins(0, 1)
        .breaks(Breach::Duplicated, told);
    let by_the_next_step = long_chain().begins(0, 1).begins(1, 1).killed();
    by_the_next_step
        .begins(0, 1)
        .breaks(Breach::Duplicated, told);
    let by_the_end = story(is(Program::Fan)).started().begins(0, 1);
    let by_the_end = by_the_end.ends_with([&[], &[]]).begins(0, 1);
    by_the_end.breaks(Breach::Duplicated, told);
}

#[test]
fn an_attempt_that_runs_twice_in_one_process_is_found() {
    let twice = long_chain().begins(0, 1).begins(0, 1);
    twice.breaks(Breach::Duplicated, "one attempt twice");
}

#[test]
fn attempts_that_are_not_counted_on_are_found() {
    let flaky = || story(|plan| plan.program == Program::Retry && plan.task.count == 2).started();
    let right = flaky().begins(0, 1).begins(0, 2).killed().begins(0, 2);
    right.begins(0, 3).begins(1, 1).holds();
    let forgotten = flaky().begins(0, 1).begins(0, 2).killed().begins(0, 1);
    forgotten.breaks(Breach::Changed, "the attempts at step 0 go from");
    let skipped = flaky().begins(0, 1).begins(0, 3);
    skipped.breaks(Breach::Changed, "the attempts at step 0 go from");
    let late = flaky().begins(0, 2);
    late.breaks(Breach::Changed, "does not begin with attempt 1");
    let surplus = flaky().begins(0, 1).begins(0, 2).begins(0, 3).begins(0, 4);
    surplus.breaks(Breach::Changed, "an attempt too many");
}

#[test]
fn a_step_that_is_fed_with_something_else_is_found() {
    let story = long_chain().begins(0, 1).killed();
    let line = Line::Begin {
        n: story.n,
        step: 0,
        attempt: 1,
        key: "key 0".into(),
        input: Digest::of("another input"),
    };
    story.says(line).breaks(Breach::Changed, "step 0 was");
}

#[test]
fn a_step_of_what_nobody_has_started_is_found() {
    let story = story(is(Program::Chain)).begins(0, 1);
    story.breaks(Breach::Changed, "nobody has started it");
}

/// An orchestration that takes two events of each name.
fn ledger() -> Story {
    let two = |plan: &Plan| plan.program == Program::Ledger && plan.task.count == 2;
    story(two).started().raised(1, 8).raised(1, 9)
}

#[test]
fn events_are_seen_in_order_and_only_unacknowledged_ones_may_be_missing() {
    let right = ledger().raised(0, 1).raised(0, 2).raised(0, 3);
    right.ends_with([&[1, 2], &[8, 9]]).holds();
    let unsure = || ledger().raised(0, 1).raises(0, 2).killed().raised(0, 3);
    unsure().ends_with([&[1, 2], &[8, 9]]).holds();
    unsure().ends_with([&[1, 3], &[8, 9]]).holds();
}

#[test]
fn lost_repeated_and_misplaced_events_are_found() {
    let all = || ledger().raised(0, 1).raised(0, 2).killed().raised(0, 3);
    let lost = all().ends_with([&[1, 3], &[8, 9]]);
    lost.breaks(Breach::Lost, "event 2 was acknowledged");
    let twice = all().ends_with([&[1, 1], &[8, 9]]);
    twice.breaks(Breach::Duplicated, "event 1 was seen twice");
    let invented = ledger().raised(0, 1).ends_with([&[1, 7], &[8, 9]]);
    invented.breaks(Breach::Changed, "event 7 is out of place");
    let swapped = all().ends_with([&[2, 1], &[8, 9]]);
    swapped.breaks(Breach::Lost, "event 1 was acknowledged");
}

#[test]
fn an_event_that_was_refused_although_it_was_seen_is_found() {
    // The orchestrator was quicker than the answer, so this shows at the second look.
    let story = ledger()
        .raised(0, 1)
        .raises(0, 2)
        .ends_with([&[1, 2], &[8, 9]]);
    let (n, name, number) = (story.n, 0, 2);
    let story = story.says(Line::Refused { n, name, number });
    let story = story.ends_with([&[1, 2], &[8, 9]]);
    story.breaks(Breach::Changed, "event 2 was refused and seen");
}

#[test]
fn an_event_that_was_taken_after_the_end_is_found() {
    let late = ledger().raised(0, 1).raised(0, 2);
    let late = late.ends_with([&[1, 2], &[8, 9]]).raised(0, 3);
    late.breaks(Breach::Changed, "has accepted event 3");
}

#[test]
fn a_timer_that_is_early_is_found() {
    let story = story(|plan| plan.program == Program::Decide && plan.task.delay_ms > 1).started();
    let timer = |waited_us| End::Output {
        blob: Digest::of(&story.plan.blob(&Default::default())),
        events: Default::default(),
        waited_us: Some(waited_us),
    };
    let early = timer(story.plan.task.delay_ms * 1_000 - 1);
    let story = story.asks();
    let story = story.told(Some(view(Completed, 0, Some(early))));
    story.breaks(Breach::Changed, "its timer of");
}

#[test]
fn a_termination_that_does_not_last_is_found() {
    let reason = || Some(End::Failure("enough".into()));
    let terminated = || long_chain().begins(0, 1).terminated();
    let right = terminated().begins(1, 1).asks();
    let right = right.told(Some(view(Terminated, 0, reason())));
    right.holds();
    let lost = terminated().killed().sees(Running, 1);
    lost.breaks(Breach::Lost, "its termination was acknowledged");
    let lost = terminated().killed().ends_with([&[], &[]]);
    lost.breaks(Breach::Lost, "its termination was acknowledged");
    let goes_on = terminated().killed().begins(1, 1);
    goes_on.breaks(Breach::Duplicated, "after it was terminated");
    let twice = terminated().killed().terminated();
    twice.breaks(Breach::Duplicated, "terminated twice");
}

#[test]
fn what_stands_still_is_found() {
    let mut stuck = view(Running, 0, None);
    stuck.problem = Some("divergence".into());
    let story = long_chain().asks().told(Some(stuck));
    story.breaks(Breach::Broken, "does not go on: divergence");
    let story = long_chain().says(Line::Mishap {
        text: "the hub is closed".into(),
    });
    story.breaks(Breach::Broken, "the hub is closed");
}

#[test]
fn the_next_child_told_what_is_open_and_what_is_unsure() {
    let story = long_chain();
    let (n, unsure) = (story.n, story.n + 5);
    let story = story.says(Line::Starting { n: unsure }).killed();
    let brief = story.model.brief();
    assert_eq!((brief.first, brief.round), (unsure + 1, 2));
    assert_eq!((brief.open, brief.unsure), (vec![n], vec![unsure]));
    let story = story.ends_with([&[], &[]]);
    assert_eq!(story.model.open(), [unsure]);
    assert_eq!(story.model.all(), [n, unsure]);
}
