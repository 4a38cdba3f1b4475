//! After the end: the hub is opened with a rule of how long instances are kept, and what is over
//! leaves, while the power fails, calls into the store go wrong, the clock is set, and others end.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use crate::engine::{Begin, Command, Rules, StartRequest};
use crate::id::InstanceId;
use crate::payload::Payload;
use crate::store::{
    Aside as _, Filter, Header, InstanceKey, Keep, List, Retention, RuntimeStatus, Store as _,
};
use crate::time::Timestamp;

/// So long things go wrong.
const TROUBLE: u64 = 300;
/// No run takes so many steps afterwards, by far.
const ENDLESS: u64 = 20_000;

/// Milliseconds for which instances are kept that have completed, failed, and were terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptFor {
    pub(crate) completed: Option<u64>,
    pub(crate) failed: Option<u64>,
    pub(crate) terminated: Option<u64>,
}

impl KeptFor {
    pub(crate) fn random(rng: &mut fastrand::Rng) -> Self {
        let mut some = || match rng.u8(0..4) {
            0 => None,
            1 => Some(0),
            _ => Some(10_u64.pow(rng.u32(0..8))),
        };
        Self {
            completed: some(),
            failed: some(),
            terminated: some(),
        }
    }

    fn retention(self) -> Retention {
        let time = |ms| Duration::from_millis(ms);
        let Self {
            completed,
            failed,
            terminated,
        } = self;
        let keep = Keep::new();
        let keep = completed.into_iter().map(time).fold(keep, Keep::completed);
        let keep = failed.into_iter().map(time).fold(keep, Keep::failed);
        let keep = terminated
            .into_iter()
            .map(time)
            .fold(keep, Keep::terminated);
        Retention::new(keep)
    }

    /// Before that it must be there; `None`: always.
    fn until(self, header: &Header) -> Option<Timestamp> {
        let ms = match header.status {
            RuntimeStatus::Completed => self.completed,
            RuntimeStatus::Failed => self.failed,
            RuntimeStatus::Terminated => self.terminated,
            RuntimeStatus::Pending
            | RuntimeStatus::Running
            | RuntimeStatus::ContinuedAsNew
            | RuntimeStatus::Canceled
            | RuntimeStatus::Suspended => None,
        };
        ms.map(|ms| Timestamp(header.updated.0 + ms * 1_000))
    }
}

impl World {
    /// Nobody asks for a purge here: what leaves is over, and in the end nothing is left that is.
    pub(super) fn expire(&mut self) {
        let Some(kept) = self.plan.kept else { return };
        self.auditor.forget();
        self.worker = None;
        self.rules = Rules {
            retention: Arc::new(kept.retention()),
            ..Rules::default()
        };
        let troubles = self.plan.chances;
        self.restart();
        for n in 0..TROUBLE {
            match self.rng.u8(0..16) {
                0 if self.once_in(troubles.crash.min(4)) => drop(self.die()),
                1 if troubles.fault > 0 && !self.faults.is_set() => self.break_soon(),
                2 if troubles.jump > 0 && self.rng.u8(0..4) == 0 => self.set_clock(),
                3 => self.end_another(n),
                4 | 5 => self.pass_time(),
                _ => self.step(kept),
            }
        }
        self.faults.set(None);
        for _ in 0..ENDLESS {
            if self.rest(kept).is_break() {
                return self.check_expired(kept);
            }
        }
        panic!("what is over leaves without end: {}", self.describe());
    }

    fn break_soon(&mut self) {
        self.faults.set(Some(super::super::process::Fault {
            calls: self.rng.u64(0..40),
            after: self.rng.bool(),
        }));
    }

    /// One that begins, and ends before its first turn.
    fn end_another(&mut self, n: u64) {
        let id = InstanceId::new(format!("late{n}")).expect("valid");
        self.send(Command::Start(StartRequest {
            id: id.clone(),
            name: "nobody's".to_owned(),
            version: String::new(),
            input: Payload::NULL,
            tags: std::collections::BTreeMap::new(),
            fresh: false,
            begin: Begin::AtOnce,
            event: None,
        }));
        self.send(Command::Terminate {
            id,
            reason: None,
            children: false,
        });
    }

    fn step(&mut self, kept: KeptFor) {
        match self.rng.u8(0..4) {
            0 => self.apply(),
            1 => self.sync(),
            2 => self.release(),
            _ => {
                self.settle();
                self.check_purged(kept);
            }
        }
    }

    /// What the engine has purged in the commits it has just sealed was over.
    fn check_purged(&mut self, kept: KeptFor) {
        let Some(process) = &mut self.process else {
            return;
        };
        let fault = self.faults.pause();
        for id in std::mem::take(&mut process.purged) {
            let loaded = process.store.load(&InstanceKey::Id(id.clone()), 0);
            let header = loaded.expect("reads").expect("is not applied yet").header;
            let over = kept.until(&header).is_some_and(|until| until <= self.now);
            assert!(over, "{id}: it was purged before its time was over");
            self.figures.expired += 1;
        }
        self.faults.set(fault);
    }

    /// Nothing goes wrong; breaks when nothing is to come.
    fn rest(&mut self, kept: KeptFor) -> ControlFlow<()> {
        self.settle();
        self.check_purged(kept);
        self.apply();
        self.sync();
        self.release();
        let Some(process) = self.process.as_ref().filter(|process| process.is_idle()) else {
            return ControlFlow::Continue(());
        };
        match process.engine.next_deadline() {
            Some(deadline) => {
                self.now = self.now.max(deadline);
                self.auditor.time(self.now);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }

    fn check_expired(&mut self, kept: KeptFor) {
        let Some(process) = &self.process else { return };
        let all = List {
            filter: Filter::default(),
            after: None,
            limit: usize::MAX,
            budget: usize::MAX,
            payloads: false,
        };
        for left in process.store.list(&all).expect("reads").found {
            let (id, until) = (&left.header.id, kept.until(&left.header));
            assert_eq!(until, None, "{id}: its time is over, and it is there");
        }
        self.auditor.check(&process.store);
        self.lives.check(&process.store);
    }
}
