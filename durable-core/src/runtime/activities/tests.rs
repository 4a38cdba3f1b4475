//! The runner beside a model of it, in virtual time: random activities under random limits. What the
//! simulator has no part of, since there the world answers for activities.

use std::sync::mpsc::{Receiver, channel};

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::*;
use crate::activity::{Activity, ActivityFuture, Requirements};
use crate::engine::Response;
use crate::failure::NoError;
use crate::id::CallId;
use crate::runtime::waiting::tests::dispatch;

/// What an activity does, one thing after the other. Pauses are multiples of 10 ms and limits are
/// not, so that it is never open which is first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Step {
    Pause(u64),
    Beat,
    Report(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum End {
    Done,
    Fails,
    Panics,
    /// Only a limit ends it.
    Hangs,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Script {
    call: u32,
    steps: Vec<Step>,
    end: End,
}

/// What is to come of an attempt.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    result: Result<(), FailureKind>,
    /// After so many milliseconds.
    at: u64,
    /// Its last report.
    progress: Option<u64>,
}

impl Script {
    fn random(rng: &mut Rng, call: u32, has_limit: bool) -> Self {
        let mut reports = 0;
        let steps = (0..rng.usize(0..12)).map(|_| match rng.u8(0..4) {
            0 => Step::Beat,
            1 => {
                reports += 1;
                Step::Report(reports)
            }
            _ => Step::Pause(10 * rng.u64(0..40)),
        });
        let steps = steps.collect();
        let end = match rng.u8(0..6) {
            0 => End::Fails,
            1 => End::Panics,
            2 if has_limit => End::Hangs,
            _ => End::Done,
        };
        Self { call, steps, end }
    }

    fn outcome(&self, timeout: Option<u64>, heartbeat: Option<u64>) -> Outcome {
        let (mut now, mut beat, mut progress) = (0, 0, None);
        let limit = |beat: u64| {
            let silent = heartbeat.map(|limit| beat + limit);
            timeout.into_iter().chain(silent).min()
        };
        let timed_out = |at, progress| Outcome {
            result: Err(FailureKind::Timeout),
            at,
            progress,
        };
        for step in &self.steps {
            match *step {
                Step::Pause(ms) => match limit(beat) {
                    Some(at) if at < now + ms => return timed_out(at, progress),
                    Some(_) | None => now += ms,
                },
                Step::Beat => beat = now,
                Step::Report(n) => (beat, progress) = (now, Some(n)),
            }
        }
        let result = match (self.end, limit(beat)) {
            (End::Done, _) => Ok(()),
            (End::Fails, _) => Err(FailureKind::Application),
            (End::Panics, _) => Err(FailureKind::Panic),
            (End::Hangs, Some(at)) => return timed_out(at, progress),
            (End::Hangs, None) => unreachable!("what hangs has a limit"),
        };
        Outcome {
            result,
            at: now,
            progress,
        }
    }
}

/// When attempts began and ended, by call.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Times>>);

type Times = BTreeMap<u32, (Instant, Option<Instant>)>;

impl Log {
    fn all(&self) -> Times {
        self.0.lock().expect("no panic").clone()
    }

    fn begin(&self, call: u32) -> OnEnd {
        let before = self
            .0
            .lock()
            .expect("no panic")
            .insert(call, (Instant::now(), None));
        assert!(before.is_none(), "call {call} runs twice");
        OnEnd(self.clone(), call)
    }
}

/// Notes the end, however it comes.
struct OnEnd(Log, u32);

impl Drop for OnEnd {
    fn drop(&mut self) {
        let mut all = self.0.0.lock().expect("no panic");
        all.entry(self.1)
            .and_modify(|times| times.1 = Some(Instant::now()));
    }
}

const NAMES: [&str; 3] = ["first", "second", "without a limit"];

struct Acts<const N: usize>;

impl<const N: usize> Activity for Acts<N> {
    type Input = Script;
    type Output = ();
    type Error = NoError;
    const NAME: &'static str = NAMES[N];

    fn require(_: &mut Requirements) {}

    fn run(ctx: ActivityContext, input: Payload) -> ActivityFuture {
        Box::pin(async move {
            let script: Script = input.decode().expect("a script");
            let log: Log = ctx.states().get().expect("the log");
            let _on_end = log.begin(script.call);
            for step in script.steps {
                match step {
                    Step::Pause(ms) => sleep(Duration::from_millis(ms)).await,
                    Step::Beat => ctx.heartbeat(),
                    Step::Report(n) => ctx.progress().report(&n).expect("a number"),
                }
            }
            match script.end {
                End::Done => Ok(Attempted::Done(Payload::NULL)),
                End::Fails => Err(FailureDetails::new(FailureKind::Application, "x", "x")),
                End::Panics => panic!("as it is told"),
                End::Hangs => std::future::pending().await,
            }
        })
    }
}

/// One call, and what was heard of it.
#[derive(Debug)]
struct Call {
    activity: usize,
    script: Script,
    timeout: Option<u64>,
    heartbeat: Option<u64>,
    cancelled: bool,
    /// Its report that was not answered, and when the last one was.
    under_way: Option<Reply>,
    answered: Option<Instant>,
    heard: Option<u64>,
    ended: Option<Outcome>,
    /// Its answer, until that is taken in.
    permit: Option<Permit>,
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Permit")
    }
}

struct World {
    rng: Rng,
    jobs: UnboundedSender<Vec<ToWorker>>,
    inbox: Receiver<ToEngine>,
    log: Log,
    calls: Vec<Call>,
    limits: [usize; 2],
    slots: usize,
}

impl World {
    /// With a runner that takes its jobs.
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (limits, slots) = ([rng.usize(1..4), rng.usize(1..4)], rng.usize(1..8));
        let mut registry = Registry::default();
        registry.activity::<Acts<0>>();
        registry.activity::<Acts<1>>();
        registry.activity::<Acts<2>>();
        let (sender, inbox) = channel();
        let (jobs, to_run) = mpsc::unbounded_channel();
        let log = Log::default();
        let runner = Runner {
            id: 1,
            registry: Arc::new(registry),
            states: States::default().with(log.clone()),
            hub: 0,
            inbox: Inbox::Threads(sender),
            slots: Arc::new(Semaphore::new(slots)),
            limits: BTreeMap::from([(NAMES[0], limits[0]), (NAMES[1], limits[1])]),
            freed: Arc::new(Notify::new()),
            max_payload: 1_000,
            tokens: Mutex::new(BTreeMap::new()),
            tracker: TaskTracker::new(),
            draining: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        tokio::spawn(Arc::new(runner).run(to_run));
        Self {
            rng,
            jobs,
            inbox,
            log,
            calls: Vec::new(),
            limits,
            slots,
        }
    }

    fn schedule(&mut self) {
        let rng = &mut self.rng;
        let mut limit = |often| (rng.u8(0..often) == 0).then(|| 10 * rng.u64(1..120) + 5);
        let (timeout, heartbeat) = (limit(4), limit(3));
        let call = u32::try_from(self.calls.len()).expect("few");
        let has_limit = timeout.or(heartbeat).is_some();
        let script = Script::random(rng, call, has_limit);
        let activity = rng.usize(0..3);
        let run = Dispatch {
            name: NAMES[activity].into(),
            input: Payload::encode(&script).expect("JSON"),
            timeout: timeout.map(Duration::from_millis),
            heartbeat: heartbeat.map(Duration::from_millis),
            ..dispatch(u64::from(call % 3), call)
        };
        self.jobs.send(vec![ToWorker::Run(run)]).expect("a runner");
        self.calls.push(Call {
            activity,
            script,
            timeout,
            heartbeat,
            cancelled: false,
            under_way: None,
            answered: None,
            heard: None,
            ended: None,
            permit: None,
        });
    }

    /// Gives up one that waits: one that runs would run on, since these do not listen.
    fn cancel(&mut self) {
        let begun = self.log.all();
        let waits = |(n, call): &(u32, &mut Call)| !begun.contains_key(n) && !call.cancelled;
        let mut waiting: Vec<_> = (0..).zip(&mut self.calls).filter(waits).collect();
        if waiting.is_empty() {
            return;
        }
        let place = self.rng.usize(0..waiting.len());
        let (n, call) = &mut waiting[place];
        call.cancelled = true;
        let key = dispatch(u64::from(*n % 3), *n).key;
        self.jobs
            .send(vec![ToWorker::Cancel(key)])
            .expect("a runner");
    }

    fn hear(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                ToEngine::Input(Input::Reported(reported, reply)) => {
                    self.reported(&reported, reply);
                }
                ToEngine::Bounded(
                    Input::AttemptEnded {
                        key,
                        result,
                        progress,
                        ..
                    },
                    permit,
                ) => self.ended(key, result, progress, permit),
                _ => panic!("a runner says nothing else"),
            }
        }
    }

    fn reported(&mut self, reported: &Reported, reply: Reply) {
        let CallId(n) = reported.key.call;
        let call = &mut self.calls[n as usize];
        let progress: u64 = reported.progress.decode().expect("a number");
        assert!(call.ended.is_none(), "{n}: a report after the end");
        assert!(call.under_way.is_none(), "{n}: two reports under way");
        assert!(
            call.heard < Some(progress),
            "{n}: the same report, or an older one"
        );
        let since = call.answered.map(|answered| answered.elapsed());
        let early = since.is_some_and(|since| since + Duration::from_millis(2) < REPORT_EVERY);
        assert!(!early, "{n}: a report after {since:?}");
        call.heard = Some(progress);
        call.under_way = Some(reply);
    }

    fn ended(
        &mut self,
        key: ActivityKey,
        result: Result<Attempted, FailureDetails>,
        progress: Option<Payload>,
        permit: Permit,
    ) {
        let CallId(n) = key.call;
        let times = self.log.all()[&n];
        let call = &mut self.calls[n as usize];
        let left = progress.map(|progress| progress.decode().expect("a number"));
        assert!(left.is_none() || left > call.heard, "{n}: told twice");
        let took = times.1.expect("it has ended").duration_since(times.0);
        let outcome = Outcome {
            result: result.map(|_| ()).map_err(|failure| failure.kind()),
            at: u64::try_from(took.as_millis()).expect("short"),
            progress: left.or(call.heard),
        };
        let expected = call.script.outcome(call.timeout, call.heartbeat);
        assert_eq!(outcome, expected, "{n}: {call:?}");
        assert!(call.ended.replace(outcome).is_none(), "{n}: two ends");
        call.permit = Some(permit);
    }

    /// The engine takes in what it was sent, and stores it, when it comes to it.
    fn take_in(&mut self) {
        for call in &mut self.calls {
            if self.rng.u8(0..20) == 0
                && let Some(reply) = call.under_way.take()
            {
                call.answered = Some(Instant::now());
                reply.send(Response::Done);
            }
            if self.rng.u8(0..20) == 0 {
                call.permit = None;
            }
        }
    }

    /// No more run than may, and what may run does.
    fn check_limits(&self) {
        let begun = self.log.all();
        let (mut waiting, mut occupied) = ([0; 3], [0; 3]);
        for (n, call) in (0..).zip(&self.calls) {
            let runs = call.ended.is_none() && begun.contains_key(&n);
            occupied[call.activity] += usize::from(runs || call.permit.is_some());
            waiting[call.activity] += usize::from(!begun.contains_key(&n) && !call.cancelled);
        }
        let all: usize = occupied.iter().sum();
        assert!(all <= self.slots, "{occupied:?} of {}", self.slots);
        let limits = [self.limits[0], self.limits[1], usize::MAX];
        for activity in 0..3 {
            let full = occupied[activity] == limits[activity] || all == self.slots;
            assert!(
                occupied[activity] <= limits[activity],
                "{occupied:?} of {limits:?}"
            );
            assert!(
                waiting[activity] == 0 || full,
                "{waiting:?} wait, {occupied:?} run"
            );
        }
    }

    fn is_over(&self) -> bool {
        let mut calls = self.calls.iter();
        calls.all(|call| call.cancelled || (call.ended.is_some() && call.permit.is_none()))
    }
}

async fn run(seed: u64) {
    let mut world = World::new(seed);
    let all = world.rng.usize(1..40);
    while world.calls.len() < all || !world.is_over() {
        if world.calls.len() < all && world.rng.u8(0..30) == 0 {
            world.schedule();
        }
        if world.rng.u8(0..200) == 0 {
            world.cancel();
        }
        world.take_in();
        // Everything else runs until it waits.
        sleep(Duration::from_millis(1)).await;
        world.hear();
        world.check_limits();
    }
}

#[test]
fn limits_heartbeats_and_reports_are_as_the_model_says() {
    for seed in 0..40 {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(run(seed));
    }
}
