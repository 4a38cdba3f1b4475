//! Opening what is left of a store that is refused, for somebody who accepts the loss.
//!
//! The records that the store itself needs (meta, hub, active set) are made anew from what is
//! there, in one batch; then it is an ordinary store. Instances are left as they are: one whose
//! history is broken is found to be when it is loaded. Numbers of commits and of instances go on
//! behind the highest that were ever acknowledged, so that nothing that was said of what is lost
//! can be taken to be about something new.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use super::active::Snapshot;
use super::backend::{KeyValue, Write};
use super::keys::RecordKey;
use super::meta::{Counted, Counts, Meta};
use super::record::{self, Partial};
use super::sparse::rarities;
use super::verify::Tally;
use super::write::encode;
use super::{Hub, KvStore, keys, read};
use crate::id::{ExecutionId, InstanceNumber};
use crate::store::{AcceptedLoss, Header, OpenError, StoreError, Suspicion, Verification};

impl<K: KeyValue> KvStore<K> {
    /// Opens the store; if it is refused and its loss accepted, opens what is left of it.
    /// `open_kv` is told whether the engine is to be as forgiving.
    pub(crate) fn open_or_salvage(
        open_kv: impl Fn(bool) -> Result<K, OpenError>,
        path: &Path,
        accept_loss: bool,
    ) -> Result<(Self, Option<AcceptedLoss>), OpenError> {
        let refusal = match open_kv(false).and_then(|kv| Self::open(kv, path)) {
            Ok(store) => return Ok((store, None)),
            Err(refusal @ (OpenError::RolledBack { .. } | OpenError::Corrupt { .. }))
                if accept_loss =>
            {
                refusal
            }
            Err(other) => return Err(other),
        };
        let salvaged = open_kv(true).and_then(|kv| {
            let mut loss = Found::new(&kv, path)?.repair(&kv, path)?;
            loss.damage.insert(0, refusal.to_string());
            Ok((Self::open(kv, path)?, Some(loss)))
        });
        if let Ok((_, Some(loss))) = &salvaged {
            tracing::error!(path = %path.display(), %loss, "opened with a loss that was accepted");
        }
        salvaged.map_err(hopeless)
    }
}

fn hopeless(error: OpenError) -> OpenError {
    let OpenError::Corrupt { path, detail } = error else {
        return error;
    };
    let detail = format!(
        "{detail}; nothing of it can be opened, also with its loss accepted: without a copy, move it away to begin a new hub"
    );
    OpenError::Corrupt { path, detail }
}

/// What is left of a store.
struct Found {
    meta: Option<Meta>,
    hub: Option<Hub>,
    headers: BTreeSet<InstanceNumber>,
    /// Those that have not ended, with the turns that the header knows of.
    running: BTreeMap<InstanceNumber, (ExecutionId, u32)>,
    /// The index of what few instances are, as it must be.
    sparse: BTreeSet<RecordKey>,
    histories: Histories,
    /// What there is of every kind that can be read.
    counts: Counts,
    damage: Vec<String>,
}

#[derive(Default)]
struct Histories {
    numbers: BTreeSet<InstanceNumber>,
    /// Turns of the current execution of those that have not ended: how many without a gap.
    dense: BTreeMap<InstanceNumber, u32>,
}

impl Found {
    fn new(kv: &impl KeyValue, path: &Path) -> Result<Self, OpenError> {
        let meta = readable(read::one(kv, keys::META.to_vec()), path)?;
        let hub: Option<Hub> = readable(read::one(kv, keys::HUB.to_vec()), path)?;
        if hub.as_ref().is_some_and(|hub| hub.id != kv.identity()) {
            return Err(OpenError::Corrupt {
                path: path.to_owned(),
                detail: "its data belongs to another hub".to_owned(),
            });
        }
        let mut found = Self {
            meta,
            hub,
            headers: BTreeSet::new(),
            running: BTreeMap::new(),
            sparse: BTreeSet::new(),
            histories: Histories::default(),
            counts: Counts::default(),
            damage: Vec::new(),
        };
        found
            .read_headers(kv)
            .and_then(|()| found.read_histories(kv))
            .and_then(|()| found.count(kv))
            .map_err(|error| OpenError::unreadable(path, error))?;
        Ok(found)
    }

    fn read_headers(&mut self, kv: &impl KeyValue) -> Result<(), StoreError> {
        let mut newer = None;
        kv.scan(
            &keys::headers(),
            &keys::end_of(&keys::headers()),
            &mut |key, value| {
                match header(key, value) {
                    Ok(header) => {
                        self.headers.insert(header.number);
                        let entry = |rarity| keys::sparse(rarity, &header.id);
                        self.sparse.extend(rarities(&header).map(entry));
                        if !header.status.is_terminal() {
                            let turns = (header.execution, header.turns);
                            self.running.insert(header.number, turns);
                        }
                    }
                    Err(error @ StoreError::NewerFormat { .. }) => {
                        newer = Some(error);
                        return ControlFlow::Break(());
                    }
                    // Counted as damage with all the rest.
                    Err(_) => {}
                }
                ControlFlow::Continue(())
            },
        )?;
        newer.map_or(Ok(()), Err)
    }

    fn read_histories(&mut self, kv: &impl KeyValue) -> Result<(), StoreError> {
        let Self {
            running,
            histories: found,
            ..
        } = self;
        kv.scan(
            &keys::turns(),
            &keys::end_of(&keys::turns()),
            &mut |key, _| {
                if let Some((record, [0, 0])) = key.split_last_chunk::<2>()
                    && let Some((number, execution, turn)) = keys::parse_turn(record)
                {
                    found.numbers.insert(number);
                    let current = running.get(&number);
                    if current.is_some_and(|(current, _)| *current == execution) {
                        let dense = found.dense.entry(number).or_default();
                        *dense += u32::from(turn == *dense + 1);
                    }
                }
                ControlFlow::Continue(())
            },
        )
    }

    fn count(&mut self, kv: &impl KeyValue) -> Result<(), StoreError> {
        let (mut tally, mut verification) = (Tally::default(), Verification::default());
        while tally.step(kv, u64::MAX, &mut verification)?.is_continue() {}
        self.counts = tally.into_counts();
        self.damage = verification
            .damages
            .iter()
            .map(ToString::to_string)
            .collect();
        Ok(())
    }

    /// Writes what the store itself needs, and says what is missing.
    fn repair(mut self, kv: &impl KeyValue, path: &Path) -> Result<AcceptedLoss, OpenError> {
        let had = kv.mark().unwrap_or_default();
        let have = self.meta.clone().unwrap_or_default();
        let known = self.meta.is_some();
        let last = self.headers.last().max(self.histories.numbers.last());
        let created = have.created.max(last.map_or(0, |number| number.0 + 1));
        let loss = AcceptedLoss {
            commits: if known {
                had.commit.saturating_sub(have.commit)
            } else {
                0
            },
            instances: had.created.saturating_sub(created),
            damage: self.describe(),
        };
        let created = had.created.max(created);
        let left: u64 = self.counts.instances.values().sum();
        let meta = Meta {
            commit: had.commit.max(have.commit) + 1,
            created,
            // What is lost counts as purged.
            purged: created.saturating_sub(left),
            journal: 0,
            counts: std::mem::take(&mut self.counts),
            // What is left may be of another time.
            suspicion: Suspicion::default(),
        };
        let written = self.write(kv, meta);
        written.map_err(|error| OpenError::unreadable(path, error))?;
        Ok(loss)
    }

    fn describe(&mut self) -> Vec<String> {
        let mut damage = std::mem::take(&mut self.damage);
        if self.meta.is_none() {
            damage.push("how many commits are lost is not known".to_owned());
        }
        if self.hub.is_none() {
            damage.push("the signing key is lost: signed links no longer work".to_owned());
        }
        let nameless = self.histories.numbers.difference(&self.headers).count();
        if nameless > 0 {
            damage.push(format!(
                "{nameless} histories belong to instances whose ids are lost"
            ));
        }
        damage
    }

    fn write(&self, kv: &impl KeyValue, mut meta: Meta) -> Result<(), StoreError> {
        let max_value = kv.max_value();
        let mut writes = Vec::new();
        self.index(kv, &mut meta.counts, &mut writes)?;
        let journal = keys::active_changes();
        kv.scan(&journal, &keys::end_of(&journal), &mut |key, _| {
            writes.push(Write::Remove(key.to_vec()));
            ControlFlow::Continue(())
        })?;
        // Whatever may have something to do. Of the others less is left than their headers say;
        // loading them says so.
        let whole = |(number, (_, turns)): (&InstanceNumber, &(ExecutionId, u32))| {
            let dense = self.histories.dense.get(number).copied().unwrap_or(0);
            (dense >= *turns).then_some(*number)
        };
        let active = Snapshot {
            next: 0,
            members: self.running.iter().filter_map(whole).collect(),
        };
        let put = |key: &[u8], body: Vec<u8>, writes: &mut Vec<Write>| {
            record::put(key.to_vec(), &body, max_value, writes)
        };
        put(keys::ACTIVE_SNAPSHOT, encode(&active)?, &mut writes)?;
        put(keys::META, encode(&meta)?, &mut writes)?;
        if self.hub.is_none() {
            let hub = Hub::new(kv.identity())?;
            put(keys::HUB, encode(&hub)?, &mut writes)?;
        }
        kv.apply(kv.batch(writes))?;
        kv.sync(meta.mark())
    }

    /// Makes the index of what few instances are the one that the headers ask for.
    fn index(
        &self,
        kv: &impl KeyValue,
        counts: &mut Counts,
        writes: &mut Vec<Write>,
    ) -> Result<(), StoreError> {
        let all = keys::all_sparse();
        kv.scan(&all, &keys::end_of(&all), &mut |key, value| {
            // Others were not counted.
            if keys::parse_sparse(key).is_some() && value.is_empty() {
                counts.remove(Counted::Sparse, key.len() as u64);
            }
            writes.push(Write::Remove(key.to_vec()));
            ControlFlow::Continue(())
        })?;
        for key in &self.sparse {
            counts.add(Counted::Sparse, key.len() as u64);
            writes.push(Write::Put(key.clone(), Vec::new()));
        }
        Ok(())
    }
}

/// A record that is needed, if it can be read.
fn readable<T>(read: Result<Option<T>, StoreError>, path: &Path) -> Result<Option<T>, OpenError> {
    match read {
        Err(StoreError::Corrupt { .. }) => Ok(None),
        other => other.map_err(|error| OpenError::unreadable(path, error)),
    }
}

/// A header, which is always one value.
fn header(key: &[u8], value: &[u8]) -> Result<Header, StoreError> {
    let (key, body) = Partial::begin(key, value)?.finish()?;
    read::decode(&key, &body)
}
