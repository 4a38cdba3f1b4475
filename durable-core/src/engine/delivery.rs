//! Handing what has happened to the instance it concerns.

use crate::engine::instance::{Body, Instance, Mail};
use crate::engine::message::Fetch;
use crate::engine::work::{Work, set_problem};
use crate::engine::{Answer, Engine, Want};
use crate::history::{Event, Pending};
use crate::id::InstanceNumber;
use crate::store::{InstanceKey, Op, TimerKey, TimerKind};

impl<R: Answer> Engine<R> {
    /// Goes on with an instance, loading it if need be.
    pub(super) fn on_number(&mut self, number: InstanceNumber, want: Want<R>) {
        if self.instances.contains_key(&number) {
            self.go_on(number, want);
        } else {
            self.fetch(Fetch::Instance(InstanceKey::Number(number)), want);
        }
    }

    /// Goes on with an instance in memory.
    pub(super) fn go_on(&mut self, number: InstanceNumber, want: Want<R>) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        match want {
            Want::Mail(mail) => {
                if matches!(mail.event, Event::Terminated { .. }) {
                    // Before all that waits, but not before the start.
                    let place = usize::from(instance.turns == 0 && !instance.mailbox.is_empty());
                    instance.mailbox.insert(place, mail);
                } else {
                    instance.mailbox.push_back(mail);
                }
            }
            Want::AttemptEnded { key, result } => {
                // Not before: loading the instance would have the attempt run again.
                self.work.running.remove(&key);
                if key.execution != instance.header.execution {
                    return;
                }
                let Some(Pending::Activity { options, .. }) = instance.outstanding.get(key.call)
                else {
                    return;
                };
                let call = key.call;
                let event = match result {
                    Ok(output) => Event::ActivityCompleted { call, output },
                    Err(failure) => {
                        let options = options.clone();
                        instance.last_commit = self.work.commit();
                        if self.work.retry(instance, call, &options, &failure) {
                            return;
                        }
                        Event::ActivityFailed { call, failure }
                    }
                };
                instance.mailbox.push_back(Mail::new(event));
            }
            Want::Fire(timer) => {
                if !fire(&mut self.work, instance, timer) {
                    return;
                }
            }
            Want::Load | Want::Start(..) | Want::Status(_) | Want::Wait(_) => return,
        }
        self.make_ready(number);
    }

    pub(super) fn make_ready(&mut self, number: InstanceNumber) {
        if let Some(instance) = self.instances.get_mut(&number)
            && !instance.queued
        {
            instance.queued = true;
            self.ready.push_back(number);
        }
    }

    pub(super) fn foreign_wake(&mut self, number: InstanceNumber) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        let Body::Live(watched) = &instance.body else {
            return;
        };
        let problem = watched.foreign_wake();
        instance.body = Body::Parked;
        let changed = set_problem(instance, Some(problem), self.work.now);
        self.work.summarise(instance, changed);
        self.make_ready(number);
    }

    pub(super) fn fire_due(&mut self) {
        if self.work.registry.is_none() {
            return;
        }
        for _ in 0..self.work.config.events_per_turn {
            let Some(timer) = self.work.timers.pop_due(self.work.now) else {
                break;
            };
            self.on_number(timer.number, Want::Fire(timer));
        }
        self.want_timers();
    }
}

/// A timer is due. Says whether it gave the instance something to do.
fn fire<R>(work: &mut Work<R>, instance: &mut Instance<R>, timer: TimerKey) -> bool {
    if timer.execution != instance.header.execution {
        return false;
    }
    match (timer.kind, instance.outstanding.get(timer.call)) {
        (TimerKind::Orchestrator, Some(Pending::Timer { due })) if *due == timer.due => {
            instance
                .mailbox
                .push_back(Mail::new(Event::TimerFired { call: timer.call }));
            true
        }
        (TimerKind::Retry, Some(Pending::Activity { .. })) => {
            let next = instance
                .attempts
                .get(&timer.call)
                .map(|attempts| attempts.due);
            if next == Some(timer.due) {
                instance.last_commit = work.commit();
                work.ops.push(Op::RemoveTimer(timer));
                work.dispatch(instance, timer.call);
            }
            false
        }
        _ => false,
    }
}
