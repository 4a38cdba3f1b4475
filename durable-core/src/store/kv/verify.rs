//! The full check: every record is read, every key explained.
//!
//! First every record is read in the order of the keys and counted ([`tally`]). Then what belongs
//! together is compared: each instance with its header, its timers and the active set
//! ([`instance`]); each header with its history and the index; each timer, each entry of the index, and
//! each member of the active set, with its instance.
//!
//! Commits go on meanwhile. What is compared is therefore read again if it does not fit, the last
//! time while no commit is applied. Nothing is held in memory but one instance, a page of keys and
//! the active set.

mod instance;
mod sparse;
mod tally;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::active::ActiveSet;
use super::backend::KeyValue;
use super::keys;
use super::meta::Meta;
use super::record::name;
use super::{Hub, read};
use crate::id::{InstanceId, InstanceNumber};
use crate::store::{Damage, DamageKind, Header, Pause, StoreError, TimerKey, Verification};

use self::instance::Examined;
pub(super) use self::tally::Tally;

/// Bytes read while no commit is applied.
const AT_ONCE: u64 = 256 << 10;
/// Keys held in memory.
const PAGE: usize = 4096;
/// How often what does not fit is read, the last time while no commit is applied.
const ATTEMPTS: usize = 3;

/// Checks a store. Whoever applies commits to it does so under the lock `still`, and tells the
/// tally there.
pub(super) fn verify(
    kv: &impl KeyValue,
    still: &Mutex<Option<Tally>>,
    pause: &mut Pause<'_>,
) -> Result<Verification, StoreError> {
    let mut verifier = Verifier {
        kv,
        still,
        pause,
        found: Verification::default(),
        active: None,
        follows_active: true,
    };
    verifier.records()?;
    verifier.active_set()?;
    verifier.instances()?;
    verifier.headers()?;
    verifier.timers()?;
    verifier.sparse()?;
    verifier.members()?;
    Ok(verifier.found)
}

/// Checks a store that nobody writes to.
pub(super) fn at_rest(kv: &impl KeyValue) -> Result<Verification, StoreError> {
    verify(kv, &Mutex::new(None), &mut |_| Ok(()))
}

/// Whether it is what the check looks for; else the check ends with it.
fn is_damage(error: &StoreError) -> bool {
    !matches!(error, StoreError::Fatal { .. })
}

struct Verifier<'a, K> {
    kv: &'a K,
    still: &'a Mutex<Option<Tally>>,
    pause: &'a mut Pause<'a>,
    found: Verification,
    /// The active set as it was when it was last looked at; `None` if it cannot be read.
    active: Option<ActiveSet>,
    /// Unless it is damaged.
    follows_active: bool,
}

impl<K: KeyValue> Verifier<'_, K> {
    fn still(&self) -> MutexGuard<'_, Option<Tally>> {
        self.still.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&mut self, kind: DamageKind, instance: Option<InstanceId>, detail: String) {
        self.found.note(Damage {
            kind,
            instance,
            detail,
        });
    }

    /// The value, unless it is damaged, which is noted.
    fn readable<T>(&mut self, read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_damage(&error) => {
                self.found.note(tally::unreadable(&error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads and counts every record.
    fn records(&mut self) -> Result<(), StoreError> {
        *self.still() = Some(Tally::default());
        loop {
            let mut still = self.still.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(tally) = still.as_mut() else {
                return Ok(());
            };
            if tally.is_new() {
                self.found = Verification {
                    damages: std::mem::take(&mut self.found.damages),
                    damages_found: self.found.damages_found,
                    ..Verification::default()
                };
            }
            let before = self.found.bytes;
            let step = tally.step(self.kv, AT_ONCE, &mut self.found)?;
            if step.is_break() {
                let meta = read::one::<Meta>(self.kv, keys::META.to_vec());
                if let Ok(meta) = meta {
                    tally.compare(&meta.unwrap_or_default(), &mut self.found);
                }
                *still = None;
            }
            drop(still);
            (self.pause)(self.found.bytes - before)?;
            if step.is_break() {
                return self.hub();
            }
        }
    }

    fn hub(&mut self) -> Result<(), StoreError> {
        let hub = read::one::<Hub>(self.kv, keys::HUB.to_vec());
        if let Some(hub) = self.readable(hub)? {
            let ours = |hub: Hub| hub.id == self.kv.identity();
            if !hub.is_some_and(ours) {
                let detail = "the hub's record is missing or of another hub".to_owned();
                self.note(DamageKind::Missing, None, detail);
            }
        }
        Ok(())
    }

    /// Looks at something until it fits, the last time while no commit is applied. `look` says
    /// what does not.
    fn look<T>(
        &mut self,
        mut look: impl FnMut(&mut Self) -> Result<(T, bool), StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 1..ATTEMPTS {
            if let (seen, true) = look(self)? {
                return Ok(seen);
            }
        }
        let commits = self.still;
        let paused = commits.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look(self)?.0;
        drop(paused);
        Ok(seen)
    }

    /// Every instance of which there is more than a header.
    fn instances(&mut self) -> Result<(), StoreError> {
        let mut from = InstanceNumber(0);
        while let Some(number) = self.next_number(from)? {
            let examined = self.look(|this| {
                let fresh = this.refresh()?.is_none();
                let examined = instance::examine(this.kv, number, this.active.as_ref())?;
                let fits = fresh && examined.damages.is_empty();
                Ok((examined, fits))
            })?;
            let Examined { damages, bytes, .. } = examined;
            for damage in damages {
                self.found.note(damage);
            }
            (self.pause)(bytes)?;
            let Some(next) = number.0.checked_add(1) else {
                break;
            };
            from = InstanceNumber(next);
        }
        Ok(())
    }

    /// The first number, from this one on, under which something lies.
    fn next_number(&mut self, from: InstanceNumber) -> Result<Option<InstanceNumber>, StoreError> {
        let mut first = None;
        for prefix in [
            keys::turns_of(from),
            keys::messages_of(from),
            keys::attempts_of(from),
        ] {
            let mut found = None;
            let end = keys::end_of(&prefix[..1]);
            let scanned = self.kv.scan(&prefix, &end, &mut |key, _| {
                found = keys::number_in(key);
                // A key that is too short was noted before.
                match found {
                    Some(_) => ControlFlow::Break(()),
                    None => ControlFlow::Continue(()),
                }
            });
            self.readable(scanned)?;
            first = [first, found].into_iter().flatten().min();
        }
        Ok(first)
    }

    /// Every header has a history, and its entries in the index.
    fn headers(&mut self) -> Result<(), StoreError> {
        let mut from = keys::headers();
        loop {
            let page = self.page(&from, &keys::end_of(&keys::headers()))?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            from = [last.as_slice(), &[0]].concat();
            let names: BTreeSet<_> = page.iter().map(|key| name(key).to_vec()).collect();
            for key in names {
                self.header(&key)?;
            }
        }
    }

    fn header(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let looked = self.look(|this| {
            let Ok(Some(header)) = read::one::<Header>(this.kv, key.to_vec()) else {
                // Purged meanwhile, or noted before.
                return Ok((None, true));
            };
            let lacking = this.lacking(&header)?;
            let whose = match read::id_of(this.kv, header.number) {
                // What cannot be read was noted before.
                Err(error) if is_damage(&error) => Some(header.id.clone()),
                whose => whose?,
            };
            let fits = whose.as_ref() == Some(&header.id) && lacking.is_empty();
            Ok((Some((header, whose, lacking)), fits))
        })?;
        if let Some((header, whose, lacking)) = looked {
            self.note_lacking(&header.id, &lacking);
            self.note_stranger(header, whose);
        }
        (self.pause)(key.len() as u64)
    }

    /// Notes that an instance's history is missing or another's, if it is.
    fn note_stranger(&mut self, header: Header, whose: Option<InstanceId>) {
        if whose.as_ref() != Some(&header.id) {
            let number = header.number.0;
            let (kind, detail) = match whose {
                None => (
                    DamageKind::Missing,
                    format!("the history of instance number {number} is missing"),
                ),
                Some(other) => (
                    DamageKind::Contradiction,
                    format!("the history of instance number {number} is that of {other}"),
                ),
            };
            self.note(kind, Some(header.id), detail);
        }
    }

    /// At most so many keys.
    fn page(&mut self, from: &[u8], to: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        let scanned = self.kv.scan(from, to, &mut |key, _| {
            keys.push(key.to_vec());
            if keys.len() < PAGE {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        self.readable(scanned)?;
        Ok(keys)
    }

    /// Every timer is one of its instance.
    fn timers(&mut self) -> Result<(), StoreError> {
        let mut from = keys::timers();
        loop {
            let page = self.page(&from, &keys::end_of(&keys::timers()))?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            from = [last.as_slice(), &[0]].concat();
            let timers = page.iter().filter_map(|key| keys::parse_timer(key));
            let mut timers: Vec<_> = timers.collect();
            timers.sort_by_key(|timer| timer.number);
            for timers in timers.chunk_by(|a, b| a.number == b.number) {
                self.timers_of(timers)?;
            }
        }
    }

    fn timers_of(&mut self, timers: &[TimerKey]) -> Result<(), StoreError> {
        let Some(number) = timers.first().map(|timer| timer.number) else {
            return Ok(());
        };
        let (examined, surplus) = self.look(|this| {
            let examined = instance::examine(this.kv, number, None)?;
            let mut surplus = Vec::new();
            for timer in timers {
                if !examined.timers.contains(timer) && this.has(&keys::timer(timer))? {
                    surplus.push(*timer);
                }
            }
            let fits = surplus.is_empty();
            Ok(((examined, surplus), fits))
        })?;
        for timer in surplus {
            let detail = format!(
                "nothing explains the {:?} timer of call {} of instance number {}, due at {}",
                timer.kind, timer.call, number.0, timer.due.0
            );
            self.note(DamageKind::Surplus, examined.id.clone(), detail);
        }
        (self.pause)(examined.bytes)
    }

    fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        match self.kv.get(key) {
            Ok(value) => Ok(value.is_some()),
            Err(error) if is_damage(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Everyone in the active set is there. Whether they belong there was looked at before.
    fn members(&mut self) -> Result<(), StoreError> {
        self.active_set()?;
        let Some(active) = &self.active else {
            return Ok(());
        };
        let members: Vec<_> = active.members().collect();
        for number in members {
            let missing = self.look(|this| {
                let fresh = this.refresh()?.is_none();
                let member = this.active.as_ref().is_some_and(|set| set.contains(number));
                let there = !matches!(read::id_of(this.kv, number), Ok(None));
                Ok((member && !there, fresh && (!member || there)))
            })?;
            if missing {
                let detail = format!("active instance number {} is missing", number.0);
                self.note(DamageKind::Missing, None, detail);
            }
        }
        Ok(())
    }

    /// Whether the active set can be read and is as new as the newest commit.
    fn active_set(&mut self) -> Result<(), StoreError> {
        let wrong = self.look(|this| {
            let wrong = this.refresh()?;
            let fits = wrong.is_none();
            Ok((wrong, fits))
        })?;
        if let Some(damage) = wrong {
            self.found.note(damage);
            self.follows_active = false;
            self.active = None;
        }
        Ok(())
    }

    /// Brings the active set up to date, and says what keeps it from that.
    fn refresh(&mut self) -> Result<Option<Damage>, StoreError> {
        if !self.follows_active {
            return Ok(None);
        }
        match self.read_active() {
            Ok(damage) => Ok(damage),
            Err(error) if is_damage(&error) => {
                self.active = None;
                Ok(Some(tally::unreadable(&error)))
            }
            Err(error) => Err(error),
        }
    }

    fn read_active(&mut self) -> Result<Option<Damage>, StoreError> {
        let meta = read::one::<Meta>(self.kv, keys::META.to_vec())?;
        let next = meta.unwrap_or_default().journal;
        if let Some(active) = &mut self.active
            && active.next() < next
        {
            // If there is a new snapshot instead, all is read again.
            for change in read::active_changes(self.kv, active.next()).unwrap_or_default() {
                active.follow(change);
            }
        }
        if self.active.as_ref().is_none_or(|set| set.next() != next) {
            self.active = Some(read::active_set(self.kv)?);
        }
        let here = self.active.as_ref().map_or(0, ActiveSet::next);
        Ok((here != next).then(|| Damage {
            kind: DamageKind::Missing,
            instance: None,
            detail: format!("the active set ends with record {here}, not with {next}"),
        }))
    }
}
