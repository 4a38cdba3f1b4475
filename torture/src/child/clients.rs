//! The clients: each instance is started, sent events, read, terminated and waited for, all at
//! once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use durable_core::{
    CancellationToken, Client, HubError, InstanceError, OrchestrationStatus, Orchestrator,
    PurgeError, StartError,
};
use futures_util::future::join_all;
use tokio::task::JoinSet;

use super::programs::{chain, decide, endless, fan, ledger, retry};
use super::report::{mishap, report};
use super::{Brief, pause};
use crate::line::{End, Line, View};
use crate::plan::{Output, Plan, Plans, Program, Task, id, rng};

/// The names of events, as clients write them: their case does not matter.
const NAMES: [&str; 2] = ["first", "SECOND"];

/// Everything a client needs.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) client: Client,
    pub(super) plans: Plans,
    pub(super) round: u64,
    pub(super) asks: AtomicU64,
    /// The number of the next new instance.
    pub(super) next: AtomicU64,
}

impl Clients {
    /// Takes up what there is, starts what is new, and waits until all of it has ended.
    pub(super) async fn drive_all(self: &Arc<Self>, brief: &Brief) {
        let mut lanes = JoinSet::new();
        for n in brief.open.iter().copied() {
            let clients = Arc::clone(self);
            // Now and then somebody starts again what is there.
            let again = rng(&[self.round, n]).u8(0..8) == 0;
            lanes.spawn(async move { clients.drive(n, again).await });
        }
        for n in brief.unsure.iter().copied() {
            let clients = Arc::clone(self);
            lanes.spawn(async move { clients.drive(n, true).await });
        }
        for n in brief.ended.iter().copied() {
            let clients = Arc::clone(self);
            lanes.spawn(async move { clients.purge(n).await });
        }
        let (clients, gone) = (Arc::clone(self), brief.gone.clone());
        lanes.spawn(async move {
            for n in gone {
                clients.look(n).await;
            }
        });
        self.start_new(brief, &mut lanes).await;
        while let Some(lane) = lanes.join_next().await {
            if let Err(error) = lane {
                mishap(format!("a client panicked: {error}"));
            }
        }
    }

    /// Starts what is new, at a pace or as fast as what was started before has ended.
    async fn start_new(self: &Arc<Self>, brief: &Brief, lanes: &mut JoinSet<()>) {
        let end = brief.first + brief.starts;
        if let Some(pace) = brief.pace {
            for n in brief.first..end {
                tokio::time::sleep(pace).await;
                let clients = Arc::clone(self);
                lanes.spawn(async move { clients.drive(n, true).await });
            }
            return;
        }
        for _ in 0..brief.at_once {
            let clients = Arc::clone(self);
            lanes.spawn(async move {
                loop {
                    let n = clients.next.fetch_add(1, Ordering::Relaxed);
                    if n >= end {
                        break;
                    }
                    clients.drive(n, true).await;
                }
            });
        }
    }

    async fn drive(&self, n: u64, start: bool) {
        let plan = self.plans.of(n);
        if start {
            self.start(n, &plan).await;
        }
        let ended = CancellationToken::new();
        let wait = async {
            let has_ended = self.wait(n).await;
            ended.cancel();
            has_ended
        };
        let raise = async |name: usize| {
            if name < plan.event_names() {
                self.raise(n, name, &plan, &ended).await;
            }
        };
        let (has_ended, ..) = tokio::join!(
            wait,
            raise(0),
            raise(1),
            self.read(n, &ended),
            self.terminate(n, &plan)
        );
        if has_ended && plan.purge {
            self.purge(n).await;
        }
    }

    async fn start(&self, n: u64, plan: &Plan) {
        report(&Line::Starting { n });
        let task = plan.task.clone();
        let started = match plan.program {
            Program::Chain => self.start_as::<chain>(task).await,
            Program::Fan => self.start_as::<fan>(task).await,
            Program::Decide => self.start_as::<decide>(task).await,
            Program::Ledger => self.start_as::<ledger>(task).await,
            Program::Retry => self.start_as::<retry>(task).await,
            Program::Endless => self.start_as::<endless>(task).await,
        };
        match started {
            Ok(()) => report(&Line::Started { n }),
            Err(StartError::AlreadyExists { .. }) => report(&Line::Existed { n }),
            Err(error) => mishap(format!("start of {n}: {error}")),
        }
    }

    async fn start_as<O: Orchestrator<Input = Task>>(&self, task: Task) -> Result<(), StartError> {
        let id = id(task.n);
        let start = self.client.start_orchestration::<O>(task).id(id);
        start.await.map(drop)
    }

    /// Raises events until the instance has ended, now and then some right after one another. None
    /// is ever raised again.
    async fn raise(&self, n: u64, name: usize, plan: &Plan, ended: &CancellationToken) {
        let mut rng = rng(&[self.round, n, name as u64]);
        let mut number = self.round * 1_000_000;
        let mut wanted = true;
        while wanted {
            pause(&mut rng, plan.event_pause).await;
            if ended.is_cancelled() {
                break;
            }
            let numbers = number..number + rng.u64(1..4);
            number = numbers.end;
            for number in numbers.clone() {
                report(&Line::Raising { n, name, number });
            }
            // Sent in this order, because polled in this order.
            let all = join_all(numbers.map(|number| self.raise_one(n, name, number))).await;
            wanted = all.into_iter().all(|accepted| accepted);
        }
    }

    /// Says whether the event was accepted.
    async fn raise_one(&self, n: u64, name: usize, number: u64) -> bool {
        match self.client.raise_event(id(n), NAMES[name], &number).await {
            Ok(()) => {
                report(&Line::Raised { n, name, number });
                return true;
            }
            Err(InstanceError::Ended { .. }) => report(&Line::Refused { n, name, number }),
            Err(error) => mishap(format!("event for {n}: {error}")),
        }
        false
    }

    async fn read(&self, n: u64, ended: &CancellationToken) {
        let mut rng = rng(&[n, self.round]);
        for _ in 0..rng.u8(0..4) {
            pause(&mut rng, Duration::from_millis(15)).await;
            if ended.is_cancelled() {
                break;
            }
            self.look(n).await;
        }
    }

    async fn terminate(&self, n: u64, plan: &Plan) {
        let Some(after) = plan.terminate_after else {
            return;
        };
        tokio::time::sleep(after).await;
        report(&Line::Terminating { n });
        match self.client.terminate(id(n), "enough").await {
            Ok(()) => report(&Line::Terminated { n }),
            Err(InstanceError::Ended { .. }) => report(&Line::TooLate { n }),
            Err(error) => mishap(format!("termination of {n}: {error}")),
        }
    }

    async fn purge(&self, n: u64) {
        report(&Line::Purging { n });
        match self.client.purge(id(n)).await {
            Ok(()) => report(&Line::Purged { n }),
            Err(PurgeError::NotFound { .. }) => report(&Line::Gone { n }),
            Err(error) => mishap(format!("purge of {n}: {error}")),
        }
    }

    /// Reads the status.
    pub(super) async fn look(&self, n: u64) {
        let ask = self.ask(n);
        saw(n, ask, self.client.status(id(n)).await);
    }

    /// Says whether it has ended.
    async fn wait(&self, n: u64) -> bool {
        let ask = self.ask(n);
        saw(n, ask, self.client.wait_for_completion(id(n)).await)
    }

    fn ask(&self, n: u64) -> u64 {
        let ask = self.asks.fetch_add(1, Ordering::Relaxed);
        report(&Line::Ask { n, ask });
        ask
    }
}

/// Says whether it has ended.
fn saw(n: u64, ask: u64, status: Result<Option<OrchestrationStatus>, HubError>) -> bool {
    let view = status.map_err(|error| error.to_string());
    match view.and_then(|status| status.as_ref().map(view_of).transpose()) {
        Ok(view) => {
            let ended = |view: &View| view.status.is_terminal();
            let has_ended = view.as_ref().is_some_and(ended);
            report(&Line::Read { n, ask, view });
            has_ended
        }
        Err(error) => {
            mishap(format!("status of {n}: {error}"));
            false
        }
    }
}

fn view_of(status: &OrchestrationStatus) -> Result<View, String> {
    let undecodable = |error: serde_json::Error| error.to_string();
    let output: Option<Output> = status.output().map_err(undecodable)?;
    let failure = status
        .failure()
        .map(|failure| End::Failure(failure.message().to_owned()));
    let progress: Option<u32> = status.custom_status().map_err(undecodable)?;
    Ok(View {
        status: status.runtime_status(),
        progress: progress.unwrap_or(0),
        end: output.map(End::from).or(failure),
        problem: status.problem().map(ToString::to_string),
    })
}
