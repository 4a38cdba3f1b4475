//! What was promised, and whether it is kept. It knows what clients were told and what the store
//! holds; it does not know how the engine works.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::process::Store;
use super::program::{Code, Node, Raised, Work, Worked, judge, registry};
use super::world::LIMIT;
use crate::activity::{Activity, Attempted};
use crate::engine::{ActivityKey, Dispatch, Snapshot};
use crate::failure::{FailureDetails, FailureKind};
use crate::history::{
    Action, Event, Letter, Outstanding, Pending, Step, StepIndex, Turn, lived, taken_back,
};
use crate::id::{CallId, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::replay::{Identity, Matching, Watched};
use crate::store::{Header, InstanceKey, Report, RuntimeStatus, Store as _, Suspicion};
use crate::time::Timestamp;

/// What the outside knows of one id.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each thing that was asked for"
)]
struct Known {
    /// Its start was acknowledged, and no purge was asked for since.
    started: bool,
    /// When it is to begin, if not at once.
    begins: Option<Timestamp>,
    /// Events that were acknowledged in this life.
    raised: BTreeSet<u64>,
    /// It was told that it has ended; how, if it asked.
    ended: bool,
    terminated: bool,
    /// Somebody has asked that it be rewound.
    rewound: bool,
    /// Its turns when it was told that it is suspended, until it is to be resumed.
    suspended: Option<u32>,
    last: Option<Snapshot>,
    /// Its number, once that was seen.
    number: Option<InstanceNumber>,
    /// Another may have taken its place.
    replaced: Option<Successor>,
}

/// What may replace an instance.
#[derive(Clone, Copy, Debug)]
struct Successor {
    begins: Option<Timestamp>,
}

/// What was seen of one call.
#[derive(Debug, Default)]
struct Attempts {
    /// How often its instance had been rewound when one was begun.
    rewinds: u32,
    /// The highest attempt that was begun.
    highest: u32,
    failed: u32,
    /// When each attempt first did; one that was lost in a crash is made again.
    failed_at: BTreeMap<u32, Timestamp>,
    /// What attempts have come to.
    results: Vec<Result<Payload, FailureDetails>>,
    /// The furthest that one was begun from.
    polled: u32,
    /// When one first asked to be made again from there.
    polled_at: BTreeMap<u32, Timestamp>,
    /// How far attempts have said they have come.
    said: BTreeSet<u64>,
    /// That one, or a later one, is what the next attempt is told.
    heard: u64,
    /// What an attempt said last that failed, or that asked to be made again from there.
    left: BTreeMap<(u32, u32), u64>,
}

/// What an attempt has reported.
fn number(progress: &Payload) -> u64 {
    let (n, _): (u64, String) = progress.decode().expect("a report of ours");
    n
}

impl Attempts {
    /// What an attempt goes on from is what one before it has left, and never less than before.
    fn goes_on(&mut self, dispatch: &Dispatch, pause_ms: u64, now: Timestamp, any_pause: bool) {
        let (id, call) = (&dispatch.instance, dispatch.key.call);
        let state = dispatch.state.as_ref();
        let polled: u32 = state.map_or(0, |state| state.decode().expect("a state"));
        assert!(
            polled >= self.polled,
            "{id}: what an attempt at {call} has left is gone"
        );
        self.polled = polled;
        if polled > 0 {
            let asked = self.polled_at.get(&polled);
            let asked = asked.unwrap_or_else(|| panic!("{id}: {call} goes on from nothing"));
            assert!(
                now.0 >= asked.0 + pause_ms * 1_000 || any_pause,
                "{id}: {call} is asked again too early"
            );
        }
    }

    /// What it is told of how far the attempts before have come is what one of them has said, and
    /// nothing older than what is known to be kept.
    fn knows_progress(&mut self, dispatch: &Dispatch) {
        let (id, call) = (&dispatch.instance, dispatch.key.call);
        let told = dispatch.progress.as_ref().map_or(0, number);
        assert!(
            told == 0 || self.said.contains(&told),
            "{id}: {call} is told of progress that nobody reported"
        );
        let now = (dispatch.attempt, self.polled);
        let before = self.left.range(..=now).filter(|((attempt, polled), _)| {
            // The one that made this one necessary, and those before.
            *attempt < now.0 || *polled < now.1
        });
        let left = before.map(|(_, n)| *n).max().unwrap_or_default();
        assert!(
            told >= self.heard.max(left),
            "{id}: how far {call} has come was forgotten"
        );
        self.heard = told;
    }
}

#[derive(Debug)]
pub(super) struct Auditor {
    ids: BTreeMap<InstanceId, Known>,
    calls: BTreeMap<ActivityKey, Attempts>,
    /// These are purged with their children, which may be gone.
    swept: BTreeSet<InstanceId>,
    /// Children go by themselves some time after their end.
    expires: bool,
    /// Every history as it was last read.
    histories: BTreeMap<(InstanceNumber, ExecutionId), Vec<Turn>>,
    /// The latest that the clock has ever shown.
    latest: Timestamp,
    now: Timestamp,
    clock_was_set: bool,
    hub: u64,
    /// Of calls in whose attempts the process has died.
    suspects: BTreeMap<ActivityKey, Suspect>,
    /// How often no crash follows from the one before.
    breaks: u32,
    /// How often somebody had an instance tried again.
    retries: BTreeMap<InstanceNumber, u32>,
}

/// What was seen of a call that may be poison.
#[derive(Debug, Default)]
struct Suspect {
    /// The process has died while it was noted to be alone.
    accused: u32,
    /// And it has died of it.
    killed: u32,
    /// What was noted the last time.
    last: Option<Suspicion>,
    /// The process has died of it, early, when it was not.
    unnoticed: u32,
}

impl Auditor {
    pub(super) fn new(hub: u64, expires: bool) -> Self {
        Self {
            ids: BTreeMap::new(),
            calls: BTreeMap::new(),
            swept: BTreeSet::new(),
            expires,
            histories: BTreeMap::new(),
            latest: Timestamp(0),
            now: Timestamp(0),
            clock_was_set: false,
            hub,
            suspects: BTreeMap::new(),
            breaks: 0,
            retries: BTreeMap::new(),
        }
    }

    pub(super) fn time(&mut self, now: Timestamp) {
        self.now = now;
        self.latest = self.latest.max(now);
    }

    /// Somebody has set the clock: from now on pauses may be of any length.
    pub(super) fn clock_set(&mut self, now: Timestamp) {
        self.clock_was_set = true;
        self.time(now);
    }

    fn known(&mut self, id: &InstanceId) -> &mut Known {
        self.ids.entry(id.clone()).or_default()
    }

    pub(super) fn starting(&mut self, id: &InstanceId, begins: Option<Timestamp>) {
        self.known(id).begins = begins;
    }

    // What clients are told. `durable` is the store as a power cut would leave it now.

    pub(super) fn started(&mut self, id: &InstanceId, durable: &Store) {
        self.known(id).started = true;
        let header = header(durable, id);
        let header =
            header.unwrap_or_else(|| panic!("{id}: the start was acknowledged and is not durable"));
        self.meets(&header);
    }

    /// Whether a start must be there.
    pub(super) fn is_started(&self, id: &InstanceId) -> bool {
        self.ids.get(id).is_some_and(|known| known.started)
    }

    pub(super) fn raised(&mut self, id: &InstanceId, number: u64, durable: &Store) {
        self.known(id).raised.insert(number);
        let Some(stored) = load(durable, id) else {
            panic!("{id}: an event was acknowledged, but there is no instance");
        };
        let there =
            stored.status_is_terminal || stored.continued || stored.events.contains(&number);
        assert!(
            there,
            "{id}: event {number} was acknowledged and is not durable"
        );
    }

    pub(super) fn terminated(&mut self, id: &InstanceId, durable: &Store) {
        self.known(id).terminated = true;
        let Some(stored) = load(durable, id) else {
            panic!("{id}: a termination was acknowledged, but there is no instance");
        };
        let there = stored.status_is_terminal || stored.terminated;
        assert!(
            there,
            "{id}: a termination was acknowledged and is not durable"
        );
    }

    pub(super) fn suspended(&mut self, id: &InstanceId, durable: &Store) {
        let header = header(durable, id);
        let header = header.unwrap_or_else(|| panic!("{id}: it was suspended, and is not there"));
        if !header.status.is_terminal() {
            assert_eq!(
                header.status,
                RuntimeStatus::Suspended,
                "{id}: it is not suspended"
            );
            let turns = durable.history(&header).expect("is readable").len();
            self.known(id).suspended = Some(u32::try_from(turns).expect("is short"));
        }
    }

    pub(super) fn resuming(&mut self, id: &InstanceId) {
        self.known(id).suspended = None;
    }

    /// Whether somebody has asked that it be rewound.
    pub(super) fn is_rewound(&self, id: &InstanceId) -> bool {
        self.ids.get(id).is_some_and(|known| known.rewound)
    }

    /// From now on it may go on, if it has failed.
    pub(super) fn rewinding(&mut self, id: &InstanceId) {
        let known = self.known(id);
        known.rewound = true;
        known.ended = false;
    }

    pub(super) fn ended(&mut self, id: &InstanceId, durable: &Store) {
        // It may have been rewound again.
        let known = self.known(id);
        known.ended = !known.rewound;
        let ended =
            known.rewound || header(durable, id).is_none_or(|header| header.status.is_terminal());
        assert!(ended, "{id}: said to have ended, but it is not durable");
    }

    /// From now on it may be gone.
    pub(super) fn purging(&mut self, id: &InstanceId) {
        self.known(id).started = false;
    }

    /// From now on there may be another one in its place, and always one of the two.
    pub(super) fn replacing(&mut self, id: &InstanceId, begins: Option<Timestamp>) {
        self.known(id).replaced = Some(Successor { begins });
    }

    /// Whether there is another in the place of the one of this number, for good.
    pub(super) fn is_replaced(
        &mut self,
        id: &InstanceId,
        number: Option<InstanceNumber>,
        durable: &Store,
    ) -> bool {
        let header = header(durable, id);
        let header = header.unwrap_or_else(|| panic!("{id}: it is neither there nor replaced"));
        self.meets(&header);
        let known = self.known(id);
        let is_replaced = known.number > number;
        if is_replaced {
            known.replaced = None;
        }
        is_replaced
    }

    /// The instance of this id that there is: if it replaces the one before, nothing is known of it.
    fn meets(&mut self, header: &Header) {
        let known = self.known(&header.id);
        if let (Some(successor), Some(before)) = (known.replaced, known.number)
            && header.number > before
        {
            *known = Known {
                started: true,
                begins: successor.begins,
                // A client that does not know of it replaces it once more.
                replaced: Some(successor),
                rewound: known.rewound,
                ..Known::default()
            };
            self.histories.retain(|(number, _), _| *number != before);
        }
        self.known(&header.id).number = Some(header.number);
    }

    pub(super) fn sweeping(&mut self, id: &InstanceId) {
        self.swept.insert(id.clone());
    }

    pub(super) fn purged(&mut self, id: &InstanceId, durable: &Store) {
        assert!(
            header(durable, id).is_none(),
            "{id}: its purge was acknowledged and is not durable"
        );
        self.swept.remove(id);
        if let Some(known) = self.ids.remove(id)
            && let Some(last) = known.last
        {
            let purged = last.header.number;
            self.histories.retain(|(number, _), _| *number != purged);
        }
    }

    /// What was read never goes back, and is durable.
    pub(super) fn read(&mut self, id: &InstanceId, now: &Snapshot, durable: &Store) {
        self.meets(&now.header);
        self.is_no_older(id, now);
        self.is_durable(id, now, durable);
        self.check_progress(id, now, durable);
        self.known(id).last = Some(now.clone());
    }

    pub(super) fn is_durable(&self, id: &InstanceId, read: &Snapshot, durable: &Store) {
        let stored = header(durable, id);
        let stored = stored.unwrap_or_else(|| panic!("{id}: it was read, and is not durable"));
        if stored.number > read.header.number {
            // It was replaced since, for good.
            return;
        }
        assert_eq!(
            stored.number, read.header.number,
            "{id}: the instance that was read is not durable"
        );
        let rewound = self.ids.get(id).is_some_and(|known| known.rewound);
        assert!(
            is_no_earlier(stored.status, read.header.status, rewound),
            "{id}: its status is not durable"
        );
        let turns = durable.history(&stored).expect("is readable").len();
        assert!(
            (stored.execution, turns) >= (read.header.execution, read.header.turns as usize),
            "{id}: what was read is not durable"
        );
    }

    /// What whoever lists instances has seen beside the engine, and is told once it is durable.
    pub(super) fn listed(&mut self, id: &InstanceId, now: &Snapshot) {
        let known = self.known(id);
        let successor = known.replaced.is_some() && known.number < Some(now.header.number);
        // One that replaces another may be lost again before that.
        if !successor {
            self.is_no_older(id, now);
        }
    }

    /// It is not older than what was read before.
    fn is_no_older(&mut self, id: &InstanceId, now: &Snapshot) {
        if let Some(turns) = self.known(id).suspended
            && !now.header.status.is_terminal()
        {
            let (status, now) = (now.header.status, now.header.turns);
            assert_eq!(status, RuntimeStatus::Suspended, "{id}: it was suspended");
            assert_eq!(now, turns, "{id}: it took a turn while it was suspended");
        }
        let rewound = self.known(id).rewound;
        if let Some(before) = &self.known(id).last {
            let (new, old) = (&now.header, &before.header);
            assert_eq!(new.number, old.number, "{id}: another incarnation");
            assert!(
                (new.execution, new.turns) >= (old.execution, old.turns),
                "{id}: turns went back: {new:?} after {old:?}"
            );
            assert!(new.updated >= old.updated, "{id}: time went back");
            assert!(
                is_no_earlier(new.status, old.status, rewound),
                "{id}: status went back"
            );
            let same = !rewound
                || (new.status.is_terminal()
                    && (new.execution, new.turns) == (old.execution, old.turns));
            if old.status.is_terminal() && same {
                assert_eq!(
                    now.result, before.result,
                    "{id}: the result changed: {new:?} after {old:?}"
                );
            }
            // A call that is made again after a rewind has reports of its own, and their times.
            let again = rewound && new.turns > old.turns;
            let newer = |(call, report): &(CallId, Report)| {
                let same = now.reports.iter().find(|(other, _)| other == call);
                let newer = same.is_none_or(|(_, now)| {
                    number(&now.progress) >= number(&report.progress)
                        && (again || now.at >= report.at)
                });
                new.execution > old.execution || newer
            };
            assert!(
                before.reports.iter().all(newer),
                "{id}: progress went back: {:?} after {:?}",
                now.reports,
                before.reports
            );
        }
    }

    pub(super) fn not_found(&mut self, id: &InstanceId) {
        let known = self.known(id);
        assert!(!known.started, "{id}: an acknowledged start is gone");
        assert!(known.last.is_none(), "{id}: it was there");
    }

    // What the worker is told, and tells.

    /// An attempt begins only once it is durable that it was asked for, has not more than the
    /// policy allows, and never a number lower than before.
    pub(super) fn dispatched(&mut self, dispatch: &Dispatch, durable: &Store) {
        let id = &dispatch.instance;
        let stored = header(durable, id);
        let stored = stored.unwrap_or_else(|| panic!("{id}: an attempt at nothing"));
        let call = dispatch.key.call;
        let history = durable.history(&stored).expect("is readable");
        let asks = |action: &Action| matches!(action, Action::ScheduleActivity { call: other, .. } if *other == call);
        let asked = history.iter().find(|turn| {
            let mut actions = turn.steps.iter().flat_map(|step| &step.actions);
            actions.any(asks)
        });
        if stored.number != dispatch.key.number || stored.execution > dispatch.key.execution {
            // A later commit has ended its execution, and cancels it: of that nothing is left to look at.
            return;
        }
        assert!(asked.is_some(), "{id}: {call} runs before it is durable");
        // A call that is made again after a rewind begins anew.
        let rewinds = rewinds(&history);
        let since = history.iter().rfind(|turn| {
            let mut steps = turn.steps.iter();
            steps.any(|step| matches!(step.event, Event::Rewound { .. }))
        });
        let asked_at = asked.map(|turn| since.map_or(turn.time, |since| since.time.max(turn.time)));
        let attempts = self.calls.entry(dispatch.key).or_default();
        if attempts.rewinds < rewinds {
            let results = std::mem::take(&mut attempts.results);
            let said = std::mem::take(&mut attempts.said);
            *attempts = Attempts {
                rewinds,
                results,
                said,
                ..Attempts::default()
            };
        }
        assert!(
            dispatch.attempt <= attempts.failed + 1,
            "{id}: attempt {} at {call} after {} failures",
            dispatch.attempt,
            attempts.failed
        );
        assert!(
            dispatch.attempt >= attempts.highest,
            "{id}: attempts at {call} were forgotten"
        );
        attempts.highest = dispatch.attempt;
        if dispatch.name == Worked::NAME {
            let (work, _): (Work, String) = dispatch.input.decode().expect("what it was given");
            assert!(
                dispatch.attempt <= work.last_attempt(),
                "{id}: more attempts at {call} than allowed"
            );
            if let Some(failed) = attempts.failed_at.get(&(dispatch.attempt - 1)) {
                let due = Timestamp(failed.0 + work.pause_after(dispatch.attempt - 1));
                assert!(
                    self.now >= due || self.clock_was_set,
                    "{id}: an attempt at {call} too early"
                );
                // Three times rounded up to the next microsecond.
                let last = asked_at.zip(work.give_up_ms);
                let last = last.map(|(asked, ms)| Timestamp(asked.0 + ms * 1_000 + 3));
                assert!(
                    last.is_none_or(|last| due <= last) || self.clock_was_set,
                    "{id}: an attempt at {call} too late"
                );
            }
            attempts.goes_on(dispatch, work.poll_ms, self.now, self.clock_was_set);
            attempts.knows_progress(dispatch);
            let heartbeat = work.heartbeat_ms.map(Duration::from_millis);
            assert_eq!(dispatch.heartbeat, heartbeat, "{id}: heartbeat of {call}");
        }
    }

    pub(super) fn attempted(
        &mut self,
        key: ActivityKey,
        attempt: u32,
        result: &Result<Attempted, FailureDetails>,
        left: Option<u64>,
    ) {
        let attempts = self.calls.entry(key).or_default();
        // If it was made before, that was lost.
        attempts.left.remove(&(attempt, attempts.polled));
        if let Some(left) = left {
            attempts.said.insert(left);
            attempts.left.insert((attempt, attempts.polled), left);
        }
        match result {
            Ok(Attempted::Done(output)) => attempts.results.push(Ok(output.clone())),
            Ok(Attempted::Again { state, .. }) => {
                let polled = state.decode().expect("a state");
                attempts.polled_at.entry(polled).or_insert(self.now);
            }
            Err(failure) => {
                attempts.failed += 1;
                attempts.failed_at.entry(attempt).or_insert(self.now);
                attempts.results.push(Err(failure.clone()));
            }
        }
    }

    pub(super) fn said(&mut self, key: ActivityKey, n: u64) {
        self.calls.entry(key).or_default().said.insert(n);
    }

    /// A report was acknowledged.
    pub(super) fn heard(&mut self, key: ActivityKey, n: u64) {
        let attempts = self.calls.entry(key).or_default();
        attempts.heard = attempts.heard.max(n);
    }

    /// What is shown of progress is durable, of a call that is waited for, what somebody reported,
    /// and not older than what was shown before.
    fn check_progress(&mut self, id: &InstanceId, now: &Snapshot, durable: &Store) {
        let Some(stored) = durable
            .load(&InstanceKey::Id(id.clone()), 1)
            .expect("reads")
        else {
            return;
        };
        let execution = |header: &Header| (header.number, header.execution);
        let same = execution(&stored.header) == execution(&now.header);
        let mut outstanding = Outstanding::default();
        let shown = stored.turns.len().min(now.header.turns as usize);
        for turn in &*lived(&stored.turns[..shown]) {
            for step in &turn.steps {
                outstanding.follow(step, turn.time);
            }
        }
        for (call, report) in &now.reports {
            let shown = number(&report.progress);
            let key = ActivityKey {
                number: now.header.number,
                execution: now.header.execution,
                call: *call,
            };
            let calls = self.calls.entry(key).or_default();
            assert!(
                calls.said.contains(&shown),
                "{id}: progress of {call} is shown that nobody reported"
            );
            calls.heard = calls.heard.max(shown);
            if !same || stored.header.status.is_terminal() {
                continue;
            }
            let Some(Pending::Activity { since, .. }) = outstanding.get(*call) else {
                panic!("{id}: progress of {call} is shown after its end");
            };
            assert!(
                report.at >= *since,
                "{id}: {call} has progress from before it was made"
            );
            let kept = stored.attempts.iter().find(|(other, _)| other == call);
            let kept = kept.and_then(|(_, attempts)| attempts.progress.as_ref());
            assert!(
                kept.is_none_or(|kept| number(&kept.progress) >= shown),
                "{id}: progress of {call} is shown that is not durable"
            );
        }
    }

    // What the process dies of.

    /// The process has died while this call was noted to run alone: it did not end before.
    pub(super) fn accused(&mut self, key: ActivityKey, suspicion: Suspicion, durable: &Store) {
        let loaded = durable.load(&InstanceKey::Number(key.number), 0);
        let stored = loaded.expect("is readable").expect("is there");
        let history = durable.history(&stored.header).expect("is readable");
        let history = lived(&history);
        let mut steps = history.iter().flat_map(|turn| &turn.steps);
        let ended = stored.header.status.is_terminal()
            || stored.header.execution != key.execution
            || steps.any(|step| step.event.answers() == Some(key.call));
        let id = stored.header.id;
        assert!(!ended, "{id}: {} is accused, and had ended", key.call);
        let suspect = self.suspects.entry(key).or_default();
        // It may die again before the next run is noted.
        suspect.accused += u32::from(suspect.last.as_ref() != Some(&suspicion));
        suspect.last = Some(suspicion);
    }

    /// The process has died of a call: after two times it must be noted to run alone, and then
    /// the crashes are counted.
    pub(super) fn killed(&mut self, key: ActivityKey, noted: bool, young: bool, durable: &Store) {
        // An attempt that nobody waits for any more is told to stop, and may still do so; it is not
        // made again.
        if !is_wanted(&key, durable) {
            return;
        }
        let again = rewinds_of(&key, durable);
        let tries = 1 + again + self.retries.get(&key.number).copied().unwrap_or_default();
        let suspect = self.suspects.entry(key).or_default();
        if noted {
            suspect.killed += 1;
        } else if young && !self.clock_was_set {
            // After some time, or when the clock was set, it counts as alone no longer.
            suspect.unnoticed += 1;
        }
        assert!(
            suspect.killed <= LIMIT * tries,
            "{key:?} was begun again after {LIMIT} crashes"
        );
        assert!(
            suspect.unnoticed <= 2 * (self.breaks + tries),
            "the process dies of {key:?}, and nobody notices"
        );
    }

    /// A worker was stopped in good order, or had run for long.
    pub(super) fn not_in_a_series(&mut self) {
        self.breaks += 1;
    }

    /// Somebody has an instance tried again.
    pub(super) fn retried(&mut self, number: InstanceNumber) {
        *self.retries.entry(number).or_default() += 1;
    }

    /// Only calls that were accused so often are counted so.
    fn check_accusations(&self, store: &Store) {
        for (key, crashes) in store.recover().expect("reads").suspicion.crashes {
            let accused = self.suspects.get(&key).map_or(0, |suspect| suspect.accused);
            assert!(
                crashes <= accused,
                "{key:?}: {crashes} crashes counted of {accused}"
            );
        }
    }

    // What is stored.

    /// After a crash, and at the end: everything that was acknowledged is there, and sound.
    pub(super) fn check(&mut self, store: &Store) {
        let ids: Vec<_> = self.ids.keys().cloned().collect();
        for id in ids {
            if let Some(header) = header(store, &id) {
                self.meets(&header);
            } else {
                let known = self.known(&id);
                assert!(!known.started, "{id}: an acknowledged start is gone");
            }
            let swept = self.swept.contains(&id);
            self.check_instance(store, &id, swept);
            self.check_events(store, &id);
        }
        self.check_accusations(store);
        let found = store.check();
        assert!(found.is_empty(), "the store is damaged: {found:?}");
    }

    /// An instance and those it has begun.
    fn check_instance(&mut self, store: &Store, id: &InstanceId, swept: bool) {
        let Some(header) = header(store, id) else {
            return;
        };
        let turns = store
            .history(&header)
            .unwrap_or_else(|error| panic!("{id}: {error}"));
        self.check_append_only(&header, &turns);
        self.check_begin(&header, &turns);
        self.check_history(&header, &turns, is_to_be_rewound(store, id));
        let turns = lived(&turns);
        self.check_replay(&header, &turns);
        for child in begun_in(&turns) {
            assert!(
                swept || self.expires || header_or_letter(store, &child),
                "{id}: {child} is not there, although it was begun"
            );
            self.check_instance(store, &child, swept);
        }
    }

    fn check_append_only(&mut self, header: &Header, turns: &[Turn]) {
        let execution = (header.number, header.execution);
        let before = self.histories.insert(execution, turns.to_vec());
        let id = &header.id;
        // What was read may have been on its way only; what was told was durable.
        if let Some(before) = before {
            assert!(turns.starts_with(&before), "{id}: its history changed");
        }
        let known = self.ids.get(id).and_then(|known| known.last.as_ref());
        let same = |last: &&Snapshot| (last.header.number, last.header.execution) == execution;
        if let Some(last) = known.filter(same) {
            assert!(
                turns.len() >= last.header.turns as usize,
                "{id}: turns are gone"
            );
        }
    }

    /// It begins when it is to begin, unless it ends without having begun.
    fn check_begin(&self, header: &Header, turns: &[Turn]) {
        let id = &header.id;
        // Nothing is known of children: they begin at once.
        let begins = self.ids.get(id).and_then(|known| known.begins);
        let noted = header.scheduled.map(|scheduled| scheduled.at);
        assert_eq!(noted, begins, "{id}: it is to begin at another time");
        let Some(first) = turns.first() else { return };
        let ends = |step: &Step| matches!(step.event, Event::Terminated { .. });
        let did_nothing = first.steps[0].actions.is_empty() && first.steps.iter().any(ends);
        assert!(
            did_nothing || begins.is_none_or(|begins| first.time >= begins),
            "{id}: it began before its time"
        );
    }

    /// One start, at most one answer to a call, timers not early, nothing after the end, time not
    /// going back, and answers that somebody gave.
    fn check_history(&self, header: &Header, turns: &[Turn], to_be_rewound: bool) {
        let id = &header.id;
        let gone = taken_back(turns);
        let mut first = true;
        let (mut answered, mut timers) = (BTreeSet::new(), BTreeMap::new());
        let (mut begun, mut cancelled) = (BTreeSet::new(), BTreeSet::new());
        let mut patched = BTreeSet::new();
        let (mut ended, mut last) = (false, Timestamp(0));
        for (index, turn) in turns.iter().enumerate() {
            assert!(turn.time >= last, "{id}: time went back in turn {index}");
            assert!(
                turn.time <= self.latest,
                "{id}: turn {index} is in the future"
            );
            assert!(!turn.steps.is_empty(), "{id}: turn {index} is empty");
            last = turn.time;
            for (place, step) in turn.steps.iter().enumerate() {
                let index = u32::try_from(index).expect("is short");
                let place = u32::try_from(place).expect("is short");
                let place = StepIndex {
                    turn: index,
                    step: place,
                };
                if gone.contains(&place) {
                    continue;
                }
                if let Event::Rewound { takes_back, .. } = &step.event {
                    assert!(
                        takes_back.iter().all(|taken| *taken < place),
                        "{id}: a rewind takes back what comes after it"
                    );
                    continue;
                }
                assert!(!ended, "{id}: something after the end: {turns:?}");
                let is_start = matches!(step.event, Event::Started(_));
                // Terminated before its start, which was taken back, could happen again.
                let gave_up = !gone.is_empty() && matches!(step.event, Event::Terminated { .. });
                assert!(is_start == first || gave_up, "{id}: one start, first");
                first = false;
                if let Some(call) = step.event.answers() {
                    assert!(
                        begun.contains(&call),
                        "{id}: answer to {call}, which was not made"
                    );
                    assert!(answered.insert(call), "{id}: two answers to {call}");
                    assert!(
                        !cancelled.contains(&call),
                        "{id}: answer to {call}, which was cancelled"
                    );
                }
                self.check_answer(header, &step.event);
                if let Event::TimerFired { call } = &step.event {
                    let due = timers.get(call);
                    assert!(
                        due.is_some_and(|due| *due <= turn.time),
                        "{id}: timer {call} early"
                    );
                }
                ended |= matches!(step.event, Event::Terminated { .. });
                for action in &step.actions {
                    match action {
                        Action::ScheduleActivity { call, .. } => assert!(begun.insert(*call)),
                        Action::CreateTimer { call, due } => {
                            assert!(begun.insert(*call));
                            timers.insert(*call, *due);
                        }
                        Action::Cancel { call } => drop(cancelled.insert(*call)),
                        Action::StartChild { call, options, .. } if !options.detached => {
                            assert!(begun.insert(*call));
                        }
                        Action::Complete { .. }
                        | Action::Fail { .. }
                        | Action::ContinueAsNew { .. } => ended = true,
                        Action::AwaitEvent { .. }
                        | Action::SetCustomStatus { .. }
                        | Action::StartChild { .. }
                        | Action::SendEvent { .. } => {}
                        Action::Patched { name } => {
                            assert!(patched.insert(name), "{id}: patch `{name}` noted twice");
                        }
                    }
                }
            }
        }
        assert_eq!(
            ended && !to_be_rewound,
            header.status.is_terminal(),
            "{id}: {} by its header",
            header.status
        );
    }

    /// What is recorded of a call is what one of its attempts came to.
    fn check_answer(&self, header: &Header, event: &Event) {
        if let Event::ChildFailed { call, failure } = event {
            // A parent that waits for its child has not given it up, or was rewound since.
            assert!(
                !failure.message().contains("no longer waits for it"),
                "{}: the child of {call} was ended because nobody waited for it, and its parent did",
                header.id
            );
        }
        let (call, result) = match event {
            Event::ActivityCompleted { call, output } => (*call, Ok(output.clone())),
            Event::ActivityFailed { call, failure } => (*call, Err(failure.clone())),
            Event::Started(_)
            | Event::TimerFired { .. }
            | Event::EventRaised { .. }
            | Event::Terminated { .. }
            | Event::ChildCompleted { .. }
            | Event::ChildFailed { .. }
            | Event::Rewound { .. } => return,
        };
        let key = ActivityKey {
            number: header.number,
            execution: header.execution,
            call,
        };
        let known = self
            .calls
            .get(&key)
            .is_some_and(|calls| calls.results.contains(&result));
        assert!(
            known,
            "{}: nobody gave the answer to {call}: {result:?}",
            header.id
        );
    }

    fn check_events(&mut self, store: &Store, id: &InstanceId) {
        let Some(stored) = load(store, id) else {
            return;
        };
        let known = self.known(id);
        let mut seen = BTreeSet::new();
        for number in &stored.events {
            assert!(seen.insert(*number), "{id}: event {number} is there twice");
        }
        // What an earlier execution has taken is gone with its history.
        if known.started && !stored.status_is_terminal && !stored.continued {
            let lost: Vec<_> = known.raised.difference(&seen).collect();
            assert!(
                lost.is_empty(),
                "{id}: acknowledged events {lost:?} are gone"
            );
            assert!(!known.ended, "{id}: it had ended, and goes on");
        }
    }

    /// The code asks for what is recorded, from any point on.
    fn check_replay(&self, header: &Header, turns: &[Turn]) {
        let identity = std::sync::Arc::new(Identity {
            hub: self.hub,
            instance: header.id.clone(),
            number: header.number,
            execution: header.execution,
            name: header.name.clone(),
            version: header.version.clone(),
            parent: header.parent.clone(),
            tags: BTreeMap::new(),
        });
        let right = registry(Code::Right);
        let run = right
            .find_orchestrator(&header.name, &header.version)
            .expect("is registered");
        let foreign: crate::replay::ForeignWake = std::sync::Arc::new(|| ());
        let mut watched = Watched::new(&identity, run, &foreign, false);
        let terminated = |turn: &Turn| {
            let last = turn.steps.last().map(|step| &step.event);
            matches!(last, Some(Event::Terminated { .. }))
        };
        let end = turns.iter().position(terminated).unwrap_or(turns.len());
        let replayed = watched.replay(&turns[..end], Matching::Strict);
        assert!(
            replayed.is_ok(),
            "{}: it replays otherwise: {replayed:?}",
            header.id
        );
    }

    /// At the end: how it ended is how it may.
    pub(super) fn check_end(
        &mut self,
        id: &InstanceId,
        program: &[Node],
        raised: u64,
        end: &Snapshot,
    ) {
        assert!(
            end.header.status.is_terminal(),
            "{id}: it has not ended: {:?}",
            end.header
        );
        assert!(
            end.header.problem.is_none(),
            "{id}: it has ended with a problem"
        );
        let result = end
            .result
            .as_ref()
            .unwrap_or_else(|| panic!("{id}: no result"));
        if let Err(failure) = result
            && failure.kind() == FailureKind::Terminated
        {
            assert_eq!(end.header.status, RuntimeStatus::Terminated);
            return;
        }
        let known = self.known(id);
        assert!(
            !known.terminated,
            "{id}: it was terminated, and ended with {result:?}"
        );
        let failed = if result.is_ok() {
            RuntimeStatus::Completed
        } else {
            RuntimeStatus::Failed
        };
        assert_eq!(end.header.status, failed, "{id}");
        let fair = judge(program, result.as_ref(), raised);
        assert_eq!(fair, Ok(()), "{id}: wrong end of {program:?}");
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &InstanceId> {
        self.ids
            .iter()
            .filter(|(_, known)| known.started)
            .map(|(id, _)| id)
    }
}

/// What is stored of an instance, as far as clients were told of it.
struct Facts {
    status_is_terminal: bool,
    /// It was continued as new.
    continued: bool,
    events: Vec<u64>,
    terminated: bool,
}

fn header(store: &Store, id: &InstanceId) -> Option<Header> {
    let stored = store.load(&InstanceKey::Id(id.clone()), usize::MAX);
    stored
        .unwrap_or_else(|error| panic!("{id}: {error}"))
        .map(|stored| stored.header)
}

/// The instances that an execution has begun and still waits for, or has nothing to do with: one that
/// was given up may never have begun.
fn begun_in(turns: &[Turn]) -> Vec<InstanceId> {
    let steps = || turns.iter().flat_map(|turn| &turn.steps);
    let actions = || steps().flat_map(|step| &step.actions);
    let cancelled: BTreeSet<_> = actions()
        .filter_map(|action| match action {
            Action::Cancel { call } => Some(*call),
            _ => None,
        })
        .collect();
    let ends = actions().any(|action| {
        matches!(
            action,
            Action::Complete { .. } | Action::Fail { .. } | Action::ContinueAsNew { .. }
        )
    });
    let terminated = steps().any(|step| matches!(step.event, Event::Terminated { .. }));
    let begun = |action: &Action| match action {
        Action::StartChild {
            call, id, options, ..
        } => {
            let wanted = !cancelled.contains(call) && !ends && !terminated;
            (options.detached || wanted).then(|| id.clone())
        }
        _ => None,
    };
    actions().filter_map(begun).collect()
}

pub(super) fn is_to_be_rewound(store: &Store, id: &InstanceId) -> bool {
    let stored = store.load(&InstanceKey::Id(id.clone()), usize::MAX);
    let messages = stored.expect("reads").map(|stored| stored.messages);
    let mut messages = messages.into_iter().flatten();
    messages.any(|(_, event)| matches!(event, Event::Rewound { .. }))
}

fn header_or_letter(store: &Store, id: &InstanceId) -> bool {
    let on_its_way = |letter: &Letter| matches!(letter, Letter::Start { started, .. } if started.instance == *id);
    let letters = || store.recover().expect("reads").letters;
    header(store, id).is_some() || letters().iter().any(|(_, letter)| on_its_way(letter))
}

fn load(store: &Store, id: &InstanceId) -> Option<Facts> {
    let stored = store.load(&InstanceKey::Id(id.clone()), usize::MAX);
    let stored = stored.unwrap_or_else(|error| panic!("{id}: {error}"))?;
    let turns = store
        .history(&stored.header)
        .unwrap_or_else(|error| panic!("{id}: {error}"));
    let turns = lived(&turns);
    let recorded = turns
        .iter()
        .flat_map(|turn| &turn.steps)
        .map(|step| &step.event);
    let waiting = stored.messages.iter().map(|(_, event)| event);
    let mut facts = Facts {
        status_is_terminal: stored.header.status.is_terminal(),
        continued: stored.header.execution > ExecutionId::default(),
        events: Vec::new(),
        terminated: false,
    };
    let recorded = recorded.map(|event| (None, event));
    let waiting = waiting.map(|event| (Some(()), event));
    for (waits, event) in recorded.chain(waiting) {
        match event {
            Event::EventRaised { data, id, .. } => {
                let raised: Raised = data.decode().expect("an event of ours");
                // One that is raised again may wait until it is known to be.
                if id.is_none() || waits.is_none() || !facts.events.contains(&raised.number) {
                    facts.events.push(raised.number);
                }
            }
            Event::Terminated { .. } => facts.terminated = true,
            Event::Started(_)
            | Event::ActivityCompleted { .. }
            | Event::ActivityFailed { .. }
            | Event::TimerFired { .. }
            | Event::ChildCompleted { .. }
            | Event::ChildFailed { .. }
            | Event::Rewound { .. } => {}
        }
    }
    Some(facts)
}

/// How often its instance was rewound.
fn rewinds_of(key: &ActivityKey, durable: &Store) -> u32 {
    let loaded = durable.load(&InstanceKey::Number(key.number), 0);
    let stored = loaded.expect("is readable");
    let history = stored.map(|stored| durable.history(&stored.header).expect("is readable"));
    history.map_or(0, |turns| rewinds(&turns))
}

pub(super) fn rewinds(turns: &[Turn]) -> u32 {
    let steps = turns.iter().flat_map(|turn| &turn.steps);
    let rewinds = steps.filter(|step| matches!(step.event, Event::Rewound { .. }));
    u32::try_from(rewinds.count()).expect("not many")
}

/// Whether its instance still waits for the call.
fn is_wanted(key: &ActivityKey, durable: &Store) -> bool {
    let loaded = durable.load(&InstanceKey::Number(key.number), 0);
    let Some(stored) = loaded.expect("is readable") else {
        return false;
    };
    if stored.header.status.is_terminal() || stored.header.execution != key.execution {
        return false;
    }
    let history = durable.history(&stored.header).expect("is readable");
    let mut outstanding = Outstanding::default();
    for turn in &*lived(&history) {
        for step in &turn.steps {
            outstanding.follow(step, turn.time);
        }
    }
    outstanding.get(key.call).is_some()
}

/// Whether this can follow on that; suspended it can be at any time before its end.
fn is_no_earlier(new: RuntimeStatus, old: RuntimeStatus, rewound: bool) -> bool {
    match (new, old) {
        (_, RuntimeStatus::Failed) if rewound => new != RuntimeStatus::Pending,
        (_, old) if old.is_terminal() => new.is_terminal(),
        (RuntimeStatus::Pending, old) => {
            matches!(old, RuntimeStatus::Pending | RuntimeStatus::Suspended)
        }
        _ => true,
    }
}
