//! Which instances are asked for.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde::Serialize;

use crate::history::Tags;
use crate::id::{InstanceId, InstanceNumber};
use crate::store::{Glimpse, Header, RuntimeStatus};
use crate::time::Timestamp;

/// What an instance must be like. Of several values of one kind it has one of them, of tags all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Filter {
    /// Empty: any.
    pub(crate) statuses: BTreeSet<RuntimeStatus>,
    /// Empty: any.
    pub(crate) names: BTreeSet<String>,
    pub(crate) id_prefix: String,
    pub(crate) tags: Tags,
    pub(crate) blocked: Option<bool>,
    pub(crate) created: Option<RangeInclusive<Timestamp>>,
    /// When it has ended; one that has not does not match.
    pub(crate) completed: Option<RangeInclusive<Timestamp>>,
    /// Whose children.
    pub(crate) parent: Option<InstanceNumber>,
}

impl Filter {
    pub(crate) fn matches(&self, header: &Header) -> bool {
        let Self {
            statuses,
            names,
            id_prefix,
            tags,
            blocked,
            created,
            completed,
            parent,
        } = self;
        let within = |range: &Option<RangeInclusive<Timestamp>>, time| {
            range.as_ref().is_none_or(|range| range.contains(&time))
        };
        (statuses.is_empty() || statuses.contains(&header.status))
            && (names.is_empty() || names.contains(&header.name))
            && header.id.as_str().starts_with(id_prefix)
            && tags
                .iter()
                .all(|(name, value)| header.tags.get(name) == Some(value))
            && blocked.is_none_or(|blocked| blocked == header.problem.is_some())
            && within(created, header.created)
            && (completed.is_none() || header.status.is_terminal())
            && within(completed, header.updated)
            && parent.is_none_or(|parent| {
                let of = header.parent.as_ref();
                of.is_some_and(|of| of.number == parent)
            })
    }
}

impl Filter {
    /// Whether it asks for nothing but statuses.
    pub(crate) fn is_of_statuses(&self) -> bool {
        let statuses = self.statuses.clone();
        let of_statuses = Self {
            statuses,
            ..Self::default()
        };
        *self == of_statuses
    }
}

/// A page of instances, in the order of their ids.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) filter: Filter,
    /// Only those behind this one.
    pub(crate) after: Option<InstanceId>,
    /// The most that are listed.
    pub(crate) limit: usize,
    /// The most that are looked at.
    pub(crate) budget: usize,
    /// Whether inputs and outputs are wanted.
    pub(crate) payloads: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Listed {
    pub(crate) found: Vec<Glimpse>,
    /// Those of which nothing can be said, for they are damaged.
    pub(crate) unreadable: Vec<InstanceId>,
    /// The last one that was looked at, if there may be more.
    pub(crate) last: Option<InstanceId>,
}

/// How many there are, as far as they were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Those of which nothing can be said, for they are damaged, are not counted.
    pub(crate) matching: u64,
    /// The last one that was looked at, if there may be more.
    pub(crate) last: Option<InstanceId>,
}
