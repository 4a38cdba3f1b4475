//! Reading every record once, in the order of the keys, and counting them.
//!
//! Commits may go on between two steps. What they change behind the cursor they say
//! ([`follow`](Tally::follow)), what is before it is still to be read: so at the end the counts are
//! those of that moment.

use std::ops::ControlFlow;

use serde::de::DeserializeOwned;

use super::super::active::{Change, Snapshot};
use super::super::backend::KeyValue;
use super::super::keys::{self, Kind};
use super::super::meta::{Counted, Counts, Meta};
use super::super::record::{Partial, name, show};
use super::super::write::Changed;
use super::super::{Hub, read};
use super::is_damage;
use crate::history::{Event, Letter, decode_turn};
use crate::store::{Attempts, Damage, DamageKind, Header, StoreError, Verification};

/// How far the reading has come.
#[derive(Debug, Default)]
pub(in super::super) struct Tally {
    /// Every record below this key was read.
    cursor: Vec<u8>,
    counts: Counts,
}

/// The name of the record that begins with this key.
fn cursor_at(key: &[u8]) -> Vec<u8> {
    match Kind::of(key) {
        Some(kind) if kind.is_bare() => key.to_vec(),
        _ => name(key).to_vec(),
    }
}

/// A record that is being put together from its chunks.
enum Assembly {
    Whole(Partial),
    /// The rest of it is skipped.
    Broken(Vec<u8>),
}

impl Tally {
    /// Reads on, at least one record and until `budget` bytes were read. Breaks at the end.
    pub(in super::super) fn step(
        &mut self,
        kv: &impl KeyValue,
        budget: u64,
        found: &mut Verification,
    ) -> Result<ControlFlow<()>, StoreError> {
        let mut records = Records::new(&mut self.counts, found);
        let until = records.found.bytes.saturating_add(budget);
        let mut next = None;
        let from = self.cursor.clone();
        let scanned = kv.scan(&from, keys::END, &mut |key, value| {
            if records.found.bytes >= until && records.begins(key) {
                next = Some(cursor_at(key));
                return ControlFlow::Break(());
            }
            records.take(key, value);
            ControlFlow::Continue(())
        });
        records.end();
        match (scanned, next) {
            (Ok(()), Some(next)) => {
                self.cursor = next;
                Ok(ControlFlow::Continue(()))
            }
            (Ok(()), None) => {
                self.cursor = keys::END.to_vec();
                Ok(ControlFlow::Break(()))
            }
            (Err(error), _) if is_damage(&error) => {
                found.note(unreadable(&error));
                Ok(ControlFlow::Break(()))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Whether nothing was read yet, or it begins again.
    pub(super) fn is_new(&self) -> bool {
        self.cursor.is_empty()
    }

    /// What was read so far.
    pub(in super::super) fn into_counts(self) -> Counts {
        self.counts
    }

    /// A commit was applied that changed this.
    pub(in super::super) fn follow(&mut self, changes: Option<Vec<Changed>>) {
        let Some(changes) = changes else {
            // It was prepared before anybody counted: nothing of it is known, so begin again.
            *self = Self::default();
            return;
        };
        for Changed {
            key,
            what,
            bytes,
            there,
        } in changes
        {
            if key >= self.cursor {
                continue;
            }
            if there {
                self.counts.add(what, bytes);
            } else {
                self.counts.remove(what, bytes);
            }
        }
    }

    /// Everything was read: compares with what was counted when it was written.
    pub(super) fn compare(&self, meta: &Meta, found: &mut Verification) {
        let Counts {
            instances,
            turns,
            messages,
            timers,
            attempts,
            letters,
            bytes,
            sparse,
        } = &self.counts;
        let counted = &meta.counts;
        let mut compare = |what: &str, found_there: u64, counted: u64| {
            if found_there != counted {
                found.note(Damage {
                    kind: DamageKind::Miscounted,
                    instance: None,
                    detail: format!("{what}: {found_there} found, {counted} counted"),
                });
            }
        };
        compare("turns", *turns, counted.turns);
        compare("messages", *messages, counted.messages);
        compare("timers", *timers, counted.timers);
        compare("records of attempts", *attempts, counted.attempts);
        compare("letters", *letters, counted.letters);
        compare("bytes", *bytes, counted.bytes);
        compare("entries of the index", *sparse, counted.sparse);
        let statuses = instances.keys().chain(counted.instances.keys());
        let statuses: std::collections::BTreeSet<_> = statuses.collect();
        for status in statuses {
            let of = |counts: &Counts| counts.instances.get(status).copied().unwrap_or_default();
            compare(
                &format!("{status} instances"),
                of(&self.counts),
                of(counted),
            );
        }
    }
}

pub(super) fn unreadable(error: &StoreError) -> Damage {
    let detail = match error {
        StoreError::Corrupt { detail } | StoreError::Fatal { detail } => detail.clone(),
        StoreError::NewerFormat { .. } => error.to_string(),
    };
    Damage {
        kind: DamageKind::Unreadable,
        instance: None,
        detail,
    }
}

/// The pairs of a stretch of keys, as records.
struct Records<'a> {
    counts: &'a mut Counts,
    found: &'a mut Verification,
    open: Option<Assembly>,
}

impl<'a> Records<'a> {
    fn new(counts: &'a mut Counts, found: &'a mut Verification) -> Self {
        Self {
            counts,
            found,
            open: None,
        }
    }

    /// Whether the pair is not part of the record that was begun.
    fn begins(&self, key: &[u8]) -> bool {
        match &self.open {
            None => true,
            Some(Assembly::Whole(partial)) => partial.key() != name(key),
            Some(Assembly::Broken(broken)) => broken != name(key),
        }
    }

    fn take(&mut self, key: &[u8], value: &[u8]) {
        self.found.bytes += (key.len() + value.len()) as u64;
        if let Some(kind) = Kind::of(key).filter(|kind| kind.is_bare()) {
            self.end();
            return self.bare(kind, key, value);
        }
        if self.begins(key) {
            self.end();
            let begun = Partial::begin(key, value);
            self.open = Some(self.or_broken(key, begun));
            return;
        }
        if let Some(Assembly::Whole(mut partial)) = self.open.take() {
            let pushed = partial.push(key, value).map(|()| partial);
            self.open = Some(self.or_broken(key, pushed));
        } else {
            self.open = Some(Assembly::Broken(name(key).to_vec()));
        }
    }

    fn or_broken(&mut self, key: &[u8], partial: Result<Partial, StoreError>) -> Assembly {
        match partial {
            Ok(partial) => Assembly::Whole(partial),
            Err(error) => {
                self.found.note(unreadable(&error));
                Assembly::Broken(name(key).to_vec())
            }
        }
    }

    /// Takes a record that is a key alone.
    fn bare(&mut self, kind: Kind, key: &[u8], value: &[u8]) {
        self.found.records += 1;
        let what = if kind == Kind::Timer {
            Counted::Timer
        } else {
            Counted::Sparse
        };
        if kind.fits(key) && value.is_empty() {
            self.counts.add(what, key.len() as u64);
        } else {
            self.unknown(key);
        }
    }

    /// Finishes the record that was begun.
    fn end(&mut self) {
        let Some(Assembly::Whole(partial)) = self.open.take() else {
            return;
        };
        self.found.records += 1;
        let bytes = partial.bytes();
        let checked = partial.finish().and_then(|(key, body)| {
            let counted = check(&key, &body)?;
            Ok((key, counted))
        });
        match checked {
            Ok((_, Checked::Counted(what))) => {
                self.found.instances += u64::from(matches!(what, Counted::Header(_)));
                self.found.turns += u64::from(what == Counted::Turn);
                self.counts.add(what, bytes);
            }
            Ok((_, Checked::Known)) => {}
            Ok((key, Checked::Unknown)) => self.unknown(&key),
            Err(error) => self.found.note(unreadable(&error)),
        }
    }

    fn unknown(&mut self, key: &[u8]) {
        self.found.note(Damage {
            kind: DamageKind::Surplus,
            instance: None,
            detail: format!("record {} has a key that means nothing", show(key)),
        });
    }
}

enum Checked {
    Counted(Counted),
    Known,
    Unknown,
}

/// Decodes a record, and says what it is.
fn check(key: &[u8], body: &[u8]) -> Result<Checked, StoreError> {
    fn decodes<T: DeserializeOwned>(key: &[u8], body: &[u8]) -> Result<(), StoreError> {
        read::decode::<T>(key, body).map(drop)
    }
    let Some(kind) = Kind::of(key).filter(|kind| kind.fits(key)) else {
        return Ok(Checked::Unknown);
    };
    let counted = match kind {
        Kind::Hub => return decodes::<Hub>(key, body).map(|()| Checked::Known),
        Kind::Meta => return decodes::<Meta>(key, body).map(|()| Checked::Known),
        Kind::ActiveSnapshot => {
            return decodes::<Snapshot>(key, body).map(|()| Checked::Known);
        }
        Kind::ActiveChange => return decodes::<Change>(key, body).map(|()| Checked::Known),
        Kind::Header => {
            let header: Header = read::decode(key, body)?;
            if keys::header(&header.id) != key {
                return Err(StoreError::corrupt(format!(
                    "record {} is the header of instance {}",
                    show(key),
                    header.id
                )));
            }
            Counted::Header(header.status)
        }
        Kind::Turn => {
            decode_turn(body).map_err(|error| {
                StoreError::corrupt(format!("turn {} does not decode: {error}", show(key)))
            })?;
            Counted::Turn
        }
        Kind::Message => {
            decodes::<Event>(key, body)?;
            Counted::Message
        }
        Kind::Attempts => {
            decodes::<Attempts>(key, body)?;
            Counted::Attempts
        }
        Kind::Letter => {
            decodes::<Letter>(key, body)?;
            Counted::Letter
        }
        Kind::Timer | Kind::Sparse => return Ok(Checked::Unknown),
    };
    Ok(Checked::Counted(counted))
}
