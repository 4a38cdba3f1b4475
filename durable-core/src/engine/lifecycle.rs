//! What is announced of the lives of instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::instance::{Body, Instance};
use super::message::Effect;
use super::work::Work;
use crate::id::{ExecutionId, InstanceId, InstanceNumber};
use crate::store::{Header, RuntimeStatus};
use crate::time::Timestamp;

/// What happens in the life of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LifecycleKind {
    /// It has begun: its first turn was taken. (One that is to begin later, or that no worker runs, is
    /// there before.)
    Started,
    /// It has ended with its output.
    Completed,
    /// It has ended with an error or a panic.
    Failed,
    /// It was ended from outside, perhaps before it began.
    Terminated,
    /// It is held from outside.
    Suspended,
    /// It goes on, or is to begin, after it was suspended.
    Resumed,
    /// It does not go on, or an activity of it does not: there is a
    /// [problem](crate::OrchestrationStatus::problem).
    Blocked,
    /// The problem is gone.
    Unblocked,
    /// It goes on in another execution, the one that is told.
    ContinuedAsNew,
    /// What was kept of it is gone.
    Purged,
    /// It had failed, or was given up by its parent, and goes on.
    Rewound,
}

impl LifecycleKind {
    fn of_end(status: RuntimeStatus) -> Self {
        match status {
            RuntimeStatus::Failed => Self::Failed,
            RuntimeStatus::Terminated | RuntimeStatus::Canceled => Self::Terminated,
            RuntimeStatus::Completed
            | RuntimeStatus::Pending
            | RuntimeStatus::Running
            | RuntimeStatus::ContinuedAsNew
            | RuntimeStatus::Suspended => Self::Completed,
        }
    }
}

/// Something has happened in the life of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    pub(crate) id: InstanceId,
    pub(crate) number: InstanceNumber,
    pub(crate) execution: ExecutionId,
    pub(crate) name: String,
    pub(crate) at: Timestamp,
    pub(crate) kind: LifecycleKind,
}

/// How many listen: while nobody does, nothing is announced.
pub(crate) type Listeners = Arc<AtomicUsize>;

impl<R> Work<R> {
    /// Tells whoever listens, once the commit that is being built is durable.
    pub(super) fn announce(&mut self, header: &Header, kind: LifecycleKind) {
        if self.listeners.load(Ordering::Acquire) == 0 {
            return;
        }
        self.effects.push(Effect::Announce(Box::new(Happened {
            id: header.id.clone(),
            number: header.number,
            execution: header.execution,
            name: header.name.clone(),
            // The clock may have been set back.
            at: self.now.max(header.updated),
            kind,
        })));
    }

    /// It has taken its first turn; one that ends without being run does not begin.
    pub(super) fn announce_start(&mut self, instance: &Instance<R>) {
        if matches!(instance.body, Body::Live(_)) {
            self.announce(&instance.header, LifecycleKind::Started);
        }
    }

    pub(super) fn announce_end(&mut self, header: &Header) {
        self.announce(header, LifecycleKind::of_end(header.status));
    }

    /// Whether it has a problem may have changed; with its end it is of no interest.
    pub(super) fn announce_problem(&mut self, instance: &mut Instance<R>) {
        let blocked = instance.header.problem.is_some();
        if std::mem::replace(&mut instance.blocked, blocked) == blocked
            || instance.header.status.is_terminal()
        {
            return;
        }
        if blocked {
            self.announce(&instance.header, LifecycleKind::Blocked);
        } else if !planted!(ForgetUnblocked) {
            self.announce(&instance.header, LifecycleKind::Unblocked);
        }
    }
}
