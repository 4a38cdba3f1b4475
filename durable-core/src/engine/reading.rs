//! What must be read before the engine can go on, and going on once it was.

use crate::engine::hold::Hold;
use crate::engine::instance::{Body, Instance};
use crate::engine::message::{Fetch, Fetched, Response, Snapshot, result_of};
use crate::engine::rewind::By;
use crate::engine::work::keep_since;
use crate::engine::{Answer, Engine, Loading, Want};
use crate::history::{Event, Letter, lived, ways_back};
use crate::id::{InstanceId, InstanceNumber};
use crate::replay::{Problem, ProblemKind};
use crate::store::{Glimpse, Header, InstanceKey, StatusDetail, StoreError, Stored};
use crate::time::Timestamp;

impl<R: Answer> Engine<R> {
    pub(super) fn fetch_instance(&mut self, key: InstanceKey, want: Want<R>) {
        let messages = self.work.config.messages_at_once;
        let ended = matches!(want, Want::Hold(Hold::Rewind(..)));
        let fetch = Fetch::Instance {
            key,
            messages,
            ended,
        };
        self.fetch(fetch, want);
    }

    pub(super) fn want_timers(&mut self) {
        if let Some((after, limit)) = self.work.timers.wanted()
            && !self.fetching_timers
        {
            self.fetching_timers = true;
            self.fetches.push_back(Fetch::Timers { after, limit });
        }
    }

    pub(super) fn fetch(&mut self, fetch: Fetch, want: Want<R>) {
        let wants = self.parked.entry(fetch.clone()).or_default();
        wants.push(want);
        if wants.len() == 1 {
            self.fetches.push_back(fetch);
        }
    }

    /// What is to be read next; answered with [`fetched`](Self::fetched) before this is called
    /// again.
    pub(crate) fn next_fetch(&mut self) -> Option<Fetch> {
        loop {
            let fetch = self.fetches.pop_front()?;
            if self.is_idle(&fetch) {
                continue;
            }
            if self.is_here(&fetch) {
                let wants = self.parked.remove(&fetch).unwrap_or_default();
                self.go_on_here(fetch, wants);
            } else if !self.join_loading(&fetch) {
                return Some(fetch);
            }
        }
    }

    /// Whether nobody waits for it any more, having gone on when its instance came into memory.
    fn is_idle(&self, fetch: &Fetch) -> bool {
        match fetch {
            Fetch::Timers { .. } | Fetch::Messages { .. } | Fetch::Expired { .. } => false,
            Fetch::Glimpse(..) | Fetch::Instance { .. } => !self.parked.contains_key(fetch),
        }
    }

    /// Whether what was to be read has come into memory, or was purged, since that was asked for:
    /// the store may lack what its commits under way are about, or have it in part.
    fn is_here(&self, fetch: &Fetch) -> bool {
        match fetch {
            Fetch::Timers { .. } | Fetch::Messages { .. } | Fetch::Expired { .. } => false,
            Fetch::Glimpse(id, _) => self.ids.contains_key(id) || self.purges.is_gone(id),
            Fetch::Instance { key, .. } => match self.here(key) {
                Some(instance) => !self.can_be_loaded(instance),
                None => matches!(key, InstanceKey::Id(id) if self.purges.is_gone(id)),
            },
        }
    }

    fn go_on_here(&mut self, fetch: Fetch, wants: Vec<Want<R>>) {
        match fetch {
            Fetch::Timers { .. } | Fetch::Messages { .. } | Fetch::Expired { .. } => {}
            Fetch::Glimpse(id, _) => {
                for want in wants {
                    self.look_at(&id, want);
                }
            }
            Fetch::Instance { key, .. } => {
                let Some(number) = self.here(&key).map(Instance::number) else {
                    return self.refuse(wants, &Response::NotFound);
                };
                for want in wants {
                    if let Want::Load = want {
                        // Once it can be.
                        self.to_load.push_back(number);
                        self.nudge();
                    } else {
                        self.go_on(number, want);
                    }
                }
            }
        }
    }

    fn here(&self, key: &InstanceKey) -> Option<&Instance<R>> {
        let number = match key {
            InstanceKey::Number(number) => number,
            InstanceKey::Id(id) => self.ids.get(id)?,
        };
        self.instances.get(number)
    }

    /// Whether the store has all of an instance whose orchestrator is not in memory.
    fn can_be_loaded(&self, instance: &Instance<R>) -> bool {
        matches!(instance.body, Body::Parked)
            && !instance.standing.waits()
            && instance.last_commit <= self.durable
    }

    /// What was read. That timers cannot be read is for the shell to act on: it closes the hub.
    pub(crate) fn fetched(&mut self, fetch: &Fetch, fetched: Result<Fetched, StoreError>) {
        let wants = self.parked.remove(fetch).unwrap_or_default();
        match fetched {
            Ok(Fetched::Timers(timers)) => {
                self.fetching_timers = false;
                if let Fetch::Timers { after, .. } = fetch {
                    self.work.timers.read(*after, timers, self.durable);
                }
                self.fire_due();
            }
            Ok(Fetched::Glimpse(glimpse)) => {
                if let Fetch::Glimpse(id, _) = fetch {
                    self.glimpsed(id, glimpse, wants);
                }
            }
            Ok(Fetched::Instance(stored)) => self.loaded(stored, wants),
            Ok(Fetched::Messages(messages)) => self.loaded_more(fetch, messages),
            Ok(Fetched::Expired(found)) => self.swept(found),
            Err(error) => {
                tracing::error!(%error, ?fetch, "cannot read from the store");
                let (key, wants) = match fetch {
                    Fetch::Instance { key, .. } => (Some(key.clone()), wants),
                    Fetch::Messages { number, .. } => {
                        let loading = self.loading.remove(number);
                        let wants = loading.map_or(wants, |loading| loading.wants);
                        (Some(InstanceKey::Number(*number)), wants)
                    }
                    Fetch::Glimpse(..) | Fetch::Timers { .. } => (None, wants),
                    Fetch::Expired { .. } => {
                        self.sweep_failed();
                        (None, wants)
                    }
                };
                if let Some(key) = &key {
                    self.note_damage(key, &error);
                }
                self.refuse(wants, &Response::Failed(error));
            }
        }
    }

    fn note_damage(&mut self, key: &InstanceKey, error: &StoreError) {
        /// More are not remembered; whoever asks something of them is told the same.
        const MOST: usize = 1024;
        if self.damaged.len() < MOST {
            let message = error.to_string();
            let report = format!(
                "{message}\nremedy: restore a copy of the hub's directory; nothing of the instance is changed meanwhile\n"
            );
            let problem = Problem::new(ProblemKind::StoreCorrupt, message, report);
            self.damaged.insert(key.clone(), (problem, self.work.now));
        }
    }

    fn damage(&self, header: &Header) -> Option<(Problem, Timestamp)> {
        let [id, number] = [
            InstanceKey::Id(header.id.clone()),
            InstanceKey::Number(header.number),
        ];
        self.damaged
            .get(&number)
            .or_else(|| self.damaged.get(&id))
            .cloned()
    }

    /// It cannot go on: whoever asked is told so, and an attempt whose answer nobody takes runs no
    /// more.
    pub(super) fn refuse(&mut self, wants: Vec<Want<R>>, response: &Response) {
        for want in wants {
            let reply = match want {
                Want::Start(_, reply)
                | Want::Status(_, reply)
                | Want::Wait(reply)
                | Want::Watch(_, reply)
                | Want::Purge(_, reply)
                | Want::Reported(_, reply)
                | Want::Retry(reply) => Some(reply),
                Want::Mail(mail) => mail.reply,
                Want::Hold(hold) => match hold.into_by() {
                    By::Client(reply) => Some(reply),
                    By::Parent(letter, started) if matches!(response, Response::NotFound) => {
                        self.call_again(letter, started);
                        None
                    }
                    By::Parent(letter, _) => {
                        self.settle_unless_unread(letter, response);
                        None
                    }
                },
                // It has ended, or was purged, since it was looked at.
                Want::Letter(
                    seq,
                    Letter::Start {
                        started,
                        again: true,
                        ..
                    },
                ) if !matches!(response, Response::Failed(_)) => {
                    self.call_again(seq, started);
                    None
                }
                Want::Letter(seq, _) => {
                    self.settle_unless_unread(seq, response);
                    None
                }
                Want::AttemptEnded { key, .. } => {
                    self.work.running.remove(&key);
                    self.work.suspects.acquit(&key);
                    None
                }
                Want::Suspect(key) => {
                    self.work.suspects.pass(&key);
                    None
                }
                Want::Fire(_) | Want::Load | Want::Expire => None,
            };
            if let Some(reply) = reply {
                self.work.reply(reply, response.clone());
            }
        }
    }

    /// What could not be read may be there another time.
    fn settle_unless_unread(&mut self, letter: u64, response: &Response) {
        if !matches!(response, Response::Failed(_)) {
            self.work.settle(letter);
        }
    }

    fn glimpsed(&mut self, id: &InstanceId, glimpse: Option<Glimpse>, wants: Vec<Want<R>>) {
        let found = glimpse.map(|glimpse| {
            let mut snapshot = Snapshot::of_glimpse(glimpse);
            if !self.damaged.is_empty()
                && let Some(damage) = self.damage(&snapshot.header)
            {
                snapshot.header.problem = Some(damage);
            }
            (snapshot.header.number, snapshot)
        });
        for want in wants {
            // One of them may have created or purged it.
            if self.ids.contains_key(id) || self.purges.is_gone(id) {
                self.look_at(id, want);
            } else {
                self.looked_at(found.clone(), want);
            }
        }
    }

    fn loaded(&mut self, stored: Option<Stored>, wants: Vec<Want<R>>) {
        let Some(stored) = stored else {
            return self.refuse(wants, &Response::NotFound);
        };
        let number = stored.header.number;
        let status = stored.header.status;
        if status.is_terminal() && stored.turns.is_empty() {
            return self.refuse(wants, &Response::Ended(status));
        }
        // One in memory has its messages there.
        if stored.more_messages && !self.instances.contains_key(&number) {
            return self.load_more(Loading { stored, wants });
        }
        if status.is_terminal() {
            return self.loaded_ended(stored, wants);
        }
        self.settle(stored);
        for want in wants {
            self.go_on(number, want);
        }
        self.go_on_with_parked(number);
    }

    /// What waits to read an instance that has come into memory by another key: from now on what
    /// arrives finds it there, and must not overtake what came before.
    fn go_on_with_parked(&mut self, number: InstanceNumber) {
        let here = self.instances.get(&number);
        let Some(here) = here.filter(|_| !self.parked.is_empty()) else {
            return;
        };
        let id = here.header.id.clone();
        let messages = self.work.config.messages_at_once;
        let mut fetches = Vec::new();
        for key in [InstanceKey::Id(id.clone()), InstanceKey::Number(number)] {
            for ended in [false, true] {
                let key = key.clone();
                fetches.push(Fetch::Instance {
                    key,
                    messages,
                    ended,
                });
            }
        }
        let least = Fetch::Glimpse(id.clone(), StatusDetail::NONE);
        let most = Fetch::Glimpse(id, StatusDetail::ALL);
        let glimpses = self.parked.range(least..=most);
        fetches.extend(glimpses.map(|(fetch, _)| fetch.clone()));
        for fetch in fetches {
            if let Some(wants) = self.parked.remove(&fetch) {
                self.go_on_here(fetch, wants);
            }
        }
    }

    /// What has ended stays so, unless it is to be rewound: then its history was read, too.
    fn loaded_ended(&mut self, stored: Stored, wants: Vec<Want<R>>) {
        let number = stored.header.number;
        // It was purged while it waited to be read, or is about to be replaced.
        let id = &stored.header.id;
        let is_replaced = self.ids.get(id).is_some_and(|other| *other != number);
        if self.purges.is_gone(id) || is_replaced {
            return self.refuse(wants, &Response::NotFound);
        }
        if self.instances.contains_key(&number) {
            for want in wants {
                self.go_on(number, want);
            }
            return;
        }
        let (mut instance, turns) = Instance::from_stored(stored, self.work.hub);
        instance.result = turns.last().and_then(result_of);
        instance.note_least(&ways_back(&turns));
        instance.body = Body::Ended;
        for want in wants {
            if let Want::Hold(hold) = want {
                instance.holds.push(hold);
            } else {
                self.refuse(vec![want], &Response::Ended(instance.header.status));
            }
        }
        self.keep(instance);
        self.make_ready(number, true);
    }

    /// The rest of its messages, piece by piece: others go on in between. Nothing of the instance
    /// changes meanwhile, as it is not in memory.
    fn load_more(&mut self, loading: Loading<R>) {
        let number = loading.stored.header.number;
        let after = loading.stored.messages.last().map_or(0, |(seq, _)| *seq);
        self.loading.insert(number, loading);
        let limit = self.work.config.messages_at_once;
        self.fetches.push_back(Fetch::Messages {
            number,
            after,
            limit,
        });
    }

    fn loaded_more(&mut self, fetch: &Fetch, messages: Vec<(u64, Event)>) {
        let Fetch::Messages { number, limit, .. } = fetch else {
            return;
        };
        let Some(mut loading) = self.loading.remove(number) else {
            return;
        };
        loading.stored.more_messages = messages.len() == *limit;
        loading.stored.messages.extend(messages);
        let Loading { stored, wants } = loading;
        self.loaded(Some(stored), wants);
    }

    /// What was to be read of an instance that is being loaded waits for that.
    fn join_loading(&mut self, fetch: &Fetch) -> bool {
        let Fetch::Instance { key, .. } = fetch else {
            return false;
        };
        let loading = self.loading.values_mut().find(|loading| {
            let header = &loading.stored.header;
            match key {
                InstanceKey::Id(id) => *id == header.id,
                InstanceKey::Number(number) => *number == header.number,
            }
        });
        let Some(loading) = loading else { return false };
        let wants = self.parked.remove(fetch).unwrap_or_default();
        loading.wants.extend(wants);
        true
    }

    /// Brings what was read to life, unless that was done meanwhile.
    fn settle(&mut self, stored: Stored) {
        let number = stored.header.number;
        let (mut instance, turns) = match self.instances.remove(&number) {
            Some(mut here) if matches!(here.body, Body::Parked) => {
                here.follow_history(&lived(&stored.turns));
                here.turn_lens = stored.turn_lens;
                (here, stored.turns)
            }
            Some(here) => {
                self.instances.insert(number, here);
                return;
            }
            None => Instance::from_stored(stored, self.work.hub),
        };
        let problem = instance.header.problem.clone();
        if instance.is_to_be_rewound() {
            self.work.go_back(&mut instance, &turns);
        } else {
            self.work.revive(&mut instance, &lived(&turns));
            self.resume_outstanding(&mut instance);
        }
        keep_since(&mut instance, problem.as_ref());
        let changed = instance.header.problem != problem;
        self.work.summarise(&mut instance, changed);
        let waiting = !instance.mailbox.is_empty();
        self.keep(instance);
        if waiting {
            self.make_ready(number, false);
        }
    }

    /// After a restart: calls that have no answer yet go on.
    fn resume_outstanding(&mut self, instance: &mut Instance<R>) {
        if !matches!(instance.body, Body::Live(_)) {
            return;
        }
        let answered = instance.answered();
        let calls = instance.outstanding.iter().map(|(call, _)| call);
        let calls: Vec<_> = calls.filter(|call| !answered.contains(call)).collect();
        for call in calls {
            self.work.resume(instance, call);
        }
    }

    /// A worker has started: what waits for one goes on.
    pub(super) fn wake_all(&mut self) {
        self.to_load = self.work.active.iter().copied().collect();
        for instance in self.instances.values() {
            let begins_later = instance.header.begins_later().is_some();
            if matches!(instance.body, Body::Parked) && !instance.active && !begins_later {
                self.to_load.push_back(instance.number());
            }
        }
        self.load_some();
        self.want_timers();
    }

    pub(super) fn load_some(&mut self) {
        /// To be loaded at any time, so that recovery does not hold up what runs.
        const AT_ONCE: usize = 256;
        if self.work.registry.is_none() {
            return;
        }
        let room = AT_ONCE.saturating_sub(self.fetches.len());
        for _ in 0..room.min(self.to_load.len()) {
            let Some(number) = self.to_load.pop_front() else {
                break;
            };
            match self.instances.get(&number) {
                Some(here) if !matches!(here.body, Body::Parked) => {}
                // What it still has to store cannot be read yet.
                Some(here) if !self.can_be_loaded(here) => self.to_load.push_back(number),
                None | Some(_) => {
                    self.fetch_instance(InstanceKey::Number(number), Want::Load);
                }
            }
        }
        // The rest follows: an instance whose last turn is not readable yet, once it is.
        if !self.to_load.is_empty() {
            self.nudge();
        }
    }
}
