//! Taking a turn: what has arrived for an instance is fed to its orchestrator, and what the
//! orchestrator asks for becomes part of the next commit.

use std::collections::{BTreeMap, BTreeSet};

use tracing::Span;

use crate::failure::{FailureDetails, FailureKind};
use crate::history::{Action, Event, Pending, Started, Step, Turn, encode_turn};
use crate::id::{CallId, ExecutionId};
use crate::payload::Payload;
use crate::registry::Choice;
use crate::replay::{Fed, Identity, Matching, Problem, ProblemKind, Watched};
use crate::store::{Op, RuntimeStatus, TimerKind};
use crate::time::Timestamp;
use crate::version::Versioning;

use super::delivery::insert_first;
use super::instance::{Body, Instance};
use super::lifecycle::LifecycleKind;
use super::mailbox::{Mail, Mailbox};
use super::message::{Effect, Response};
use super::work::{Next, Work, keep_since, set_problem, timer_key};
use super::{Config, MAX_CUSTOM_STATUS, MAX_STEP};

/// A call that ends, answered or given up.
struct Closed {
    call: CallId,
    pending: Pending,
    given_up: bool,
}

/// How an execution is to be continued as new.
struct Continuation {
    version: String,
    input: Payload,
    keep_events: bool,
}

/// What a turn adds up to.
struct Taken<R> {
    turn: Turn,
    /// Begun in it and still wanted at its end.
    opened: BTreeMap<CallId, Pending>,
    /// What was open when the execution failed is asked for again.
    rewound: bool,
    /// Begun before it and ended by it.
    closed: Vec<Closed>,
    /// What was fed, or turned out to concern nobody.
    dealt_with: Vec<Mail<R>>,
    custom_status: Option<Payload>,
    problem: Option<Problem>,
}

impl<R> Work<R> {
    /// Takes an instance's turn: one record of history, whatever has arrived.
    pub(super) fn turn(&mut self, instance: &mut Instance<R>) {
        let ops = self.ops.len();
        let problem = instance.header.problem.clone();
        let is_end = |mail: &Mail<R>| matches!(mail.event, Event::Terminated { .. });
        // Only its start may stand before it.
        let terminated = instance.mailbox.iter().take(2).any(is_end);
        let mut changed = self.hold(instance);
        if matches!(instance.body, Body::Ended) {
            self.refuse_rest(instance);
            if self.ops.len() > ops {
                instance.last_commit = self.commit();
            }
            return;
        }
        changed |= self.begin_scheduled(instance);
        if matches!(instance.body, Body::Fresh) && !terminated {
            self.bring_to_life(instance);
        }
        if terminated || matches!(instance.body, Body::Live(_)) {
            changed |= self.feed_all(instance);
            // Continued as new: what the next execution begins with is part of this commit, too.
            if matches!(instance.body, Body::Fresh) {
                self.bring_to_life(instance);
                if matches!(instance.body, Body::Live(_)) {
                    self.feed_all(instance);
                }
            }
        }
        if matches!(instance.body, Body::Ended) {
            self.refuse_rest(instance);
        } else {
            let kept = instance.mailbox.iter().rposition(|mail| mail.kept);
            let mut at_least = kept.map_or(0, |last| last + 1);
            if matches!(instance.body, Body::Parked) {
                at_least = at_least.max(self.config.events_per_turn);
            }
            changed |= self.store_mail(instance, at_least);
            self.schedule(instance);
        }
        keep_since(instance, problem.as_ref());
        changed |= instance.header.problem != problem;
        self.summarise(instance, changed);
        if self.ops.len() > ops {
            instance.last_commit = self.commit();
        }
    }

    /// Gives a fresh instance its orchestrator, or parks it.
    fn bring_to_life(&mut self, instance: &mut Instance<R>) {
        let body = match self.make_watched(instance, true) {
            Ok(Some(watched)) => {
                set_problem(instance, None, self.now);
                Body::Live(Box::new(watched))
            }
            Ok(None) => Body::Parked,
            Err(problem) => {
                set_problem(instance, Some(problem), self.now);
                Body::Parked
            }
        };
        instance.body = body;
    }

    /// The orchestrator of an instance, before its first event, of one that begins or goes on; `None`
    /// without a worker.
    fn make_watched(
        &self,
        instance: &Instance<R>,
        begins: bool,
    ) -> Result<Option<Watched>, Problem> {
        let Some(registry) = &self.registry else {
            return Ok(None);
        };
        let identity = &instance.identity;
        let (name, version) = (&identity.name, &identity.version);
        let run = match registry.choose(name, version, begins) {
            Choice::Run(run) => run,
            Choice::Missing => {
                return Err(no_orchestrator(
                    name,
                    version,
                    &registry.orchestrator_names(),
                ));
            }
            Choice::Mismatch => return Err(not_taken(version, &registry.versioning)),
        };
        let on_foreign = (self.on_foreign_wake)(instance.number());
        Ok(Some(Watched::new(
            identity,
            run,
            &on_foreign,
            self.config.shadow,
        )))
    }

    /// Brings an instance with a history back to life by replaying it; its problem is gone then.
    /// One that is suspended is not.
    /// `turns` are what it has lived through.
    pub(super) fn revive(&mut self, instance: &mut Instance<R>, turns: &[Turn]) {
        if instance.is_suspended() && !planted!(ReviveSuspended) {
            instance.body = Body::Parked;
            return;
        }
        if turns.is_empty() {
            // Whether its problem is gone shows in its first turn, which follows.
            instance.body = Body::before_its_start(&instance.header);
            return;
        }
        let (body, problem) = match self.replayed(instance, turns) {
            Ok(Some(watched)) => (Body::Live(Box::new(watched)), None),
            Ok(None) => {
                instance.body = Body::Parked;
                return;
            }
            Err(problem) => (Body::Parked, Some(problem)),
        };
        instance.body = body;
        set_problem(instance, problem, self.now);
    }

    /// The orchestrator of an instance that has lived through this; `None` without a worker.
    pub(super) fn replayed(
        &self,
        instance: &Instance<R>,
        turns: &[Turn],
    ) -> Result<Option<Watched>, Problem> {
        let Some(mut watched) = self.make_watched(instance, false)? else {
            return Ok(None);
        };
        let drifted = watched.replay(turns, Matching::Tolerant)?;
        if drifted > 0 {
            tracing::info!(instance = %instance.header.id, drifted, "inputs differ from history in added or removed keys");
        }
        Ok(Some(watched))
    }

    /// Feeds what has arrived, up to a bound, and carries out what is asked for. Says whether the
    /// summary changed.
    fn feed_all(&mut self, instance: &mut Instance<R>) -> bool {
        let taken = {
            let _span = span_of_turn(instance).entered();
            self.take(instance)
        };
        let Taken {
            turn,
            opened,
            rewound: _,
            closed,
            dealt_with,
            custom_status,
            problem,
        } = taken;
        let mut changed = custom_status.is_some();
        for closed in &closed {
            if planted!(LeaveWhatEndsWithIt) && instance.outstanding.ended() {
                break;
            }
            self.close(instance, closed.call, &closed.pending, closed.given_up);
        }
        for step in &turn.steps {
            self.send_all(instance, &step.actions);
        }
        if custom_status.is_some() {
            instance.header.custom_status = custom_status;
        }
        if let Some(continuation) = continuation_of(&turn) {
            self.answer(instance, dealt_with);
            instance.header.updated = turn.time;
            self.continue_as_new(instance, continuation);
            return true;
        }
        if !turn.steps.is_empty() {
            changed |= self.append(instance, turn);
        }
        self.open(instance, opened);
        self.answer(instance, dealt_with);
        if let Some(problem) = problem {
            instance.body = Body::Parked;
            set_problem(instance, Some(problem), self.now);
        }
        if instance.outstanding.ended() {
            self.end(instance);
            changed = true;
        }
        changed
    }

    fn take(&mut self, instance: &mut Instance<R>) -> Taken<R> {
        let now = self.time_of_turn(instance);
        let time = match &mut instance.body {
            Body::Live(watched) => watched.begin_turn(now),
            Body::Fresh | Body::Parked | Body::Ended => now,
        };
        let mut taken = Taken {
            turn: Turn {
                time,
                steps: Vec::new(),
            },
            opened: BTreeMap::new(),
            rewound: false,
            closed: Vec::new(),
            dealt_with: Vec::new(),
            custom_status: None,
            problem: None,
        };
        let mut bytes = 0;
        // What is only noted, a start and a termination, is one turn whatever the bounds: the start
        // alone would be the history of an orchestrator that asks for nothing.
        let noted = !matches!(instance.body, Body::Live(_));
        for fed in 0.. {
            let full = fed >= self.config.events_per_turn || bytes > self.config.bytes_per_commit;
            // With a rewind goes what happens again.
            let again = taken.repeats(instance, fed);
            let repeats = again.is_some();
            if full && !noted && !repeats {
                break;
            }
            let Some(mail) = again.map(Mail::new).or_else(|| instance.mailbox.pop()) else {
                break;
            };
            self.size.events += 1;
            if self.child_is_retried(instance, &mail.event) {
                taken.dealt_with.push(mail);
                continue;
            }
            self.warn_of_length(instance);
            match self.feed(instance, &mail.event) {
                Ok(Some(step)) => {
                    let actions: usize = step.actions.iter().map(Action::bytes).sum();
                    bytes += step.event.bytes() + actions;
                    taken.follow(instance, step);
                }
                Ok(None) => {}
                Err(problem) => {
                    if repeats {
                        taken.undo_rewind(instance);
                    } else {
                        instance.mailbox.insert(0, mail);
                    }
                    taken.problem = Some(problem);
                    break;
                }
            }
            taken.dealt_with.push(mail);
            if instance.outstanding.ended() && !planted!(GoOnAfterEnd) {
                break;
            }
        }
        taken
    }

    /// Whether a child that has failed is begun again, if the orchestrator's code decides that.
    fn child_is_retried(&mut self, instance: &mut Instance<R>, event: &Event) -> bool {
        let Event::ChildFailed { call, failure } = event else {
            return false;
        };
        matches!(instance.body, Body::Live(_))
            && instance.asks_about(*call)
            && self.after_failure(instance, *call, failure) == Next::IsRetried
    }

    /// The next execution of an instance: its history is empty, and its mailbox begins with what the
    /// one before leaves to it.
    fn continue_as_new(&mut self, instance: &mut Instance<R>, continuation: Continuation) {
        let Continuation {
            version,
            input,
            keep_events,
        } = continuation;
        let mut events = match &mut instance.body {
            Body::Live(watched) => watched.take_events(),
            Body::Fresh | Body::Parked | Body::Ended => Vec::new(),
        };
        if !keep_events || planted!(DropCarriedEvents) {
            events.clear();
        }
        let (number, execution) = (instance.number(), instance.header.execution);
        for (turn, len) in (1..).zip(&instance.turn_lens) {
            self.ops.push(Op::DropTurn {
                number,
                execution,
                turn,
                len: *len,
            });
        }
        if instance.header.status == RuntimeStatus::Pending {
            self.announce_start(instance);
        }
        instance.header.execution = ExecutionId(execution.0.saturating_add(1));
        instance.header.version = version;
        instance.header.status = RuntimeStatus::Running;
        self.announce(&instance.header, LifecycleKind::ContinuedAsNew);
        let started = Started {
            instance: instance.header.id.clone(),
            execution: instance.header.execution,
            name: instance.header.name.clone(),
            version: instance.header.version.clone(),
            input: input.clone(),
            parent: instance.header.parent.clone(),
            event_ids: instance.event_ids.to_vec(),
            tags: instance.header.tags.clone(),
        };
        instance.begin_execution(self.hub);
        instance.input = Some(input);
        let mut mailbox = Mailbox::default();
        mailbox.push(Mail::kept(Event::Started(Box::new(started))));
        for (name, data) in events {
            let id = None;
            mailbox.push(Mail::kept(Event::EventRaised { name, data, id }));
        }
        let mut rest = std::mem::replace(&mut instance.mailbox, mailbox);
        while let Some(mail) = rest.pop() {
            self.hand_down(instance, mail);
        }
    }

    /// What has arrived for the execution before goes to the next, if it is not an answer to it.
    fn hand_down(&mut self, instance: &mut Instance<R>, mail: Mail<R>) {
        if let Some(seq) = mail.seq {
            self.ops.push(Op::TakeMessage {
                number: instance.number(),
                seq,
                event: mail.event.clone(),
            });
        }
        let stored = mail.seq.is_some();
        match &mail.event {
            Event::EventRaised { .. } => instance.mailbox.push(Mail {
                seq: None,
                kept: mail.kept || stored,
                ..mail
            }),
            Event::Terminated { .. } => insert_first(
                instance,
                Mail {
                    seq: None,
                    kept: mail.kept || stored,
                    ..mail
                },
            ),
            Event::Started(_)
            | Event::ActivityCompleted { .. }
            | Event::ActivityFailed { .. }
            | Event::TimerFired { .. }
            | Event::ChildCompleted { .. }
            | Event::ChildFailed { .. }
            | Event::Rewound { .. } => {
                if let Some(letter) = mail.letter {
                    self.settle(letter);
                }
            }
        }
    }

    /// The clock, unless it was set back: since the last turn, since the start, or since a timer
    /// fired whose instance could take no turn then.
    fn time_of_turn(&self, instance: &Instance<R>) -> Timestamp {
        let fired = |mail: &Mail<R>| match &mail.event {
            Event::TimerFired { call } => match instance.outstanding.get(*call) {
                Some(Pending::Timer { due }) => Some(*due),
                Some(Pending::Activity { .. } | Pending::Child { .. }) | None => None,
            },
            Event::Started(_)
            | Event::ActivityCompleted { .. }
            | Event::ActivityFailed { .. }
            | Event::EventRaised { .. }
            | Event::Terminated { .. }
            | Event::ChildCompleted { .. }
            | Event::ChildFailed { .. }
            | Event::Rewound { .. } => None,
        };
        let first = instance.mailbox.iter().take(self.config.events_per_turn);
        let due = first.filter_map(fired).max();
        if planted!(TimeGoesBack) {
            return self.now;
        }
        self.now
            .max(instance.header.updated)
            .max(due.unwrap_or_default())
            .max(instance.began_as_scheduled())
    }

    /// One event. `None` if it concerned nobody.
    fn feed(&self, instance: &mut Instance<R>, event: &Event) -> Result<Option<Step>, Problem> {
        if let Event::EventRaised { id: Some(id), .. } = event
            && instance.event_ids.contains(id)
            && !planted!(TakeEventTwice)
        {
            return Ok(None);
        }
        let event = if let Event::Rewound { reason, .. } = event {
            instance.rewound(reason)
        } else {
            event.clone()
        };
        let watched = match (&event, &mut instance.body) {
            // Noted, not fed: of an instance that ends before its first turn also its start.
            (Event::Terminated { .. }, _) | (_, Body::Fresh | Body::Parked | Body::Ended) => {
                return Ok(Some(Step {
                    event,
                    actions: Vec::new(),
                }));
            }
            (_, Body::Live(watched)) => watched,
        };
        let calls = instance.outstanding.len();
        let Fed { changed, actions } = watched.feed(&event)?;
        if !changed {
            return Ok(None);
        }
        let actions = actions.into_iter().map(|emitted| emitted.action).collect();
        Ok(Some(Step {
            event,
            actions: self.within_limits(actions, calls, instance.events),
        }))
    }

    /// A step that carries more than may be stored fails the execution instead.
    fn within_limits(&self, actions: Vec<Action>, calls: usize, events: usize) -> Vec<Action> {
        let too_large = actions.iter().find_map(|action| {
            let len = action.payload()?.len();
            let max_payload = self.config.max_payload;
            let (what, limit) = match action {
                Action::SetCustomStatus { .. } => ("custom status".to_owned(), MAX_CUSTOM_STATUS),
                Action::ScheduleActivity { name, .. } => {
                    (format!("input of activity `{name}`"), max_payload)
                }
                Action::Complete { .. } => ("output".to_owned(), max_payload),
                Action::StartChild { name, .. } => {
                    (format!("input of child `{name}`"), max_payload)
                }
                Action::SendEvent { name, .. } => (format!("data of event `{name}`"), max_payload),
                Action::ContinueAsNew { .. } => ("next input".to_owned(), max_payload),
                Action::Fail { .. } => ("error".to_owned(), max_payload),
                Action::CreateTimer { .. }
                | Action::AwaitEvent { .. }
                | Action::Cancel { .. }
                | Action::Patched { .. } => return None,
            };
            (len > limit).then(|| format!("the {what} of {len} bytes is over the limit of {limit}"))
        });
        let step: usize = actions.iter().map(Action::bytes).sum();
        let too_large = too_large.or_else(|| {
            (step > MAX_STEP).then(|| {
                format!("a step that asks for {step} bytes is over the limit of {MAX_STEP}")
            })
        });
        let too_large = too_large.map(|message| (FailureKind::PayloadTooLarge, message));
        let exceeded = || {
            let message = self.exceeded(&actions, calls, events)?;
            Some((FailureKind::LimitExceeded, message))
        };
        match too_large.or_else(exceeded) {
            Some((kind, message)) => {
                let failure = FailureDetails::new(kind, "durable_core", message);
                vec![Action::Fail {
                    failure: failure.not_retryable(),
                }]
            }
            None => actions,
        }
    }

    /// A history that comes near its bound is said so once.
    fn warn_of_length(&self, instance: &Instance<R>) {
        let limit = self.config.max_history;
        if instance.events == limit - limit / 4 {
            tracing::warn!(
                instance = %instance.header.id,
                events = instance.events,
                limit,
                "its history becomes too long: use `continue_as_new`"
            );
        }
    }

    /// The bound that an execution exceeds which has so many calls outstanding and events behind it,
    /// and now asks for this.
    fn exceeded(&self, actions: &[Action], calls: usize, events: usize) -> Option<String> {
        let begins = |action: &&Action| match action {
            Action::ScheduleActivity { .. } | Action::CreateTimer { .. } => true,
            Action::StartChild { options, .. } => !options.detached,
            Action::AwaitEvent { .. }
            | Action::Cancel { .. }
            | Action::SetCustomStatus { .. }
            | Action::Complete { .. }
            | Action::Fail { .. }
            | Action::SendEvent { .. }
            | Action::ContinueAsNew { .. }
            | Action::Patched { .. } => false,
        };
        let calls = calls + actions.iter().filter(begins).count();
        let Config {
            max_outstanding,
            max_history,
            ..
        } = self.config;
        if calls > max_outstanding {
            return Some(format!(
                "{calls} calls outstanding at once are over the limit of {max_outstanding}"
            ));
        }
        let ends = actions.iter().any(|action| {
            matches!(
                action,
                Action::Complete { .. } | Action::Fail { .. } | Action::ContinueAsNew { .. }
            )
        });
        (events >= max_history && !ends).then(|| {
            format!(
                "a history of more than {max_history} events is over the limit: use `continue_as_new`"
            )
        })
    }

    /// Adds the turn to the history. Says whether the status changed.
    fn append(&mut self, instance: &mut Instance<R>, turn: Turn) -> bool {
        let record = match encode_turn(&turn) {
            Ok(record) => record,
            // The types have no value that cannot be written; the commit then has a gap, which
            // the store refuses to load, rather than a wrong record.
            Err(error) => {
                tracing::error!(%error, "a turn cannot be encoded");
                Vec::new()
            }
        };
        self.size.bytes += record.len();
        instance.turns += 1;
        instance
            .turn_lens
            .push(u32::try_from(record.len()).unwrap_or(u32::MAX));
        instance.header.updated = turn.time;
        instance.result = super::message::result_of(&turn).or(instance.result.take());
        let (number, execution) = (instance.number(), instance.header.execution);
        self.ops.push(Op::AppendTurn {
            number,
            execution,
            turn: instance.turns,
            record,
        });
        let first = instance.header.status == RuntimeStatus::Pending;
        if first {
            instance.header.status = RuntimeStatus::Running;
            self.announce_start(instance);
        }
        first
    }

    fn answer(&mut self, instance: &Instance<R>, mails: Vec<Mail<R>>) {
        for Mail {
            event,
            seq,
            reply,
            letter,
            kept: _,
        } in mails
        {
            if let Some(reply) = reply {
                self.reply(reply, Response::Done);
            }
            if let Some(letter) = letter {
                self.settle(letter);
            }
            if let Some(seq) = seq
                && !planted!(KeepMessage)
            {
                self.ops.push(Op::TakeMessage {
                    number: instance.number(),
                    seq,
                    event,
                });
            }
        }
    }

    /// The execution has ended: its status, and everybody who waited for it.
    fn end(&mut self, instance: &mut Instance<R>) {
        self.unschedule(instance);
        instance.body = Body::Ended;
        let status = match &instance.result {
            Some(Err(failure)) if failure.kind() == FailureKind::Terminated => {
                RuntimeStatus::Terminated
            }
            Some(Err(_)) => RuntimeStatus::Failed,
            Some(Ok(_)) | None => RuntimeStatus::Completed,
        };
        instance.header.status = status;
        instance.header.suspended = None;
        instance.header.problem = None;
        instance.header.turns = instance.turns;
        self.announce_end(&instance.header);
        self.tell_parent(instance);
        let waiters = self.waiters.take(instance.number());
        for waiter in waiters {
            let snapshot = Box::new(instance.snapshot());
            self.effects
                .push(Effect::Reply(waiter, Response::Status(snapshot)));
        }
    }

    /// What arrives for an instance that has ended is not taken. Events that were kept for it before
    /// stay where they are if it may be rewound.
    fn refuse_rest(&mut self, instance: &mut Instance<R>) {
        let status = instance.header.status;
        let stays = instance.header.may_be_rewound() && !planted!(DropKeptEvents);
        // What is stored goes with the end, in one commit: nobody loads the instance again.
        for refused in 0.. {
            if refused >= self.config.events_per_turn && !instance.mailbox.has_stored() {
                break;
            }
            let Some(Mail {
                event,
                seq,
                reply,
                letter,
                kept,
            }) = instance.mailbox.pop()
            else {
                break;
            };
            self.size.events += 1;
            if let Some(letter) = letter {
                self.settle(letter);
            }
            if let Some(reply) = reply {
                self.reply(reply, Response::Ended(status));
            }
            if stays && matches!(event, Event::EventRaised { .. }) {
                if kept {
                    self.put_message(instance, event);
                }
                continue;
            }
            if let Some(seq) = seq {
                self.ops.push(Op::TakeMessage {
                    number: instance.number(),
                    seq,
                    event,
                });
            }
        }
    }

    /// Stores what has arrived for an instance that takes no turns, and says so to who sent it.
    /// Of what is not stored yet, so many. Says whether the instance is new.
    fn store_mail(&mut self, instance: &mut Instance<R>, first: usize) -> bool {
        if first == 0 {
            return false;
        }
        let mut new = false;
        let mut mailbox = std::mem::take(&mut instance.mailbox);
        let mut stored = 0;
        for mail in mailbox.unstored_mut().take(first) {
            stored += 1;
            self.size.events += 1;
            new |= matches!(mail.event, Event::Started(_));
            self.stored_instead(instance, &mail.event);
            mail.seq = Some(self.put_message(instance, mail.event.clone()));
            mail.kept = false;
            if let Some(letter) = mail.letter.take() {
                self.settle(letter);
            }
            if let Some(reply) = mail.reply.take() {
                self.effects.push(Effect::Reply(reply, Response::Done));
            }
        }
        mailbox.note_stored(stored);
        instance.mailbox = mailbox;
        new
    }

    pub(super) fn put_message(&mut self, instance: &mut Instance<R>, event: Event) -> u64 {
        self.size.bytes += event.bytes();
        let (number, seq) = (instance.number(), instance.next_seq);
        instance.next_seq += 1;
        self.ops.push(Op::PutMessage { number, seq, event });
        seq
    }

    /// A timer that has fired into a stored message must not fire again.
    fn stored_instead(&mut self, instance: &mut Instance<R>, event: &Event) {
        if let Event::TimerFired { call } = event
            && let Some(Pending::Timer { due }) = instance.outstanding.get(*call)
            && !instance.fired.contains(call)
        {
            self.remove_timer(timer_key(instance, *call, *due, TimerKind::Orchestrator));
            instance.fired.insert(*call);
        }
    }
}

impl<R> Taken<R> {
    /// What happens again now.
    fn repeats(&self, instance: &mut Instance<R>, fed: usize) -> Option<Event> {
        let now = self.rewound && fed == 1 && matches!(instance.body, Body::Live(_));
        let again = instance.again.take_if(|_| now);
        let next = instance.mailbox.first().map(|mail| &mail.event);
        // One that is to be terminated could end otherwise before that.
        again.filter(|_| !matches!(next, Some(Event::Terminated { .. })))
    }

    /// What was to happen again cannot: it stays in the history, and the rewind waits.
    fn undo_rewind(&mut self, instance: &mut Instance<R>) {
        for step in self.turn.steps.drain(..) {
            if let Event::Rewound { takes_back, .. } = step.event {
                instance.takes_back = takes_back;
            }
        }
        self.opened.clear();
        self.rewound = false;
        while let Some(rewound) = self.dealt_with.pop() {
            instance.mailbox.insert(0, rewound);
        }
    }

    fn follow(&mut self, instance: &mut Instance<R>, step: Step) {
        instance.note_event(&step.event);
        let closed = instance.outstanding.follow(&step, self.turn.time);
        if let Event::Rewound { .. } = step.event
            && !planted!(ForgetReopened)
        {
            self.rewound = true;
            let open = instance.outstanding.iter();
            self.opened
                .extend(open.map(|(call, pending)| (call, pending.clone())));
        }
        let answered = step.event.answers();
        let leaves_children = matches!(
            step.event,
            Event::Terminated {
                children: false,
                ..
            }
        );
        let mut begun = BTreeSet::new();
        for action in &step.actions {
            match action {
                Action::ScheduleActivity { call, .. }
                | Action::CreateTimer { call, .. }
                | Action::StartChild { call, .. } => {
                    begun.insert(*call);
                    if let Some(pending) = instance.outstanding.get(*call) {
                        self.opened.insert(*call, pending.clone());
                    }
                }
                Action::SetCustomStatus { status } => self.custom_status = Some(status.clone()),
                Action::AwaitEvent { .. }
                | Action::Cancel { .. }
                | Action::Patched { .. }
                | Action::Complete { .. }
                | Action::Fail { .. }
                | Action::SendEvent { .. }
                | Action::ContinueAsNew { .. } => {}
            }
        }
        // What was begun and ended within the turn never was.
        let older = |(call, _): &(CallId, Pending)| {
            self.opened.remove(call).is_none() && !begun.contains(call)
        };
        let closed = closed.into_iter().filter(older);
        self.closed.extend(closed.map(|(call, pending)| Closed {
            call,
            pending,
            given_up: answered != Some(call) && !leaves_children,
        }));
        self.turn.steps.push(step);
    }
}

/// What an orchestrator logs in a turn says whose it is.
fn span_of_turn<R>(instance: &Instance<R>) -> Span {
    let Identity {
        instance,
        execution,
        name,
        ..
    } = &*instance.identity;
    tracing::info_span!("orchestrator", %instance, %execution, name)
}

/// How the turn continues its execution as new, if it does: the last thing it does.
fn continuation_of(turn: &Turn) -> Option<Continuation> {
    let Action::ContinueAsNew {
        version,
        input,
        keep_events,
    } = turn.steps.last()?.actions.last()?
    else {
        return None;
    };
    Some(Continuation {
        version: version.clone().into_owned(),
        input: input.clone(),
        keep_events: *keep_events,
    })
}

fn not_taken(version: &str, worker: &Versioning) -> Problem {
    let shown = |version: &str| match version {
        "" => "no version".to_owned(),
        version => format!("version `{version}`"),
    };
    let message = format!(
        "the running worker is of {} and does not take {} ({:?})",
        shown(&worker.version),
        shown(version),
        worker.matching
    );
    let report = format!("{message}\nremedy: start a worker that takes it\n");
    Problem::new(ProblemKind::VersionMismatch, message, report)
}

pub(super) fn no_orchestrator(name: &str, version: &str, known: &str) -> Problem {
    let version = if version.is_empty() {
        String::new()
    } else {
        format!(" in version {version}")
    };
    let message =
        format!("the running worker has no orchestrator `{name}`{version}; it has {known}");
    let report =
        format!("{message}\nremedy: start a worker that registers it (`.register::<{name}>()`)\n");
    Problem::new(ProblemKind::OrchestratorNotRegistered, message, report)
}
