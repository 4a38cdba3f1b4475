//! One instance in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::failure::FailureDetails;
use crate::history::{Event, Outstanding, Started, StepIndex, Turn, lived};
use crate::id::{CallId, InstanceNumber};
use crate::payload::Payload;
use crate::replay::{Identity, Watched};
use crate::store::{Attempts, Header, HeaderSize, Reports, RuntimeStatus, Stored, shown_reports};
use crate::time::Timestamp;
use crate::weight;

use super::fair::Standing;
use super::hold::Hold;
use super::mailbox::{Mail, Mailbox};
use super::message::{ActivityKey, Snapshot};

/// One instance in memory.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
#[derive(Debug)]
pub(super) struct Instance<R> {
    pub(super) header: Header,
    pub(super) identity: Arc<Identity>,
    pub(super) body: Body,
    pub(super) outstanding: Outstanding,
    /// What has arrived and was not fed yet.
    pub(super) mailbox: Mailbox<R>,
    pub(super) attempts: BTreeMap<CallId, Attempts>,
    /// Timers that have fired into a stored message, so that the index has no entry of them.
    pub(super) fired: BTreeSet<CallId>,
    pub(super) input: Option<Payload>,
    pub(super) result: Option<Result<Payload, FailureDetails>>,
    /// The size of the header that the store has.
    pub(super) stored: Option<HeaderSize>,
    /// Turns in the history; the header's count may lag behind.
    pub(super) turns: u32,
    /// The bytes of each one's record.
    pub(super) turn_lens: Vec<u32>,
    /// The events in them.
    pub(super) events: usize,
    /// What they were called by those who raised them.
    pub(super) event_ids: EventIds,
    /// Whether the store lists it as to be loaded after a restart.
    pub(super) active: bool,
    pub(super) next_seq: u64,
    /// The last commit that had anything of this instance.
    pub(super) last_commit: u64,
    /// To be suspended or resumed in its next turn.
    pub(super) holds: Vec<Hold<R>>,
    /// Its history is to be read, so that it can go on.
    pub(super) to_be_revived: bool,
    /// It was said to have a problem.
    pub(super) blocked: bool,
    /// The timer of its start has fired.
    pub(super) start_is_due: bool,
    /// Its current execution was rewound.
    pub(super) was_rewound: bool,
    /// What the rewind that waits takes back.
    pub(super) takes_back: Vec<StepIndex>,
    /// And what happens again: it is in the history, so it is not stored.
    pub(super) again: Option<Event>,
    /// Purged by the commit that stores this one.
    pub(super) replaces: Option<Header>,
    /// In the queue for a turn.
    pub(super) standing: Standing,
    /// Its place in the order of use.
    pub(super) used: u64,
    /// What it was last counted with.
    pub(super) counted_bytes: usize,
}

/// What can be done with an instance.
#[derive(Debug)]
pub(super) enum Body {
    /// It has no history yet.
    Fresh,
    Live(Box<Watched>),
    /// It takes no turns: there is no worker, or a problem, or it begins later. What arrives is stored.
    Parked,
    Ended,
}

impl Body {
    /// Of an instance that has no history.
    pub(super) fn before_its_start(header: &Header) -> Self {
        match header.begins_later() {
            Some(_) => Self::Parked,
            None => Self::Fresh,
        }
    }
}

impl<R> Instance<R> {
    pub(super) fn new(header: Header, hub: u64) -> Self {
        let identity = Identity {
            hub,
            instance: header.id.clone(),
            number: header.number,
            execution: header.execution,
            name: header.name.clone(),
            version: header.version.clone(),
            parent: header.parent.clone(),
            tags: header.tags.clone(),
        };
        Self {
            identity: Arc::new(identity),
            body: Body::before_its_start(&header),
            outstanding: Outstanding::default(),
            mailbox: Mailbox::default(),
            attempts: BTreeMap::new(),
            fired: BTreeSet::new(),
            stored: None,
            input: None,
            result: None,
            turns: header.turns,
            turn_lens: Vec::new(),
            event_ids: EventIds::default(),
            events: 0,
            active: false,
            next_seq: 0,
            last_commit: 0,
            holds: Vec::new(),
            to_be_revived: false,
            blocked: header.problem.is_some(),
            start_is_due: false,
            was_rewound: false,
            takes_back: Vec::new(),
            again: None,
            replaces: None,
            standing: Standing::default(),
            used: 0,
            counted_bytes: 0,
            header,
        }
    }

    /// An instance as it was stored, without its orchestrator, and its history.
    pub(super) fn from_stored(stored: Stored, hub: u64) -> (Self, Vec<Turn>) {
        let Stored {
            header,
            turns,
            turn_lens,
            messages,
            more_messages: _,
            attempts,
            active,
        } = stored;
        let mut instance = Self::new(header, hub);
        instance.stored = Some(instance.header.size());
        instance.attempts = attempts.into_iter().collect();
        let fired = messages.iter().filter_map(|(_, event)| fired(event));
        instance.fired = fired.collect();
        instance.active = active;
        instance.next_seq = messages.last().map_or(0, |(seq, _)| seq + 1);
        for (seq, event) in messages {
            // It concerns what has arrived before, too.
            let place = if matches!(event, Event::Rewound { .. }) {
                0
            } else {
                instance.mailbox.len()
            };
            let mail = Mail {
                seq: Some(seq),
                ..Mail::new(event)
            };
            instance.mailbox.insert(place, mail);
        }
        instance.turn_lens = turn_lens;
        instance.follow_history(&lived(&turns));
        (instance, turns)
    }

    /// Derives what is outstanding from all that it has lived through.
    pub(super) fn follow_history(&mut self, turns: &[Turn]) {
        self.outstanding = Outstanding::default();
        self.event_ids = EventIds::default();
        self.events = 0;
        self.was_rewound = false;
        for turn in turns {
            for step in &turn.steps {
                self.outstanding.follow(step, turn.time);
                self.note_event(&step.event);
            }
        }
        self.turns = u32::try_from(turns.len()).unwrap_or(u32::MAX);
        let mut lived = turns.iter().flat_map(|turn| &turn.steps);
        let first = lived.find_map(|step| started(&step.event));
        let waiting = || started(&self.mailbox.first()?.event);
        if let Some(started) = first.or_else(waiting) {
            self.input = Some(started.input.clone());
        }
        if let Some(last) = turns.last() {
            self.header.updated = self.header.updated.max(last.time);
        }
    }

    /// An event is part of the history from now on.
    pub(super) fn note_event(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::Started(started) => {
                for id in &started.event_ids {
                    self.event_ids.insert(Arc::clone(id));
                }
            }
            Event::EventRaised { id: Some(id), .. } => self.event_ids.insert(Arc::clone(id)),
            Event::Rewound { .. } => self.was_rewound = true,
            Event::EventRaised { id: None, .. }
            | Event::ActivityCompleted { .. }
            | Event::ActivityFailed { .. }
            | Event::TimerFired { .. }
            | Event::Terminated { .. }
            | Event::ChildCompleted { .. }
            | Event::ChildFailed { .. } => {}
        }
    }

    /// Becomes the next execution, with what is in its header; without a mailbox.
    pub(super) fn begin_execution(&mut self, hub: u64) {
        let fresh = Self::new(self.header.clone(), hub);
        self.identity = fresh.identity;
        self.body = Body::Fresh;
        self.outstanding = Outstanding::default();
        self.attempts.clear();
        self.fired.clear();
        self.result = None;
        self.turns = 0;
        self.turn_lens.clear();
        self.events = 0;
        self.was_rewound = false;
    }

    pub(super) fn number(&self) -> InstanceNumber {
        self.header.number
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.header.status == RuntimeStatus::Suspended
    }

    pub(super) fn key_of(&self, call: CallId) -> ActivityKey {
        ActivityKey {
            number: self.header.number,
            execution: self.header.execution,
            call,
        }
    }

    /// When the next attempt at a call was put off to, if it was.
    pub(super) fn next_due(&self, call: CallId) -> Option<Timestamp> {
        self.attempts.get(&call)?.due
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            header: Header {
                turns: self.turns,
                ..self.header.clone()
            },
            input: self.input.clone(),
            result: self.result.clone(),
            reports: self.reports(),
        }
    }

    fn reports(&self) -> Reports {
        let attempts = self
            .attempts
            .iter()
            .map(|(call, attempts)| (*call, attempts));
        let shown = shown_reports(attempts);
        shown.map(|(call, report)| (call, report.clone())).collect()
    }

    /// The calls whose answer has arrived and was not fed yet.
    pub(super) fn answered(&self) -> BTreeSet<CallId> {
        let call = |mail: &Mail<R>| mail.event.answers();
        self.mailbox.iter().filter_map(call).collect()
    }

    /// Whether its first turn, with which it is stored, is to come: it may be in any later commit, so
    /// nobody is told of it.
    pub(super) fn is_unborn(&self) -> bool {
        self.stored.is_none() && self.standing.waits() && !planted!(TellOfUnborn)
    }

    /// Whether everything about it is stored, so that it can leave memory once that is durable.
    pub(super) fn is_idle(&self) -> bool {
        !self.standing.waits() && self.mailbox.all_stored()
    }

    /// The bytes that it holds in memory, by estimate: the struct in its map, the orchestrator's future and
    /// its calls, payloads, history as far as it is remembered. What the orchestrator has allocated cannot
    /// be seen; its input counts twice, as it was decoded for it.
    pub(super) fn weight(&self) -> usize {
        /// Its places in the engine's indexes: by id, by use, in queues.
        const PLACES: usize = 120;
        /// A call's in those of attempts and timers.
        const PLACE_OF_CALL: usize = 60;
        let input = self.input.as_ref().map_or(0, Payload::len);
        let (body, decoded) = match &self.body {
            Body::Live(watched) => (watched.weight(), input),
            Body::Fresh | Body::Parked | Body::Ended => (0, 0),
        };
        let attempts = self.attempts.values().map(Attempts::bytes).sum::<usize>();
        let result = match &self.result {
            Some(Ok(output)) => output.len(),
            Some(Err(failure)) => failure.bytes(),
            None => 0,
        };
        size_of::<Self>() * 11 / 6
            + PLACES
            + body
            + input
            + decoded
            + result
            + self.header.weight()
            + self.mailbox.weight()
            + self.outstanding.weight()
            + self.outstanding.len() * PLACE_OF_CALL
            + attempts
            + weight::tree::<CallId, Attempts>(self.attempts.len())
            + self.turn_lens.capacity() * size_of::<u32>()
            + self.event_ids.weight()
    }
}

/// The timer that this event says has fired.
fn fired(event: &Event) -> Option<CallId> {
    match event {
        Event::TimerFired { call } => Some(*call),
        Event::Started(_)
        | Event::ActivityCompleted { .. }
        | Event::ActivityFailed { .. }
        | Event::EventRaised { .. }
        | Event::Terminated { .. }
        | Event::ChildCompleted { .. }
        | Event::ChildFailed { .. }
        | Event::Rewound { .. } => None,
    }
}

fn started(event: &Event) -> Option<&Started> {
    if let Event::Started(started) = event {
        Some(started)
    } else {
        None
    }
}

/// The ids of the events that were raised last, so that one that is raised again is known.
#[derive(Clone, Debug, Default)]
pub(super) struct EventIds {
    known: BTreeSet<Arc<str>>,
    oldest_first: VecDeque<Arc<str>>,
    /// The bytes of all of them.
    len: usize,
}

impl EventIds {
    /// So many are remembered.
    const MOST: usize = 1_000;

    pub(super) fn contains(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    fn insert(&mut self, id: Arc<str>) {
        if self.known.insert(Arc::clone(&id)) {
            self.len += id.len();
            self.oldest_first.push_back(id);
            if self.oldest_first.len() > Self::MOST
                && let Some(oldest) = self.oldest_first.pop_front()
            {
                self.len -= oldest.len();
                self.known.remove(&oldest);
            }
        }
    }

    /// The bytes that they hold in memory, by estimate.
    fn weight(&self) -> usize {
        let ids = self.known.len();
        let each = weight::SHARED + size_of::<Arc<str>>();
        self.len + each * ids + weight::tree::<Arc<str>, ()>(ids)
    }

    pub(super) fn to_vec(&self) -> Vec<Arc<str>> {
        self.oldest_first.iter().cloned().collect()
    }
}
