//! Letters between instances: children begun and ended, events for others.
//!
//! A letter is written in a turn and handed on before the commit with that turn is sealed. Whoever
//! it is for takes its turn in the same commit, if there is room; then the letter was never stored.
//! If not (the recipient must be loaded, the commit is full), it is stored with the commit, and taken
//! away by the one in which it is dealt with. So the store has either both or neither of a cause
//! and its effect, and after a crash what was not dealt with is handed on again.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use crate::engine::delivery::insert_first;
use crate::engine::hold::Hold;
use crate::engine::instance::{Body, Instance};
use crate::engine::mailbox::Mail;
use crate::engine::message::Snapshot;
use crate::engine::rewind::By;
use crate::engine::work::{Next, Work};
use crate::engine::{Answer, Engine, Want};
use crate::failure::{FailureDetails, FailureKind};
use crate::history::{Action, ChildOptions, Event, Letter, Parent, Pending, Started};
use crate::id::{CallId, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::Payload;
use crate::store::Op;

/// Letters on their way.
#[derive(Debug, Default)]
pub(super) struct Post {
    /// To be handed on.
    outgoing: VecDeque<(u64, Letter)>,
    /// Written in the commit that is being built, and not dealt with.
    unsettled: BTreeMap<u64, Letter>,
    /// Stored and not dealt with, with their lengths.
    stored: BTreeMap<u64, u32>,
    next: u64,
}

impl Post {
    /// With the letters that the store has.
    pub(super) fn recovered(letters: Vec<(u64, Letter)>) -> Self {
        let mut post = Self::default();
        for (seq, letter) in letters {
            post.next = seq + 1;
            post.stored.insert(seq, letter.len());
            post.outgoing.push_back((seq, letter));
        }
        post
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outgoing.is_empty()
    }
}

impl<R> Work<R> {
    pub(super) fn send(&mut self, letter: Letter) {
        let seq = self.post.next;
        self.post.next += 1;
        self.post.unsettled.insert(seq, letter.clone());
        self.post.outgoing.push_back((seq, letter));
    }

    /// The letter was dealt with in the commit that is being built.
    pub(super) fn settle(&mut self, seq: u64) {
        if self.post.unsettled.remove(&seq).is_some() {
            return;
        }
        if planted!(DeliverTwice) {
            return;
        }
        if let Some(len) = self.post.stored.remove(&seq) {
            self.ops.push(Op::TakeLetter { seq, len });
        }
    }

    /// Has the commit that is being built carry what was written in it and not dealt with.
    pub(super) fn store_letters(&mut self) {
        for (seq, letter) in std::mem::take(&mut self.post.unsettled) {
            if planted!(LoseLetter) {
                continue;
            }
            self.post.stored.insert(seq, letter.len());
            self.size.bytes += letter.bytes();
            self.ops.push(Op::PutLetter { seq, letter });
        }
    }

    /// What a turn has to tell others.
    pub(super) fn send_all(&mut self, instance: &Instance<R>, actions: &[Action]) {
        for action in actions {
            match action {
                Action::SendEvent { to, name, data, .. } => self.send(Letter::Event {
                    to: to.clone(),
                    name: name.clone(),
                    data: data.clone(),
                }),
                Action::StartChild {
                    call: _,
                    id,
                    name,
                    version,
                    input,
                    options,
                } if options.detached => {
                    let started = start(id.clone(), name, version, input, options, None);
                    self.send(Letter::Start {
                        started,
                        // What was taken back may have begun it.
                        named: options.named || instance.was_rewound,
                        again: false,
                    });
                }
                Action::StartChild { .. }
                | Action::ScheduleActivity { .. }
                | Action::CreateTimer { .. }
                | Action::AwaitEvent { .. }
                | Action::Cancel { .. }
                | Action::SetCustomStatus { .. }
                | Action::Complete { .. }
                | Action::Fail { .. }
                | Action::ContinueAsNew { .. }
                | Action::Patched { .. } => {}
            }
        }
    }

    /// Has the next attempt at a child begin. If the instance was rewound, each attempt may be there from
    /// before, and goes on.
    pub(super) fn start_child(&mut self, instance: &Instance<R>, call: CallId) {
        let Some(Pending::Child {
            id,
            name,
            version,
            input,
            options,
            since: _,
        }) = instance.outstanding.get(call)
        else {
            return;
        };
        let parent = instance.as_parent(call);
        let not_first = parent.attempt > 1;
        let id = match id_of_attempt(id, parent.attempt) {
            Ok(id) => id,
            Err(failure) => {
                return self.send(Letter::Ended {
                    parent,
                    result: Err(failure),
                });
            }
        };
        let started = start(id, name, version, input, options, Some(parent));
        self.send(Letter::Start {
            started,
            // After a restart it may be begun again although it was before.
            named: options.named || not_first || instance.was_rewound,
            again: instance.was_rewound,
        });
    }

    /// Ends the child of a call that nobody waits for any more.
    pub(super) fn terminate_child(
        &mut self,
        instance: &Instance<R>,
        call: CallId,
        id: &InstanceId,
    ) {
        let parent = instance.as_parent(call);
        if let Ok(to) = id_of_attempt(id, parent.attempt) {
            self.send(Letter::Terminate {
                to,
                reason: format!("its parent {} no longer waits for it", parent.instance),
                parent,
            });
        }
    }

    /// Tells the parent how its child has ended.
    pub(super) fn tell_parent(&mut self, instance: &Instance<R>) {
        let (Some(parent), Some(result)) = (&instance.header.parent, &instance.result) else {
            return;
        };
        self.send(Letter::Ended {
            parent: parent.clone(),
            result: result.clone(),
        });
    }
}

/// The start of a child that is called again.
fn called(started: Box<Started>) -> Letter {
    Letter::Start {
        started,
        named: true,
        again: true,
    }
}

/// The start of what an orchestrator begins.
fn start(
    instance: InstanceId,
    name: &str,
    version: &str,
    input: &Payload,
    options: &ChildOptions,
    parent: Option<Parent>,
) -> Box<Started> {
    Box::new(Started {
        instance,
        execution: ExecutionId::default(),
        name: name.to_owned(),
        version: version.to_owned(),
        input: input.clone(),
        parent,
        event_ids: Vec::new(),
        tags: options.tags.clone(),
    })
}

/// Each attempt at a child is an instance of its own.
fn id_of_attempt(id: &InstanceId, attempt: u32) -> Result<InstanceId, FailureDetails> {
    if attempt <= 1 {
        return Ok(id.clone());
    }
    InstanceId::new(format!("{id}:{attempt}")).map_err(|error| {
        FailureDetails::new(
            FailureKind::Input,
            "durable_core::InvalidInstanceId",
            error.to_string(),
        )
    })
}

impl<R> Instance<R> {
    /// Whether the orchestrator's code decides if a child is begun again.
    pub(super) fn asks_about(&self, child: CallId) -> bool {
        let pending = self.outstanding.get(child);
        matches!(pending, Some(Pending::Child { options, .. }) if options.retry_if)
    }

    /// Whether this is the attempt that this instance waits for. One that is to be rewound makes its calls
    /// again when it is, and waits for nothing before.
    fn waits_for(&self, parent: &Parent) -> bool {
        let is_child = matches!(
            self.outstanding.get(parent.call),
            Some(Pending::Child { .. })
        );
        let answers = |mail: &Mail<R>| mail.event.answers() == Some(parent.call);
        is_child
            && !self.is_to_be_rewound()
            && *parent == self.as_parent(parent.call)
            && !self.mailbox.iter().any(answers)
    }

    /// This instance as the parent of a call's next or current attempt.
    fn as_parent(&self, call: CallId) -> Parent {
        let failed = self
            .attempts
            .get(&call)
            .map_or(0, |attempts| attempts.failed);
        Parent {
            instance: self.header.id.clone(),
            number: self.header.number,
            execution: self.header.execution,
            call,
            attempt: failed + 1,
            depth: self.header.parent.as_ref().map_or(0, |parent| parent.depth) + 1,
        }
    }
}

impl<R: Answer> Engine<R> {
    /// Hands on what was written so far. Whoever it concerns is next to take its turn.
    pub(super) fn hand_on_letters(&mut self) {
        while let Some((seq, letter)) = self.work.post.outgoing.pop_front() {
            match &letter {
                Letter::Start { started, named, .. } if !named => {
                    let started = started.clone();
                    self.begin_child(seq, started);
                }
                Letter::Start { started, .. } => {
                    let id = started.instance.clone();
                    self.look_at(&id, Want::Letter(seq, letter));
                }
                Letter::Event { to, .. } | Letter::Terminate { to, .. } => {
                    let to = to.clone();
                    self.look_at(&to, Want::Letter(seq, letter));
                }
                Letter::Ended { parent, .. } => {
                    self.on_number(parent.number, Want::Letter(seq, letter));
                }
            }
        }
    }

    /// Goes on with a letter once it is known whether there is somebody of that id.
    pub(super) fn post(
        &mut self,
        found: Option<(InstanceNumber, Snapshot)>,
        seq: u64,
        letter: Letter,
    ) {
        match (letter, found) {
            (Letter::Start { started, .. }, None) => self.begin_child(seq, started),
            (Letter::Start { started, again, .. }, Some((number, there))) => {
                let Some(parent) = started.parent.clone() else {
                    return self.work.settle(seq);
                };
                if there.header.parent.as_ref() == Some(&parent) {
                    let again = again.then_some(started);
                    return self.child_is_there(seq, number, &there, parent, again);
                }
                let text = format!(
                    "there is an instance {} already; it is {}",
                    there.header.id, there.header.status
                );
                self.work.settle(seq);
                self.work
                    .refuse_child(parent, FailureKind::AlreadyExists, text);
            }
            (letter, Some((number, there))) if !there.header.status.is_terminal() => {
                self.on_number(number, Want::Letter(seq, letter));
            }
            // Nobody takes it.
            (_, _) => self.work.settle(seq),
        }
    }

    /// It may have been looked for while its parent gave it up, or got its result.
    fn is_given_up(&self, parent: &Parent) -> bool {
        let instance = self.instances.get(&parent.number);
        instance.is_some_and(|instance| !instance.waits_for(parent))
    }

    /// A child of this very call: its start came before a crash, or before its parent was rewound. One
    /// that has ended says so once more, or goes on.
    fn child_is_there(
        &mut self,
        seq: u64,
        number: InstanceNumber,
        there: &Snapshot,
        parent: Parent,
        again: Option<Box<Started>>,
    ) {
        match (&there.result, again) {
            _ if self.is_given_up(&parent) => self.work.settle(seq),
            (Some(Err(_)), Some(started)) => {
                let reason = format!("its parent {} was rewound", parent.instance);
                let rewind = Hold::Rewind(reason, By::Parent(seq, started));
                self.on_number(number, Want::Hold(rewind));
            }
            (Some(result), _) => {
                let result = result.clone();
                self.work.settle(seq);
                self.work.send(Letter::Ended { parent, result });
            }
            // It may have to be spared: it is told behind whatever else is on its way to it.
            (None, Some(started)) => self.on_number(number, Want::Letter(seq, called(started))),
            (None, None) => self.work.settle(seq),
        }
    }

    /// The child that was to go on has ended meanwhile, or is no more.
    pub(super) fn call_again(&mut self, seq: u64, started: Box<Started>) {
        let id = started.instance.clone();
        self.look_at(&id, Want::Letter(seq, called(started)));
    }

    /// A child that runs is called again. When its parent failed, it was to be terminated: if it was not
    /// yet, it lives on.
    fn spare(&mut self, number: InstanceNumber, seq: u64, started: Box<Started>) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        if matches!(instance.body, Body::Ended) {
            return self.call_again(seq, started);
        }
        for letter in instance.mailbox.take_terminations_before(seq) {
            self.work.settle(letter);
        }
        self.work.settle(seq);
    }

    fn begin_child(&mut self, seq: u64, mut started: Box<Started>) {
        if let Some(parent) = &started.parent
            && self.is_given_up(parent)
        {
            return self.work.settle(seq);
        }
        if started.version.is_empty() {
            started.version.clone_from(&self.work.default_version);
        }
        let deepest = self.work.config.max_depth;
        match &started.parent {
            Some(parent) if parent.depth > deepest => {
                let text = format!(
                    "{} would be {} levels deep, the limit is {deepest}",
                    started.instance, parent.depth
                );
                let parent = parent.clone();
                self.work.settle(seq);
                self.work
                    .refuse_child(parent, FailureKind::LimitExceeded, text);
            }
            _ => {
                let number = self.begin(started, None, Mail::letter(seq));
                self.prompt.push_back(number);
            }
        }
    }

    /// Hands a letter to an instance in memory.
    pub(super) fn deliver_letter(&mut self, number: InstanceNumber, seq: u64, letter: Letter) {
        let Some(instance) = self.instances.get_mut(&number) else {
            return;
        };
        let prompt = match letter {
            Letter::Event { name, data, .. } => {
                let event = Event::EventRaised {
                    name,
                    data,
                    id: None,
                };
                instance.mailbox.push(Mail::letter(seq)(event));
                true
            }
            Letter::Terminate { parent, reason, .. }
                if instance.header.parent.as_ref() == Some(&parent) =>
            {
                let event = Event::Terminated {
                    reason: Some(reason),
                    children: true,
                };
                insert_first(instance, Mail::letter(seq)(event));
                true
            }
            Letter::Ended { parent, result } => {
                child_ended(&mut self.work, instance, seq, &parent, result)
            }
            Letter::Start {
                started,
                again: true,
                ..
            } => return self.spare(number, seq, started),
            // It is another's child, and is begun elsewhere.
            Letter::Terminate { .. } | Letter::Start { .. } => {
                self.work.settle(seq);
                false
            }
        };
        if prompt {
            self.prompt.push_back(number);
        }
    }

    /// The next to take a turn: those to whom somebody has written in this commit, in between those
    /// who wait for it.
    pub(super) fn next_turn(&mut self) -> Option<InstanceNumber> {
        self.was_prompt = !self.prompt.is_empty() && (!self.was_prompt || self.ready.is_empty());
        if self.was_prompt {
            self.prompt.pop_front()
        } else {
            self.ready.pop()
        }
    }
}

impl<R> Work<R> {
    fn refuse_child(&mut self, parent: Parent, kind: FailureKind, text: String) {
        let failure = FailureDetails::new(kind, "durable_core", text).not_retryable();
        self.send(Letter::Ended {
            parent,
            result: Err(failure),
        });
    }
}

/// Says whether the parent has something to do now.
fn child_ended<R>(
    work: &mut Work<R>,
    instance: &mut Instance<R>,
    seq: u64,
    parent: &Parent,
    result: Result<Payload, FailureDetails>,
) -> bool {
    let call = parent.call;
    if !instance.waits_for(parent) {
        work.settle(seq);
        return false;
    }
    let event = match result {
        Ok(output) => Event::ChildCompleted { call, output },
        // It is asked when it is fed: now it may not be there.
        Err(failure) if instance.asks_about(call) && !planted!(LoseFailure) => {
            Event::ChildFailed { call, failure }
        }
        Err(failure) => match work.after_failure(instance, call, &failure) {
            Next::Fails => Event::ChildFailed { call, failure },
            Next::IsRetried | Next::IsLost => {
                work.settle(seq);
                return false;
            }
        },
    };
    instance.mailbox.push(Mail::letter(seq)(event));
    true
}
