//! Suspending an instance and resuming it.
//!
//! A suspended instance takes no turns: it is parked like one without a worker, so what arrives is
//! stored. Activities that run go on, and so do retries and timers; only the orchestrator does not
//! hear of it. That it is suspended stands in its header, in which it outlives any restart.

use super::instance::{Body, Instance};
use super::lifecycle::LifecycleKind;
use super::message::Response;
use super::work::Work;
use crate::id::ExecutionId;
use crate::store::RuntimeStatus;

/// What a client wants of an instance as a whole, and who is told once it is so.
#[derive(Debug)]
pub(super) enum Hold<R> {
    Suspend(String, R),
    Resume(R),
}

impl<R> Hold<R> {
    pub(super) fn into_reply(self) -> R {
        match self {
            Self::Suspend(_, reply) | Self::Resume(reply) => reply,
        }
    }
}

impl<R> Work<R> {
    /// Does what was asked for, as part of the instance's turn. Says whether the summary changed.
    pub(super) fn hold(&mut self, instance: &mut Instance<R>) -> bool {
        let mut changed = false;
        for hold in std::mem::take(&mut instance.holds) {
            let suspended = instance.is_suspended();
            match &hold {
                Hold::Suspend(reason, _) if !suspended => {
                    instance.header.status = RuntimeStatus::Suspended;
                    instance.header.suspended = Some(reason.clone());
                    instance.body = Body::Parked;
                    self.announce(&instance.header, LifecycleKind::Suspended);
                    changed = true;
                }
                Hold::Resume(_) if suspended => {
                    resume(instance);
                    self.announce(&instance.header, LifecycleKind::Resumed);
                    changed = true;
                }
                // It is as it is wanted.
                Hold::Suspend(..) | Hold::Resume(_) => {}
            }
            self.reply(hold.into_reply(), Response::Done);
        }
        changed
    }

    /// It has ended before.
    pub(super) fn refuse_holds(&mut self, instance: &mut Instance<R>) {
        for hold in std::mem::take(&mut instance.holds) {
            self.reply(hold.into_reply(), Response::Ended(instance.header.status));
        }
    }
}

fn resume<R>(instance: &mut Instance<R>) {
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
}
