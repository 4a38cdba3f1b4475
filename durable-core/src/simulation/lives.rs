//! Whether what is announced of the lives of instances is what happens in them.

use std::collections::BTreeMap;

use super::auditor::{is_to_be_rewound, rewinds};
use super::process::Store;
use crate::engine::{Happened, LifecycleKind};
use crate::id::{ExecutionId, InstanceId, InstanceNumber};
use crate::store::{Aside as _, Filter, Header, InstanceKey, List, RuntimeStatus, Store as _};
use crate::time::Timestamp;

/// What somebody who listens makes of what it is told.
#[derive(Debug, Default)]
pub(super) struct Lives(BTreeMap<InstanceNumber, Life>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Life {
    begun: bool,
    ended: Option<LifecycleKind>,
    suspended: bool,
    blocked: bool,
    execution: ExecutionId,
    /// When it did, or was rewound.
    since: Timestamp,
}

impl Life {
    fn of(header: &Header) -> Self {
        let ended = match header.status {
            RuntimeStatus::Completed => Some(LifecycleKind::Completed),
            RuntimeStatus::Failed => Some(LifecycleKind::Failed),
            RuntimeStatus::Terminated => Some(LifecycleKind::Terminated),
            _ => None,
        };
        Self {
            begun: header.turns > 0 || header.execution > ExecutionId::default(),
            ended,
            suspended: header.status == RuntimeStatus::Suspended,
            blocked: header.problem.is_some(),
            execution: header.execution,
            since: header.updated,
        }
        .told()
    }

    /// One that was terminated may not have begun.
    fn told(self) -> Self {
        Self {
            begun: self.begun || self.ended.is_some(),
            ..self
        }
    }
}

impl Lives {
    /// As somebody finds them who begins to listen now.
    pub(super) fn of(store: &Store) -> Self {
        let mut list = List {
            filter: Filter::default(),
            after: None,
            limit: 1_000,
            budget: 1_000,
            payloads: false,
        };
        let mut lives = Self::default();
        loop {
            let listed = store.list(&list).expect("reads");
            let found = listed.found.iter().map(|found| &found.header);
            lives
                .0
                .extend(found.map(|header| (header.number, Life::of(header))));
            list.after = listed.last;
            if list.after.is_none() {
                return lives;
            }
        }
    }

    /// Each follows on the one before, and is durable.
    pub(super) fn happened(&mut self, happened: &Happened, durable: &Store) {
        let Happened {
            id,
            number,
            execution,
            kind,
            at,
            name: _,
        } = happened;
        is_durable(id, *number, *kind, durable);
        let life = self.0.entry(*number).or_default();
        let ended = life.ended.is_some();
        let follows = match kind {
            LifecycleKind::Started => !ended && !std::mem::replace(&mut life.begun, true),
            LifecycleKind::Completed | LifecycleKind::Failed | LifecycleKind::Terminated => {
                life.since = *at;
                (life.suspended, life.blocked) = (false, false);
                life.ended.replace(*kind).is_none()
            }
            LifecycleKind::Suspended => !ended && !std::mem::replace(&mut life.suspended, true),
            LifecycleKind::Resumed => std::mem::take(&mut life.suspended),
            LifecycleKind::Blocked => !ended && !std::mem::replace(&mut life.blocked, true),
            LifecycleKind::Unblocked => std::mem::take(&mut life.blocked),
            LifecycleKind::ContinuedAsNew => {
                let next = ExecutionId(life.execution.0 + 1);
                life.begun && !ended && std::mem::replace(&mut life.execution, next) < next
            }
            LifecycleKind::Purged => ended,
            LifecycleKind::Rewound => life.ended.take().is_some(),
        };
        assert!(follows, "{id}: {kind:?} does not follow on {life:?}");
        assert_eq!(life.execution, *execution, "{id}: of another execution");
        if *kind == LifecycleKind::Purged {
            self.0.remove(number);
        }
    }

    /// When an instance that has ended did.
    pub(super) fn ended(&self, number: InstanceNumber) -> Option<Timestamp> {
        let life = self.0.get(&number)?;
        life.ended.map(|_| life.since)
    }

    /// Everything that has happened was announced.
    pub(super) fn check(&self, store: &Store) {
        let there = Self::of(store);
        let unborn = Life::default();
        for (number, life) in &there.0 {
            let told = self.0.get(number).unwrap_or(&unborn).clone();
            let since = life.since;
            let told = Life { since, ..told }.told();
            assert_eq!(told, *life, "instance {number:?}: not what was announced");
        }
        for number in self.0.keys() {
            let is_there = there.0.contains_key(number);
            assert!(is_there, "instance {number:?}: its purge was not announced");
        }
    }
}

/// Whether it was, or is to be, rewound.
fn goes_on(header: &Header, durable: &Store) -> bool {
    let history = durable.history(header).expect("reads");
    rewinds(&history) > 0 || is_to_be_rewound(durable, &header.id)
}

/// It may have gone on meanwhile.
fn is_durable(id: &InstanceId, number: InstanceNumber, kind: LifecycleKind, durable: &Store) {
    let key = InstanceKey::Number(number);
    let header = durable.load(&key, 0).expect("reads");
    let Some(header) = header.map(|stored| stored.header) else {
        return;
    };
    let is_so = match kind {
        LifecycleKind::Started => Life::of(&header).begun,
        LifecycleKind::Completed | LifecycleKind::Failed | LifecycleKind::Terminated => {
            header.status.is_terminal() || goes_on(&header, durable)
        }
        LifecycleKind::Purged => false,
        LifecycleKind::Suspended
        | LifecycleKind::Resumed
        | LifecycleKind::Blocked
        | LifecycleKind::Unblocked
        | LifecycleKind::ContinuedAsNew
        | LifecycleKind::Rewound => true,
    };
    assert!(is_so, "{id}: {kind:?} was announced and is not durable");
}
