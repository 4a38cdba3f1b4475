//! What the engine builds while it takes turns: the next commit, and the effects that wait for it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::failure::FailureDetails;
use crate::history::Pending;
use crate::id::{CallId, InstanceNumber};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::{ForeignWake, Problem, ProblemKind};
use crate::retry::RetryPolicy;
use crate::store::{Attempts, Op, Report, TimerKey, TimerKind};
use crate::time::Timestamp;

use super::Config;
use super::commit::Size;
use super::instance::{Body, Instance};
use super::lifecycle::Listeners;
use super::message::{ActivityKey, Dispatch, Effect, Reported, Response, WorkerId};
use super::post::Post;
use super::suspects::Suspects;
use super::timers::Timers;
use super::waiters::Waiters;

/// Makes the waker that reports a foreign wake of an instance.
pub(crate) type OnForeignWake = Box<dyn Fn(InstanceNumber) -> ForeignWake + Send>;

/// Everything that taking a turn needs besides the instance.
pub(super) struct Work<R> {
    pub(super) config: Config,
    pub(super) hub: u64,
    /// Of those that are started without one.
    pub(super) default_version: String,
    /// The worker that runs, or ran last.
    pub(super) worker: WorkerId,
    pub(super) registry: Option<Arc<Registry>>,
    pub(super) draining: bool,
    pub(super) on_foreign_wake: OnForeignWake,
    pub(super) now: Timestamp,
    /// The number of the last sealed commit.
    pub(super) sealed: u64,
    pub(super) ops: Vec<Op>,
    pub(super) effects: Vec<Effect<R>>,
    /// Answers that show only what is durable.
    pub(super) known: Vec<(R, Response)>,
    /// What the commit that is being built has come to.
    pub(super) size: Size,
    pub(super) timers: Timers,
    /// The attempts that run here, by call.
    pub(super) running: BTreeMap<ActivityKey, u32>,
    pub(super) waiters: Waiters<R>,
    /// The instances that must be loaded after a restart; what the store has, ahead by the commits
    /// under way.
    pub(super) active: BTreeSet<InstanceNumber>,
    /// Letters between instances.
    pub(super) post: Post,
    pub(super) suspects: Suspects,
    pub(super) listeners: Listeners,
}

impl<R> Work<R> {
    /// The commit that is being built.
    pub(super) fn commit(&self) -> u64 {
        self.sealed + 1
    }

    pub(super) fn reply(&mut self, to: R, response: Response) {
        self.effects.push(Effect::Reply(to, response));
    }

    /// Brings what the store knows of the instance as a whole up to date: whether it is active,
    /// and its summary, if something in that `changed` or the instance now sleeps.
    pub(super) fn summarise(&mut self, instance: &mut Instance<R>, changed: bool) {
        let active = !instance.outstanding.ended()
            && (instance.outstanding.has_activities()
                || instance.header.problem.is_some()
                || (instance.mailbox.has_stored() && instance.header.begins_later().is_none()));
        let number = instance.number();
        self.announce_problem(instance);
        let changed_active = active != instance.active;
        if changed_active {
            instance.active = active;
            if active {
                self.active.insert(number)
            } else {
                self.active.remove(&number)
            };
            if !(active && planted!(ForgetActive)) {
                self.ops.push(Op::SetActive { number, active });
            }
        }
        let changed_header = changed
            || (!active && instance.header.turns != instance.turns && !planted!(StaleHeader));
        if changed_header {
            instance.header.turns = instance.turns;
            instance.header.fit();
            let replaces = instance.stored.replace(instance.header.size());
            self.ops.push(Op::PutHeader {
                header: Box::new(instance.header.clone()),
                replaces,
            });
        }
        if changed_active || changed_header {
            instance.last_commit = self.commit();
        }
        self.tell_watchers(instance);
    }

    /// Whoever watches the instance is told once this commit is durable, if there is news.
    fn tell_watchers(&mut self, instance: &Instance<R>) {
        let told = self
            .waiters
            .take_told(instance.number(), || instance.snapshot());
        let Some((snapshot, told)) = told.filter(|_| !planted!(MissNews)) else {
            return;
        };
        for reply in told {
            let response = Response::Status(Box::new(snapshot.clone()));
            if planted!(TellNewsEarly) {
                self.known.push((reply, response));
            } else {
                self.reply(reply, response);
            }
        }
    }

    /// Begins what a turn has asked for and not taken back.
    pub(super) fn open(&mut self, instance: &mut Instance<R>, opened: BTreeMap<CallId, Pending>) {
        for (call, pending) in opened {
            match pending {
                Pending::Activity { .. } => self.dispatch(instance, call),
                Pending::Child { .. } => self.start_child(instance, call),
                Pending::Timer { due } => {
                    self.put_timer(timer_key(instance, call, due, TimerKind::Orchestrator));
                }
            }
        }
    }

    /// Begins the next attempt at this call.
    pub(super) fn begin(&mut self, instance: &mut Instance<R>, call: CallId) {
        match instance.outstanding.get(call) {
            Some(Pending::Activity { .. }) => self.dispatch(instance, call),
            Some(Pending::Child { .. }) => self.start_child(instance, call),
            Some(Pending::Timer { .. }) | None => {}
        }
    }

    /// After a restart: begins the attempt at this call that was lost, or due meanwhile, and arms
    /// the timer of one that is to come.
    pub(super) fn resume(&mut self, instance: &mut Instance<R>, call: CallId) {
        match (instance.outstanding.get(call), instance.next_due(call)) {
            // It may have fired before, when nobody could run it, and the clock was set back.
            (Some(_), Some(due)) if due > self.now => {
                self.rearm(timer_key(instance, call, due, TimerKind::Retry));
            }
            // The letter with its start is kept until it was dealt with.
            (Some(Pending::Child { .. }), None) => {}
            (_, _) => self.begin(instance, call),
        }
    }

    /// Whether new attempts are begun.
    pub(super) fn takes_new(&self) -> bool {
        self.registry.is_some() && !self.draining
    }

    /// Whether a worker that has made an attempt is still the one that runs.
    pub(super) fn is_current(&self, worker: WorkerId) -> bool {
        if planted!(ForgetFence | TakeAnswerOfStoppedWorker) {
            return true;
        }
        worker == self.worker
    }

    /// Whether this attempt is the one that runs.
    pub(super) fn runs(&self, worker: WorkerId, key: &ActivityKey, attempt: u32) -> bool {
        worker == self.worker && self.running.get(key) == Some(&attempt)
    }

    /// Whether what an attempt reports is still of interest.
    pub(super) fn hears(&self, reported: &Reported) -> bool {
        let Reported {
            worker,
            key,
            attempt,
            progress: _,
        } = reported;
        self.runs(*worker, key, *attempt) || planted!(HearWhoWasStopped)
    }

    /// Has a timer fire that the store has.
    pub(super) fn rearm(&mut self, timer: TimerKey) {
        let commit = self.commit();
        self.timers.insert(timer, commit);
    }

    pub(super) fn put_timer(&mut self, timer: TimerKey) {
        self.rearm(timer);
        let is_start = timer.kind == TimerKind::Start;
        if planted!(ForgetTimer) && timer.call.0 % 2 == 1 {
            return;
        }
        if planted!(ForgetStart) && is_start {
            return;
        }
        self.ops.push(Op::PutTimer(timer));
    }

    pub(super) fn remove_timer(&mut self, timer: TimerKey) {
        self.timers.remove(&timer);
        if planted!(KeepTimer) {
            return;
        }
        self.ops.push(Op::RemoveTimer(timer));
    }

    /// Ends what an instance no longer waits for; a child only if it is `given_up`.
    pub(super) fn close(
        &mut self,
        instance: &mut Instance<R>,
        call: CallId,
        pending: &Pending,
        given_up: bool,
    ) {
        match pending {
            Pending::Child { id, .. } => {
                if given_up {
                    self.terminate_child(instance, call, id);
                }
                self.forget_attempts(instance, call);
            }
            // One that has fired into a stored message is not in the index any more.
            Pending::Timer { due } if !instance.fired.remove(&call) => {
                self.remove_timer(timer_key(instance, call, *due, TimerKind::Orchestrator));
            }
            Pending::Timer { .. } => {}
            Pending::Activity { .. } => {
                self.forget_attempts(instance, call);
                let key = instance.key_of(call);
                if self.running.remove(&key).is_some() {
                    self.effects.push(Effect::CancelActivity(key));
                }
                self.suspects.acquit(&key);
                self.reconsider_calls(instance);
            }
        }
    }

    /// With the last call that cannot be made the problem of it is gone. Says whether that changed
    /// anything.
    pub(super) fn reconsider_calls(&self, instance: &mut Instance<R>) -> bool {
        let problem = instance.header.problem.as_ref();
        let of_calls = matches!(
            problem.map(|(problem, _)| problem.kind()),
            Some(ProblemKind::ActivityNotRegistered | ProblemKind::PoisonedActivity)
        );
        if !of_calls || self.registry.is_none() {
            return false;
        }
        let hindrance = |(call, pending)| self.hindrance(instance, call, pending);
        let problem = instance.outstanding.iter().find_map(hindrance);
        set_problem(instance, problem, self.now)
    }

    /// What keeps a call from being made by the worker that runs.
    fn hindrance(
        &self,
        instance: &Instance<R>,
        call: CallId,
        pending: &Pending,
    ) -> Option<Problem> {
        let Pending::Activity { name, inline, .. } = pending else {
            return None;
        };
        let registry = self.registry.as_ref()?;
        if !inline && registry.find_activity(name).is_none() {
            return Some(no_activity(name));
        }
        let crashes = self.suspects.poison(&instance.key_of(call))?;
        Some(poisoned(instance, call, name, crashes))
    }

    fn forget_attempts(&mut self, instance: &mut Instance<R>, call: CallId) {
        if let Some(attempts) = instance.attempts.remove(&call) {
            if let Some(due) = attempts.due {
                self.remove_timer(timer_key(instance, call, due, TimerKind::Retry));
            }
            self.ops.push(Op::RemoveAttempts {
                number: instance.number(),
                execution: instance.header.execution,
                call,
                attempts,
            });
        }
    }

    /// Has the next attempt at a call run once this commit is durable; nothing, if one runs or no
    /// worker takes new ones.
    pub(super) fn dispatch(&mut self, instance: &mut Instance<R>, call: CallId) {
        let Some(pending) = instance.outstanding.get(call).filter(|_| self.takes_new()) else {
            return;
        };
        let Pending::Activity {
            name,
            input,
            options,
            inline,
            since,
        } = pending
        else {
            return;
        };
        // The code of an inline step is where the live orchestrator made the call.
        let step = match &instance.body {
            Body::Live(watched) if *inline => watched.inline(call),
            Body::Live(_) | Body::Fresh | Body::Parked | Body::Ended => None,
        };
        if let Some(problem) = self.hindrance(instance, call, pending) {
            set_problem(instance, Some(problem), self.now);
            return;
        }
        if *inline && step.is_none() {
            // It is made again when the instance is replayed.
            return;
        }
        let key = instance.key_of(call);
        let before = instance.attempts.get(&call);
        let attempt = before.map_or(0, |attempts| attempts.failed) + 1;
        let state = before
            .and_then(|attempts| attempts.state.clone())
            .filter(|_| !planted!(ForgetState));
        let progress = before
            .and_then(|attempts| Some(attempts.progress.as_ref()?.progress.clone()))
            .filter(|_| !planted!(ForgetProgress));
        if self.running.contains_key(&key) && !planted!(DispatchTwice) {
            return;
        }
        let begin = before.and_then(|attempts| attempts.due).unwrap_or(*since);
        if !self.suspects.may_begin(key, begin, self.now) {
            return;
        }
        self.running.insert(key, attempt);
        self.effects.push(Effect::Dispatch(Dispatch {
            worker: self.worker,
            key,
            instance: instance.header.id.clone(),
            name: name.clone(),
            input: input.clone(),
            attempt,
            state,
            progress,
            timeout: options.timeout,
            heartbeat: options.heartbeat.filter(|_| !planted!(ForgetHeartbeat)),
            step,
        }));
    }

    /// A failed attempt, and what follows it; a retry is noted and armed.
    pub(super) fn after_failure(
        &mut self,
        instance: &mut Instance<R>,
        call: CallId,
        failure: &FailureDetails,
    ) -> Next {
        let (policy, is_asked, since) = match instance.outstanding.get(call) {
            Some(Pending::Activity { options, since, .. }) => {
                (options.retry.as_ref(), options.retry_if, *since)
            }
            Some(Pending::Child { options, since, .. }) => {
                (options.retry.as_ref(), options.retry_if, *since)
            }
            Some(Pending::Timer { .. }) | None => return Next::Fails,
        };
        let before = instance.attempts.get(&call);
        let failed = before.map_or(0, |attempts| attempts.failed) + 1;
        let policy = policy.filter(|_| failure.is_retryable());
        let Some(due) =
            policy.and_then(|policy| self.retry_due(instance, call, policy, failed, since))
        else {
            return Next::Fails;
        };
        match &instance.body {
            Body::Live(watched) if !watched.retries(call, failure) && !planted!(AskNobody) => {
                return Next::Fails;
            }
            // Nobody is there to be asked. It is made again once somebody is.
            Body::Fresh | Body::Parked | Body::Ended if is_asked => return Next::IsLost,
            Body::Live(_) | Body::Fresh | Body::Parked | Body::Ended => {}
        }
        self.put_off(instance, call, due, |attempts| attempts.failed = failed);
        Next::IsRetried
    }

    fn retry_due(
        &self,
        instance: &Instance<R>,
        call: CallId,
        policy: &RetryPolicy,
        failed: u32,
        since: Timestamp,
    ) -> Option<Timestamp> {
        let InstanceNumber(number) = instance.number();
        let execution = instance.header.execution;
        let seed = format!("{:x}\0{number}\0{execution}\0{call}\0{failed}", self.hub);
        let one_more = u32::from(planted!(OneAttemptMore) && failed > 1);
        let since = if planted!(RetryTooLate) {
            self.now
        } else {
            since
        };
        let due = policy.due_after(failed - one_more, since, self.now, &seed)?;
        if planted!(RetryEarly) {
            return Some(Timestamp(self.now.0 + (due.0 - self.now.0) / 2));
        }
        Some(due)
    }

    /// An attempt that wants to be made once more: that is no failure.
    pub(super) fn ask_again(
        &mut self,
        instance: &mut Instance<R>,
        call: CallId,
        after: Duration,
        state: Payload,
    ) {
        let due = self.now.deadline_after(after);
        self.put_off(instance, call, due, |attempts| attempts.state = Some(state));
    }

    /// What an attempt that runs says of how far it has come.
    pub(super) fn reported(&mut self, instance: &mut Instance<R>, reported: Reported, reply: R) {
        // Another worker may have begun while the instance was being loaded.
        if !self.hears(&reported) {
            return self.reply(reply, Response::NotFound);
        }
        let Reported {
            worker: _,
            key,
            attempt,
            progress,
        } = reported;
        self.note_progress(instance, key.call, attempt, progress);
        self.reply(reply, Response::Done);
    }

    pub(super) fn note_progress(
        &mut self,
        instance: &mut Instance<R>,
        call: CallId,
        attempt: u32,
        progress: Payload,
    ) {
        let Some(Pending::Activity { name, since, .. }) = instance.outstanding.get(call) else {
            return;
        };
        let activity = name.clone().into_owned();
        // The clock may have been set back.
        let now = if planted!(ReportBeforeCall) {
            self.now
        } else {
            self.now.max(*since)
        };
        self.note_attempts(instance, call, |attempts| {
            let before = attempts.progress.as_ref().map(|report| report.at);
            attempts.progress = Some(Report {
                activity,
                attempt,
                at: before.map_or(now, |before| before.max(now)),
                progress,
            });
        });
        self.tell_watchers(instance);
    }

    /// When the next attempt at a call begins, and what else is known of them from now on.
    fn put_off(
        &mut self,
        instance: &mut Instance<R>,
        call: CallId,
        due: Timestamp,
        change: impl FnOnce(&mut Attempts),
    ) {
        if let Some(before) = instance.next_due(call) {
            self.remove_timer(timer_key(instance, call, before, TimerKind::Retry));
        }
        self.note_attempts(instance, call, |attempts| {
            attempts.due = Some(due);
            change(attempts);
        });
        if !planted!(ForgetAttempts) {
            self.put_timer(timer_key(instance, call, due, TimerKind::Retry));
        }
    }

    /// What is known of a call's attempts from now on.
    fn note_attempts(
        &mut self,
        instance: &mut Instance<R>,
        call: CallId,
        change: impl FnOnce(&mut Attempts),
    ) {
        let (number, execution) = (instance.number(), instance.header.execution);
        instance.last_commit = self.commit();
        let noted = instance.attempts.entry(call);
        let before = match &noted {
            Entry::Occupied(before) => Some(before.get().clone()),
            Entry::Vacant(_) => None,
        };
        let noted = noted.or_default();
        change(noted);
        let attempts = noted.clone();
        if let Some(attempts) = before {
            self.ops.push(Op::RemoveAttempts {
                number,
                execution,
                call,
                attempts,
            });
        }
        if planted!(ForgetAttempts) {
            return;
        }
        self.size.bytes += attempts.bytes();
        self.ops.push(Op::PutAttempts {
            number,
            execution,
            call,
            attempts,
        });
    }
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    IsRetried,
    /// The failure is the call's.
    Fails,
    /// It is as if it had not been made.
    IsLost,
}

/// The timer's entry in the index.
pub(super) fn timer_key<R>(
    instance: &Instance<R>,
    call: CallId,
    due: Timestamp,
    kind: TimerKind,
) -> TimerKey {
    let (number, execution) = (instance.header.number, instance.header.execution);
    TimerKey {
        due,
        number,
        execution,
        call,
        kind,
    }
}

fn poisoned<R>(instance: &Instance<R>, call: CallId, activity: &str, crashes: u32) -> Problem {
    let message = format!(
        "activity `{activity}` (call {call}) is not begun any more: the process died {crashes} times while it ran"
    );
    let id = &instance.header.id;
    let report = format!(
        "{message}, each time as the only one that was suspected\n\
         likely cause: it aborts, overflows the stack, takes more memory than there is, or runs when something else has the process killed\n\
         remedy: mend the activity, or what it is given, then `client.retry(\"{id}\")`; whatever else the instance does goes on\n"
    );
    Problem::new(ProblemKind::PoisonedActivity, message, report)
}

fn no_activity(activity: &str) -> Problem {
    let message = format!("no running worker has the activity `{activity}`");
    let report = format!(
        "{message}\nremedy: start a worker that registers it (`.register::<{activity}>()`); the call stays scheduled until then\n"
    );
    Problem::new(ProblemKind::ActivityNotRegistered, message, report)
}

/// A problem that was cleared and has come back was there all the time.
pub(super) fn keep_since<R>(instance: &mut Instance<R>, before: Option<&(Problem, Timestamp)>) {
    if let (Some((old, since)), Some((new, at))) = (before, &mut instance.header.problem)
        && old == new
    {
        *at = *since;
    }
}

/// Notes or clears the problem of an instance. Says whether that changed anything.
pub(super) fn set_problem<R>(
    instance: &mut Instance<R>,
    problem: Option<Problem>,
    now: Timestamp,
) -> bool {
    let problem = problem.map(Problem::shortened);
    let same = instance.header.problem.as_ref().map(|(problem, _)| problem) == problem.as_ref();
    if !same {
        if let Some(problem) = &problem {
            tracing::warn!(
                instance = %instance.header.id,
                report = problem.report(),
                "instance does not go on: {problem}"
            );
        }
        instance.header.problem = problem.map(|problem| (problem, now));
    }
    !same
}
