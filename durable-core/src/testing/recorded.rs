//! A history without a hub, for this repository's benchmark of replay.

use std::sync::Arc;

use crate::failure::{FailureDetails, FailureKind};
use crate::history::{Action, Event, Started, Turn};
use crate::id::{ExecutionId, InstanceId, InstanceNumber};
use crate::orchestrator::Orchestrator;
use crate::payload::{Payload, Wire};
use crate::registry::RunOrchestrator;
use crate::replay::{Identity, Matching, Problem, Watched};
use crate::time::Timestamp;

/// What an orchestrator has lived through, each of its activities answered alike, one event a turn.
#[doc(hidden)]
pub struct Recorded {
    identity: Arc<Identity>,
    run: RunOrchestrator,
    turns: Vec<Turn>,
}

impl Recorded {
    /// Runs `O` to its end.
    ///
    /// # Errors
    ///
    /// If it waits for anything but an activity, or cannot be run.
    pub fn of<O: Orchestrator>(
        input: &O::Input,
        output: &impl Wire,
    ) -> Result<Self, FailureDetails> {
        let json = |what, error| FailureDetails::serialization(what, &error);
        let input = input.to_payload().map_err(|error| json("input", error))?;
        let output = output.to_payload().map_err(|error| json("output", error))?;
        let instance = InstanceId::generate();
        let identity = Arc::new(Identity {
            hub: 0,
            instance: instance.clone(),
            number: InstanceNumber(0),
            execution: ExecutionId::default(),
            name: O::NAME.to_owned(),
            version: O::VERSION.to_owned(),
            parent: None,
            tags: crate::history::Tags::new(),
        });
        let mut recorded = Self {
            identity,
            run: O::run,
            turns: Vec::new(),
        };
        let started = Event::Started(Box::new(Started {
            instance,
            execution: ExecutionId::default(),
            name: O::NAME.to_owned(),
            version: O::VERSION.to_owned(),
            input,
            parent: None,
            event_ids: Vec::new(),
            tags: crate::history::Tags::new(),
        }));
        recorded.record(started, &output).map_err(|problem| {
            FailureDetails::new(
                FailureKind::Application,
                "durable_core::Problem",
                problem.report(),
            )
        })?;
        Ok(recorded)
    }

    fn record(&mut self, started: Event, output: &Payload) -> Result<(), Problem> {
        let mut watched = self.watched();
        let mut next = Some(started);
        for time in 0.. {
            let Some(event) = next.take() else { break };
            let time = watched.begin_turn(Timestamp(time));
            let fed = watched.feed(&event)?;
            let actions: Vec<_> = fed
                .actions
                .into_iter()
                .map(|emitted| emitted.action)
                .collect();
            next = actions.iter().find_map(|action| match action {
                Action::ScheduleActivity { call, .. } => Some(Event::ActivityCompleted {
                    call: *call,
                    output: output.clone(),
                }),
                Action::CreateTimer { .. }
                | Action::AwaitEvent { .. }
                | Action::Cancel { .. }
                | Action::SetCustomStatus { .. }
                | Action::Complete { .. }
                | Action::Fail { .. }
                | Action::StartChild { .. }
                | Action::SendEvent { .. }
                | Action::ContinueAsNew { .. }
                | Action::Patched { .. } => None,
            });
            let steps = vec![crate::history::Step { event, actions }];
            self.turns.push(Turn { time, steps });
        }
        Ok(())
    }

    fn watched(&self) -> Watched {
        let nobody: crate::replay::ForeignWake = Arc::new(|| ());
        Watched::new(&self.identity, self.run, &nobody, false)
    }

    /// How many events there are.
    pub fn events(&self) -> usize {
        self.turns.len()
    }

    /// Replays all of them, without a second copy that watches.
    ///
    /// # Errors
    ///
    /// If the orchestrator asks for something else than the first time.
    pub fn replay(&self) -> Result<(), Problem> {
        self.watched()
            .replay(&self.turns, Matching::Tolerant)
            .map(drop)
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorded")
            .field("turns", &self.turns.len())
            .finish_non_exhaustive()
    }
}
