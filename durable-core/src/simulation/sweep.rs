//! Somebody who purges an instance with its children, as
//! [`Client::purge_recursive`](crate::Client::purge_recursive) does.

use std::collections::{BTreeMap, BTreeSet};

use super::process::{Store, Ticket};
use crate::engine::family::{Family, Next};
use crate::id::InstanceNumber;
use crate::store::{Aside as _, Child, Filter, List, Store as _, StoreError};

#[derive(Debug)]
pub(super) struct Sweep {
    root: Child,
    /// Of the client that asks for it.
    ticket: Ticket,
    family: Family,
    looking: bool,
    /// Purges that were asked for and not answered.
    waiting: BTreeMap<u64, Child>,
    purged: BTreeSet<InstanceNumber>,
    /// No child has begun meanwhile: none was on its way, and nothing was rewound.
    quiet: bool,
    /// One of them goes on.
    given_up: bool,
}

/// What it asks for.
#[derive(Debug)]
pub(super) enum Asks {
    Nothing,
    /// To purge these.
    Purge(Vec<Child>),
    /// To purge the last of them, for the client, for it is done.
    Last(Child, Ticket),
    /// Something goes on: only the client's own is purged.
    Refused(Ticket),
}

impl Sweep {
    pub(super) fn new(root: Child, ticket: Ticket, quiet: bool) -> Self {
        Self {
            family: Family::of(root.clone()),
            root,
            ticket,
            looking: true,
            waiting: BTreeMap::new(),
            purged: BTreeSet::new(),
            quiet,
            given_up: false,
        }
    }

    pub(super) fn go_on(&mut self, store: &Store) -> Result<Asks, StoreError> {
        if !self.waiting.is_empty() {
            return Ok(Asks::Nothing);
        }
        if self.given_up {
            return Ok(Asks::Refused(self.ticket.clone()));
        }
        match self.family.next() {
            Some(Next::Find(find)) => self.family.found(store.children(&find)?),
            Some(Next::Leave(found)) if self.looking => {
                if found.iter().any(|child| !child.status.is_terminal()) {
                    return Ok(Asks::Refused(self.ticket.clone()));
                }
            }
            Some(Next::Leave(found)) if found.contains(&self.root) => {
                self.nothing_is_left(store)?;
                return Ok(Asks::Last(self.root.clone(), self.ticket.clone()));
            }
            Some(Next::Leave(found)) => return Ok(Asks::Purge(found)),
            None => {
                self.looking = false;
                self.family = Family::of(self.root.clone());
            }
        }
        Ok(Asks::Nothing)
    }

    pub(super) fn asked(&mut self, ticket: u64, child: Child) {
        self.waiting.insert(ticket, child);
    }

    /// Whose purge this answers, if it is one of its own.
    pub(super) fn answered(&mut self, ticket: u64) -> Option<Child> {
        self.waiting.remove(&ticket)
    }

    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Somebody is rewound, who may begin children.
    pub(super) fn somebody_goes_on(&mut self) {
        self.quiet = false;
    }

    pub(super) fn purged(&mut self, child: &Child, durable: &Store) {
        let there = durable.glimpse(&child.id).expect("reads");
        let same = there.is_some_and(|there| there.header.number == child.number);
        assert!(!same, "{}: its purge is not durable", child.id);
        self.purged.insert(child.number);
    }

    /// Nobody is a child of one that was purged.
    fn nothing_is_left(&self, store: &Store) -> Result<(), StoreError> {
        let all = List {
            filter: Filter::default(),
            after: None,
            limit: usize::MAX,
            budget: usize::MAX,
            payloads: false,
        };
        for found in store.list(&all)?.found {
            let parent = found.header.parent.as_ref().map(|parent| parent.number);
            let orphan = parent
                .is_some_and(|parent| parent == self.root.number || self.purged.contains(&parent));
            assert!(
                !(orphan && self.quiet),
                "{}: it was left when its parent was purged",
                found.header.id
            );
        }
        Ok(())
    }
}
