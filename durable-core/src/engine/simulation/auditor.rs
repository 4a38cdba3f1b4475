//! What was promised, and whether it is kept.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Dispatch, Response, Snapshot};
use crate::history::{Action, Event, Turn};
use crate::id::{CallId, InstanceId};
use crate::store::{InstanceKey, RuntimeStatus, Store, Stored};
use crate::time::Timestamp;

/// Remembers what the outside was told.
#[derive(Debug, Default)]
pub(super) struct Auditor {
    /// Starts that were acknowledged.
    started: BTreeSet<InstanceId>,
    /// Events that were acknowledged, in order.
    raised: BTreeMap<InstanceId, Vec<String>>,
    /// Terminations that were acknowledged.
    terminated: BTreeSet<InstanceId>,
    /// The last status that was read.
    seen: BTreeMap<InstanceId, Snapshot>,
}

impl Auditor {
    pub(super) fn started(&mut self, id: &InstanceId) {
        self.started.insert(id.clone());
    }

    pub(super) fn raised(&mut self, id: &InstanceId, data: &str) {
        self.raised
            .entry(id.clone())
            .or_default()
            .push(data.to_owned());
    }

    pub(super) fn terminated(&mut self, id: &InstanceId) {
        self.terminated.insert(id.clone());
    }

    /// At the end: who was terminated did not end otherwise.
    pub(super) fn ended(&self, id: &InstanceId, output: &str) {
        let terminated = output.starts_with("terminated");
        assert!(
            terminated || !self.terminated.contains(id),
            "{id} was terminated and gave {output}"
        );
    }

    /// What was read never goes back.
    pub(super) fn read(&mut self, id: &InstanceId, response: &Response) {
        match response {
            Response::Status(now) => {
                if let Some(before) = self.seen.get(id) {
                    assert!(
                        now.header.turns >= before.header.turns,
                        "{id}: turns went back"
                    );
                    assert!(
                        now.header.updated >= before.header.updated,
                        "{id}: time went back"
                    );
                    assert_eq!(
                        now.header.number, before.header.number,
                        "{id}: another incarnation"
                    );
                    if before.header.status.is_terminal() {
                        assert_eq!(now.result, before.result, "{id}: the result changed");
                    }
                    assert!(
                        rank(now.header.status) >= rank(before.header.status),
                        "{id}: status went back"
                    );
                }
                self.seen.insert(id.clone(), (**now).clone());
            }
            Response::NotFound => {
                assert!(
                    !self.started.contains(id),
                    "{id}: an acknowledged start is gone"
                );
                assert!(!self.seen.contains_key(id), "{id}: it was there");
            }
            other => panic!("{id}: a read answered {other:?}"),
        }
    }

    /// No attempt runs before what asked for it is in the store.
    pub(super) fn dispatched(dispatch: &Dispatch, store: &impl Store) {
        let stored = load(store, &dispatch.instance);
        let scheduled = stored
            .turns
            .iter()
            .flat_map(|turn| &turn.steps)
            .flat_map(|step| &step.actions);
        let found = scheduled.into_iter().any(|action| {
            matches!(action, Action::ScheduleActivity { call, .. } if *call == dispatch.key.call)
        });
        // By then it may have ended, and its history need not be loaded.
        assert!(
            found || stored.header.status.is_terminal(),
            "dispatched before it was durable"
        );
    }

    /// After a crash: what was acknowledged is there, and histories are sound.
    pub(super) fn after_restart(&self, store: &impl Store, now: Timestamp) {
        for id in &self.started {
            self.check(&load(store, id), now);
        }
    }

    fn check(&self, stored: &Stored, now: Timestamp) {
        let id = &stored.header.id;
        if stored.header.status.is_terminal() {
            return;
        }
        check_history(id, &stored.turns, now);
        let steps = stored.turns.iter().flat_map(|turn| &turn.steps);
        let events = steps
            .map(|step| &step.event)
            .chain(stored.messages.iter().map(|(_, event)| event));
        let kept: Vec<_> = events.filter_map(event_data).collect();
        for data in self.raised.get(id).into_iter().flatten() {
            assert!(
                kept.contains(data),
                "{id}: acknowledged event {data} is gone, there is {kept:?}"
            );
        }
    }

    pub(super) fn acknowledged(&self) -> impl Iterator<Item = &InstanceId> {
        self.started.iter()
    }
}

fn load(store: &impl Store, id: &InstanceId) -> Stored {
    let stored = store.load(&InstanceKey::Id(id.clone())).expect("loads");
    stored.unwrap_or_else(|| panic!("{id}: an acknowledged start is gone"))
}

fn event_data(event: &Event) -> Option<String> {
    match event {
        Event::EventRaised { data, .. } => {
            Some(String::from_utf8_lossy(data.as_bytes()).into_owned())
        }
        _ => None,
    }
}

fn rank(status: RuntimeStatus) -> u8 {
    match status {
        RuntimeStatus::Pending => 0,
        status if status.is_terminal() => 2,
        _ => 1,
    }
}

/// What holds of every history: one start, at most one answer to a call, timers not early, nothing
/// after the end, time not going back.
pub(super) fn check_history(id: &InstanceId, turns: &[Turn], now: Timestamp) {
    let mut answered = BTreeSet::new();
    let mut timers = BTreeMap::new();
    let mut begun = BTreeSet::new();
    let (mut ended, mut last) = (false, Timestamp(0));
    for (index, turn) in turns.iter().enumerate() {
        assert!(
            turn.time >= last && turn.time <= now,
            "{id}: time of turn {index}"
        );
        last = turn.time;
        for (place, step) in turn.steps.iter().enumerate() {
            assert!(!ended, "{id}: something after the end");
            let first = (index, place) == (0, 0);
            assert_eq!(
                matches!(step.event, Event::Started(_)),
                first,
                "{id}: one start, first"
            );
            if let Some(call) = answer(&step.event) {
                assert!(
                    begun.contains(&call),
                    "{id}: answer to {call}, which was not made"
                );
                assert!(answered.insert(call), "{id}: two answers to {call}");
            }
            if let Event::TimerFired { call } = &step.event {
                assert!(
                    timers.get(call).is_some_and(|due| *due <= turn.time),
                    "{id}: timer {call} early"
                );
            }
            for action in &step.actions {
                match action {
                    Action::ScheduleActivity { call, .. } => assert!(begun.insert(*call)),
                    Action::CreateTimer { call, due } => {
                        assert!(begun.insert(*call));
                        timers.insert(*call, *due);
                    }
                    Action::Complete { .. } | Action::Fail { .. } => ended = true,
                    Action::AwaitEvent { .. }
                    | Action::Cancel { .. }
                    | Action::SetCustomStatus { .. } => {}
                }
            }
        }
    }
}

fn answer(event: &Event) -> Option<CallId> {
    match event {
        Event::ActivityCompleted { call, .. }
        | Event::ActivityFailed { call, .. }
        | Event::TimerFired { call } => Some(*call),
        Event::Started(_) | Event::EventRaised { .. } | Event::Terminated { .. } => None,
    }
}
