//! Handing what has happened to the instance it concerns.

use crate::activity::Attempted;
use crate::engine::hold::Hold;
use crate::engine::instance::{Body, Instance};
use crate::engine::mailbox::Mail;
use crate::engine::message::{ActivityKey, Response};
use crate::engine::work::{Next, Work, set_problem};
use crate::engine::{Answer, Config, Engine, Want};
use crate::failure::FailureDetails;
use crate::history::{Event, Pending};
use crate::id::InstanceNumber;
use crate::payload::Payload;
use crate::store::{InstanceKey, TimerKey, TimerKind};
use crate::time::Timestamp;

impl<R: Answer> Engine<R> {
    /// Goes on with an instance, loading it if need be.
    pub(super) fn on_number(&mut self, number: InstanceNumber, want: Want<R>) {
        if self.instances.contains_key(&number) {
            self.go_on(number, want);
        } else {
            self.fetch_instance(InstanceKey::Number(number), want);
        }
    }

    /// Goes on with an instance in memory.
    pub(super) fn go_on(&mut self, number: InstanceNumber, want: Want<R>) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        let for_client = matches!(want, Want::Mail(_) | Want::Hold(_));
        let has_work = match want {
            Want::Mail(mail) => deliver(&mut self.work, instance, mail),
            // What the store keeps of it is needed, and it is not all here.
            Want::Hold(hold @ Hold::Rewind(..)) if matches!(instance.body, Body::Ended) => {
                self.rewinds.push((number, hold));
                return self.nudge();
            }
            Want::Hold(hold) => {
                instance.holds.push(hold);
                true
            }
            Want::Letter(seq, letter) => return self.deliver_letter(number, seq, letter),
            Want::AttemptEnded {
                worker,
                key,
                attempt,
                result,
                progress,
            } if self.work.is_current(worker) => {
                let left = progress.map(|progress| (attempt, progress));
                attempt_ended(&mut self.work, instance, key, result, left)
            }
            Want::Reported(reported, reply) => {
                self.work.reported(instance, reported, reply);
                false
            }
            Want::Fire(timer) => fire(&mut self.work, instance, timer),
            Want::Suspect(key) => {
                begin_suspect(&mut self.work, instance, key);
                false
            }
            Want::Retry(reply) => return self.retry(number, reply),
            // Another worker has begun while this was being loaded, and makes the attempt again.
            Want::AttemptEnded { .. }
            | Want::Load
            | Want::Expire
            | Want::Start(..)
            | Want::Status(..)
            | Want::Wait(_)
            | Want::Watch(..)
            | Want::Purge(..) => false,
        };
        if has_work {
            self.make_ready(number, for_client);
        }
    }

    /// It has something to do; for a client, or of itself, of which there can always be more.
    pub(super) fn make_ready(&mut self, number: InstanceNumber, for_client: bool) {
        if let Some(instance) = self.instances.get_mut(&number) {
            self.ready.push(number, &mut instance.standing, for_client);
        }
    }

    pub(super) fn foreign_wake(&mut self, number: InstanceNumber) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        let Body::Live(watched) = &instance.body else {
            return;
        };
        // The wake may have been meant for an execution that was replaced since.
        let Some(problem) = watched.foreign_wake() else {
            return;
        };
        instance.body = Body::Parked;
        let changed = set_problem(instance, Some(problem), self.work.now);
        self.work.summarise(instance, changed);
        self.make_ready(number, false);
    }

    /// If it is one's turn.
    pub(super) fn begin_suspect(&mut self) {
        if self.work.takes_new()
            && let Some(key) = self.work.suspects.next(self.work.now)
        {
            self.on_number(key.number, Want::Suspect(key));
        }
    }

    /// An instance with a problem goes on as if it had none, and shows if it still has.
    fn retry(&mut self, number: InstanceNumber, reply: R) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        if matches!(instance.body, Body::Ended) {
            let status = instance.header.status;
            return self.work.reply(reply, Response::Ended(status));
        }
        let execution = instance.header.execution;
        for key in self.work.suspects.forgive(number) {
            if matches!(instance.body, Body::Live(_)) && key.execution == execution {
                self.work.dispatch(instance, key.call);
            }
        }
        let changed = self.work.reconsider_calls(instance);
        self.work.summarise(instance, changed);
        if matches!(instance.body, Body::Parked) && self.work.registry.is_some() {
            self.to_load.push_back(number);
            self.load_some();
        }
        self.work.reply(reply, Response::Done);
    }

    fn now_for_timers(&self) -> Timestamp {
        let early = if planted!(TimerEarly) { 1_000 } else { 0 };
        Timestamp(self.work.now.0 + early)
    }

    pub(super) fn fire_due(&mut self) {
        if self.work.registry.is_none() {
            return;
        }
        for _ in 0..self.work.config.events_per_commit {
            let Some(timer) = self.work.timers.pop_due(self.now_for_timers()) else {
                break;
            };
            self.on_number(timer.number, Want::Fire(timer));
        }
        self.want_timers();
    }
}

// Each of these says whether it gave the instance something to do.

fn deliver<R>(work: &mut Work<R>, instance: &mut Instance<R>, mail: Mail<R>) -> bool {
    if matches!(mail.event, Event::Terminated { .. }) {
        insert_first(instance, mail);
        return true;
    }
    if planted!(SwallowEvent) && matches!(instance.body, Body::Parked) {
        if let Some(reply) = mail.reply {
            work.reply(reply, Response::Done);
        }
        return false;
    }
    if planted!(ReorderEvents) && matches!(mail.event, Event::EventRaised { .. }) {
        let start = usize::from(matches!(instance.body, Body::Fresh));
        let place = start.min(instance.mailbox.len());
        instance.mailbox.insert(place, mail);
        return true;
    }
    // What waits for a live one is bounded by what clients may have under way.
    if matches!(instance.body, Body::Parked) {
        let Config {
            max_waiting,
            max_waiting_bytes,
            ..
        } = work.config;
        let bytes = instance.mailbox.bytes() + mail.event.bytes();
        if instance.mailbox.len() >= max_waiting || bytes > max_waiting_bytes {
            if let Some(reply) = mail.reply {
                work.reply(reply, Response::TooManyWaiting);
            }
            return false;
        }
    }
    instance.mailbox.push(mail);
    true
}

/// Before all that waits, but not before the start, a rewind or another termination.
pub(super) fn insert_first<R>(instance: &mut Instance<R>, mail: Mail<R>) {
    let first = |mail: &Mail<R>| {
        matches!(
            mail.event,
            Event::Started(_) | Event::Rewound { .. } | Event::Terminated { .. }
        )
    };
    let place = instance
        .mailbox
        .iter()
        .take_while(|mail| first(mail))
        .count();
    instance.mailbox.insert(place, mail);
}

/// Unless it has ended meanwhile, or does not go on.
fn begin_suspect<R>(work: &mut Work<R>, instance: &mut Instance<R>, key: ActivityKey) {
    let call = key.call;
    let is_wanted = key.execution == instance.header.execution
        && matches!(instance.body, Body::Live(_))
        && !instance.answered().contains(&call);
    if is_wanted {
        work.dispatch(instance, call);
    }
    if !work.running.contains_key(&key) {
        work.suspects.pass(&key);
    }
}

fn attempt_ended<R>(
    work: &mut Work<R>,
    instance: &mut Instance<R>,
    key: ActivityKey,
    result: Result<Attempted, FailureDetails>,
    left: Option<(u32, Payload)>,
) -> bool {
    // Not there if its worker was stopped while the instance was being loaded.
    work.running.remove(&key);
    work.suspects.acquit(&key);
    let call = key.call;
    let outstanding = matches!(
        instance.outstanding.get(call),
        Some(Pending::Activity { .. })
    );
    if !outstanding || key.execution != instance.header.execution {
        return false;
    }
    if !matches!(result, Ok(Attempted::Done(_)))
        && let Some((attempt, progress)) = left
    {
        work.note_progress(instance, call, attempt, progress);
    }
    let event = match result {
        Ok(Attempted::Done(output)) => Event::ActivityCompleted { call, output },
        Ok(Attempted::Again { after, state }) => {
            work.ask_again(instance, call, after, state);
            return false;
        }
        Err(failure) => match work.after_failure(instance, call, &failure) {
            Next::Fails => Event::ActivityFailed { call, failure },
            Next::IsRetried | Next::IsLost => return false,
        },
    };
    instance.mailbox.push(Mail::new(event));
    true
}

fn fire<R>(work: &mut Work<R>, instance: &mut Instance<R>, timer: TimerKey) -> bool {
    if timer.execution != instance.header.execution {
        return false;
    }
    match (timer.kind, instance.outstanding.get(timer.call)) {
        (TimerKind::Start, _) => {
            instance.start_is_due = instance.header.begins_later() == Some(timer.due);
            instance.start_is_due
        }
        (TimerKind::Orchestrator, Some(Pending::Timer { due })) if *due == timer.due => {
            instance
                .mailbox
                .push(Mail::new(Event::TimerFired { call: timer.call }));
            true
        }
        // Its entry stays as long as the failed attempts are remembered: it fires once more after
        // a restart, when the attempt runs already or was answered.
        (TimerKind::Retry, Some(Pending::Activity { .. } | Pending::Child { .. })) => {
            let is_next = instance.next_due(timer.call) == Some(timer.due);
            if is_next && !instance.answered().contains(&timer.call) {
                let problem = instance.header.problem.clone();
                work.begin(instance, timer.call);
                let changed = instance.header.problem != problem;
                work.summarise(instance, changed);
            }
            false
        }
        _ => false,
    }
}
