//! What a full check of a hub has found.

use std::fmt;

use crate::id::InstanceId;

/// What was read by [`TaskHub::verify`](crate::TaskHub::verify), and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Instances.
    pub instances: u64,
    /// Turns of their histories.
    pub turns: u64,
    /// Records of all kinds.
    pub records: u64,
    /// Bytes of these, keys included.
    pub bytes: u64,
    /// What is wrong: the first 1,000 of it. One cause can show in several places.
    pub damages: Vec<Damage>,
    /// How much is wrong in all.
    pub damages_found: u64,
}

impl Verification {
    /// The most damages that are listed.
    pub const MOST_LISTED: usize = 1000;

    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damages_found == 0
    }

    pub(crate) fn note(&mut self, damage: Damage) {
        // A record that cannot be read is met again where the instance is looked at, and only
        // there it is known whose it is.
        let same = |known: &&mut Damage| known.detail == damage.detail;
        if let Some(known) = self.damages.iter_mut().find(same) {
            known.instance = known.instance.take().or(damage.instance);
            return;
        }
        self.damages_found += 1;
        if self.damages.len() < Self::MOST_LISTED {
            self.damages.push(damage);
        }
    }
}

/// One thing that is wrong with what a hub has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// What kind of thing.
    pub kind: DamageKind,
    /// The instance that it concerns, if that can be told.
    pub instance: Option<InstanceId>,
    /// What exactly, for a person to read.
    pub detail: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.instance {
            Some(id) => write!(f, "instance {id}: {}", self.detail),
            None => f.write_str(&self.detail),
        }
    }
}

/// The kinds of [`Damage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// A record is cut off, changed or in another's place, or its bytes mean nothing.
    Unreadable,
    /// Something that must be there is not.
    Missing,
    /// Something is there that nothing explains.
    Surplus,
    /// Two records contradict each other.
    Contradiction,
    /// There are not as many records as were counted when they were written.
    Miscounted,
}
