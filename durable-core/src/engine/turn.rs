//! Taking a turn: what has arrived for an instance is fed to its orchestrator, and what the
//! orchestrator asks for becomes part of the next commit.

use std::collections::{BTreeMap, BTreeSet};

use tracing::Span;

use crate::failure::{FailureDetails, FailureKind};
use crate::history::{Action, Event, Pending, Step, Turn, encode_turn};
use crate::id::CallId;
use crate::payload::Payload;
use crate::replay::{Fed, Identity, Matching, Problem, ProblemKind, Watched};
use crate::store::{Op, RuntimeStatus, TimerKind};
use crate::time::Timestamp;

use super::instance::{Body, Instance};
use super::mailbox::Mail;
use super::message::{Effect, Response};
use super::work::{Work, keep_since, set_problem, timer_key};
use super::{MAX_CUSTOM_STATUS, MAX_STEP};

/// What a turn adds up to.
struct Taken<R> {
    turn: Turn,
    /// Begun in it and still wanted at its end.
    opened: BTreeMap<CallId, Pending>,
    /// Begun before it and ended by it.
    closed: Vec<(CallId, Pending)>,
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
        if matches!(instance.body, Body::Ended) {
            self.refuse_rest(instance);
            return;
        }
        if matches!(instance.body, Body::Fresh) && !terminated {
            self.bring_to_life(instance);
        }
        let mut changed = false;
        if terminated || matches!(instance.body, Body::Live(_)) {
            changed = self.feed_all(instance);
        }
        if matches!(instance.body, Body::Ended) {
            self.refuse_rest(instance);
        } else if matches!(instance.body, Body::Parked) {
            changed |= self.store_mail(instance);
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
        let body = match self.make_watched(instance) {
            Ok(Some(watched)) => Body::Live(Box::new(watched)),
            Ok(None) => Body::Parked,
            Err(problem) => {
                set_problem(instance, Some(problem), self.now);
                Body::Parked
            }
        };
        instance.body = body;
    }

    /// The orchestrator of an instance, before its first event; `None` without a worker.
    fn make_watched(&self, instance: &Instance<R>) -> Result<Option<Watched>, Problem> {
        let Some(registry) = &self.registry else {
            return Ok(None);
        };
        let identity = &instance.identity;
        let Some(run) = registry.find_orchestrator(&identity.name, &identity.version) else {
            return Err(no_orchestrator(
                &identity.name,
                &identity.version,
                &registry.orchestrator_names(),
            ));
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
    pub(super) fn revive(&mut self, instance: &mut Instance<R>, turns: &[Turn]) {
        if turns.is_empty() {
            instance.body = Body::Fresh;
            set_problem(instance, None, self.now);
            return;
        }
        let revived = self.make_watched(instance).and_then(|watched| {
            let Some(mut watched) = watched else { return Ok(None) };
            for turn in turns {
                let drifted = watched.replay(turn, Matching::Tolerant)?;
                if drifted > 0 {
                    tracing::info!(instance = %instance.header.id, drifted, "inputs differ from history in added or removed keys");
                }
            }
            Ok(Some(watched))
        });
        let (body, problem) = match revived {
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
            closed,
            dealt_with,
            custom_status,
            problem,
        } = taken;
        let mut changed = custom_status.is_some();
        for (call, pending) in &closed {
            if planted!(LeaveWhatEndsWithIt) && instance.outstanding.ended() {
                break;
            }
            self.close(instance, *call, pending);
        }
        if !turn.steps.is_empty() {
            changed |= self.append(instance, turn);
        }
        self.open(instance, opened);
        if custom_status.is_some() {
            instance.header.custom_status = custom_status;
        }
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
            if full && !noted {
                break;
            }
            let Some(mail) = instance.mailbox.pop() else {
                break;
            };
            self.size.events += 1;
            match self.feed(instance, &mail.event) {
                Ok(Some(step)) => {
                    let actions: usize = step.actions.iter().map(Action::bytes).sum();
                    bytes += step.event.bytes() + actions;
                    taken.follow(instance, step);
                }
                Ok(None) => {}
                Err(problem) => {
                    instance.mailbox.insert(0, mail);
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

    /// The clock, unless it was set back: since the last turn, since the start, or since a timer
    /// fired whose instance could take no turn then.
    fn time_of_turn(&self, instance: &Instance<R>) -> Timestamp {
        let fired = |mail: &Mail<R>| match &mail.event {
            Event::TimerFired { call } => match instance.outstanding.get(*call) {
                Some(Pending::Timer { due }) => Some(*due),
                Some(Pending::Activity { .. }) | None => None,
            },
            Event::Started(_)
            | Event::ActivityCompleted { .. }
            | Event::ActivityFailed { .. }
            | Event::EventRaised { .. }
            | Event::Terminated { .. } => None,
        };
        let first = instance.mailbox.iter().take(self.config.events_per_turn);
        let due = first.filter_map(fired).max();
        if planted!(TimeGoesBack) {
            return self.now;
        }
        self.now
            .max(instance.header.updated)
            .max(due.unwrap_or_default())
    }

    /// One event. `None` if it concerned nobody.
    fn feed(&self, instance: &mut Instance<R>, event: &Event) -> Result<Option<Step>, Problem> {
        let event = event.clone();
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
        let Fed { changed, actions } = watched.feed(&event)?;
        if !changed {
            return Ok(None);
        }
        let actions = actions.into_iter().map(|emitted| emitted.action).collect();
        Ok(Some(Step {
            event,
            actions: self.within_limits(actions),
        }))
    }

    /// A step that carries more than may be stored fails the execution instead.
    fn within_limits(&self, actions: Vec<Action>) -> Vec<Action> {
        let too_large = actions.iter().find_map(|action| {
            let len = action.payload()?.len();
            let max_payload = self.config.max_payload;
            let (what, limit) = match action {
                Action::SetCustomStatus { .. } => ("custom status".to_owned(), MAX_CUSTOM_STATUS),
                Action::ScheduleActivity { name, .. } => {
                    (format!("input of activity `{name}`"), max_payload)
                }
                Action::Complete { .. } => ("output".to_owned(), max_payload),
                Action::Fail { .. } => ("error".to_owned(), max_payload),
                Action::CreateTimer { .. } | Action::AwaitEvent { .. } | Action::Cancel { .. } => {
                    return None;
                }
            };
            (len > limit).then(|| format!("the {what} of {len} bytes is over the limit of {limit}"))
        });
        let step: usize = actions.iter().map(Action::bytes).sum();
        let too_large = too_large.or_else(|| {
            (step > MAX_STEP).then(|| {
                format!("a step that asks for {step} bytes is over the limit of {MAX_STEP}")
            })
        });
        match too_large {
            Some(message) => {
                let failure =
                    FailureDetails::new(FailureKind::PayloadTooLarge, "durable_core", message);
                vec![Action::Fail {
                    failure: failure.not_retryable(),
                }]
            }
            None => actions,
        }
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
        }
        first
    }

    fn answer(&mut self, instance: &Instance<R>, mails: Vec<Mail<R>>) {
        for Mail { event, seq, reply } in mails {
            if let Some(reply) = reply {
                self.reply(reply, Response::Done);
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
        instance.body = Body::Ended;
        let status = match &instance.result {
            Some(Err(failure)) if failure.kind() == FailureKind::Terminated => {
                RuntimeStatus::Terminated
            }
            Some(Err(_)) => RuntimeStatus::Failed,
            Some(Ok(_)) | None => RuntimeStatus::Completed,
        };
        instance.header.status = status;
        instance.header.problem = None;
        instance.header.turns = instance.turns;
        let waiters = self.waiters.take(instance.number());
        for waiter in waiters {
            let snapshot = Box::new(instance.snapshot());
            self.effects
                .push(Effect::Reply(waiter, Response::Status(snapshot)));
        }
    }

    /// What arrives for an instance that has ended is not taken.
    fn refuse_rest(&mut self, instance: &mut Instance<R>) {
        let status = instance.header.status;
        // What is stored goes with the end, in one commit: nobody loads the instance again.
        for refused in 0.. {
            if refused >= self.config.events_per_turn && !instance.mailbox.has_stored() {
                break;
            }
            let Some(Mail { event, seq, reply }) = instance.mailbox.pop() else {
                break;
            };
            self.size.events += 1;
            if let Some(reply) = reply {
                self.reply(reply, Response::Ended(status));
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
    /// Says whether the instance is new.
    fn store_mail(&mut self, instance: &mut Instance<R>) -> bool {
        let number = instance.number();
        let mut new = false;
        let mut mailbox = std::mem::take(&mut instance.mailbox);
        let mut stored = 0;
        for mail in mailbox.unstored_mut().take(self.config.events_per_turn) {
            stored += 1;
            self.size.events += 1;
            new |= matches!(mail.event, Event::Started(_));
            self.stored_instead(instance, &mail.event);
            self.size.bytes += mail.event.bytes();
            let seq = instance.next_seq;
            instance.next_seq += 1;
            mail.seq = Some(seq);
            self.ops.push(Op::PutMessage {
                number,
                seq,
                event: mail.event.clone(),
            });
            if let Some(reply) = mail.reply.take() {
                self.effects.push(Effect::Reply(reply, Response::Done));
            }
        }
        mailbox.note_stored(stored);
        instance.mailbox = mailbox;
        new
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
    fn follow(&mut self, instance: &mut Instance<R>, step: Step) {
        let closed = instance.outstanding.follow(&step);
        let mut begun = BTreeSet::new();
        for action in &step.actions {
            match action {
                Action::ScheduleActivity { call, .. } | Action::CreateTimer { call, .. } => {
                    begun.insert(*call);
                    if let Some(pending) = instance.outstanding.get(*call) {
                        self.opened.insert(*call, pending.clone());
                    }
                }
                Action::SetCustomStatus { status } => self.custom_status = Some(status.clone()),
                Action::AwaitEvent { .. }
                | Action::Cancel { .. }
                | Action::Complete { .. }
                | Action::Fail { .. } => {}
            }
        }
        // What was begun and ended within the turn never was.
        let older = |(call, _): &(CallId, Pending)| {
            self.opened.remove(call).is_none() && !begun.contains(call)
        };
        self.closed.extend(closed.into_iter().filter(older));
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

fn no_orchestrator(name: &str, version: &str, known: &str) -> Problem {
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
