//! What is done to an instance as a whole, as part of its turn: suspending, resuming, rewinding.
//!
//! A suspended instance takes no turns: it is parked like one without a worker, so what arrives is
//! stored. Activities that run go on, and so do retries and timers; only the orchestrator does not
//! hear of it. That it is suspended stands in its header, in which it outlives any restart.

use super::instance::{Body, Instance};
use super::lifecycle::LifecycleKind;
use super::message::Response;
use super::rewind::By;
use super::work::Work;
use crate::id::ExecutionId;
use crate::store::RuntimeStatus;

/// What a client wants of an instance as a whole, and who is told once it is so.
#[derive(Debug)]
pub(super) enum Hold<R> {
    Suspend(String, R),
    Resume(R),
    Rewind(String, By<R>),
}

impl<R> Hold<R> {
    pub(super) fn into_by(self) -> By<R> {
        match self {
            Self::Suspend(_, reply) | Self::Resume(reply) => By::Client(reply),
            Self::Rewind(_, by) => by,
        }
    }
}

impl<R> Work<R> {
    /// Does what was asked for, as part of the instance's turn. Says whether the summary changed.
    pub(super) fn hold(&mut self, instance: &mut Instance<R>) -> bool {
        let mut changed = false;
        for hold in std::mem::take(&mut instance.holds) {
            let status = instance.header.status;
            let reply = match hold {
                Hold::Rewind(reason, by) => {
                    changed |= self.rewind(instance, reason, by);
                    continue;
                }
                Hold::Suspend(_, reply) | Hold::Resume(reply) if status.is_terminal() => {
                    self.reply(reply, Response::Ended(status));
                    continue;
                }
                Hold::Suspend(reason, reply) => {
                    changed |= self.suspend_all(instance, reason);
                    reply
                }
                Hold::Resume(reply) => {
                    changed |= self.resume_all(instance);
                    reply
                }
            };
            self.reply(reply, Response::Done);
        }
        changed
    }

    fn suspend_all(&mut self, instance: &mut Instance<R>, reason: String) -> bool {
        let changes = !instance.is_suspended();
        if changes {
            instance.header.status = RuntimeStatus::Suspended;
            instance.header.suspended = Some(reason);
            instance.body = Body::Parked;
            self.announce(&instance.header, LifecycleKind::Suspended);
        }
        changes
    }

    fn resume_all(&mut self, instance: &mut Instance<R>) -> bool {
        if !instance.is_suspended() {
            return false;
        }
        instance.header.suspended = None;
        let begun = instance.turns > 0 || instance.header.execution > ExecutionId::default();
        instance.header.status = if begun {
            RuntimeStatus::Running
        } else {
            RuntimeStatus::Pending
        };
        if instance.turns == 0 {
            instance.body = if planted!(BeginEarly) {
                Body::Fresh
            } else {
                Body::before_its_start(&instance.header)
            };
        } else {
            // Its history must be read first.
            instance.to_be_revived = true;
        }
        self.announce(&instance.header, LifecycleKind::Resumed);
        true
    }
}
