//! Two copies of one orchestrator, fed the same events and compared event by event.
//!
//! Replay finds code that is not deterministic only after a restart. A second copy finds it in the
//! turn in which it happens, also in helpers that no macro sees, at twice the price.

use std::sync::Arc;

use super::compare::{Matching, compare};
use super::execution::{Execution, Fed};
use super::problem::{Place, Problem, ProblemKind};
use super::silence::silence;
use super::state::{Identity, InlineStep};
use super::waker::ForeignWake;
use crate::failure::FailureDetails;
use crate::history::{Event, Turn};
use crate::id::{CallId, EventName};
use crate::payload::Payload;
use crate::registry::RunOrchestrator;
use crate::time::Timestamp;

/// A live orchestrator, watched by a second copy of itself or not.
#[derive(Debug)]
pub(crate) struct Watched {
    main: Execution,
    shadow: Option<Execution>,
    turns: usize,
    steps: usize,
}

impl Watched {
    pub(crate) fn new(
        identity: &Arc<Identity>,
        run: RunOrchestrator,
        on_foreign: &ForeignWake,
        shadow: bool,
    ) -> Self {
        let execution = || Execution::new(Arc::clone(identity), run, Arc::clone(on_foreign));
        let shadow = shadow.then(|| {
            let mut shadow = execution();
            shadow.mark_as_shadow();
            shadow
        });
        Self {
            main: execution(),
            shadow,
            turns: 0,
            steps: 0,
        }
    }

    /// See [`Execution::begin_turn`].
    pub(crate) fn begin_turn(&mut self, time: Timestamp) -> Timestamp {
        self.turns += 1;
        self.steps = 0;
        self.main.begin_turn(time);
        if let Some(shadow) = &mut self.shadow {
            shadow.begin_turn(time);
        }
        self.main.now()
    }

    /// See [`Execution::feed`].
    ///
    /// # Errors
    ///
    /// Also if the two copies ask for different things.
    pub(crate) fn feed(&mut self, event: &Event) -> Result<Fed, Problem> {
        self.steps += 1;
        let fed = self.main.feed(event)?;
        if let Some(shadow) = &mut self.shadow {
            let expected: Vec<_> = fed
                .actions
                .iter()
                .map(|emitted| emitted.action.clone())
                .collect();
            let silent = silence();
            let other = shadow.feed(event)?;
            drop(silent);
            let place = Place {
                turn: self.turns,
                step: self.steps,
            };
            compare(&expected, &other.actions, Matching::Strict).map_err(|difference| {
                difference.problem(ProblemKind::Nondeterminism, &self.main.identity(), place)
            })?;
        }
        Ok(fed)
    }

    /// Replays a history, before anything else is fed.
    ///
    /// Returns how many inputs differed in a way that is tolerated.
    ///
    /// # Errors
    ///
    /// A [`Problem`] if the code asks for something else than was recorded.
    pub(crate) fn replay(&mut self, turns: &[Turn], matching: Matching) -> Result<u64, Problem> {
        let _silent = silence();
        self.main.mark_patches(turns);
        if let Some(shadow) = &mut self.shadow {
            shadow.mark_patches(turns);
        }
        let mut drifted = 0;
        for turn in turns {
            self.turns += 1;
            if let Some(shadow) = &mut self.shadow {
                follow(shadow, turn)?;
            }
            drifted += self.main.replay(turn, self.turns, matching)?;
        }
        Ok(drifted)
    }

    /// See [`Execution::take_events`].
    pub(crate) fn take_events(&mut self) -> Vec<(EventName, Payload)> {
        self.main.take_events()
    }

    /// See [`Execution::inline`].
    pub(crate) fn inline(&self, call: CallId) -> Option<InlineStep> {
        self.main.inline(call)
    }

    /// See [`Execution::retries`].
    pub(crate) fn retries(&self, call: CallId, failure: &FailureDetails) -> bool {
        self.main.retries(call, failure)
    }

    /// The bytes that it holds in memory, by estimate.
    pub(crate) fn weight(&self) -> usize {
        let shadow = self.shadow.as_ref().map_or(0, Execution::weight);
        size_of::<Self>() + self.main.weight() + shadow
    }

    /// The problem, if somebody outside has woken one of the two.
    pub(crate) fn foreign_wake(&self) -> Option<Problem> {
        let foreign =
            self.main.is_foreign() || self.shadow.as_ref().is_some_and(Execution::is_foreign);
        foreign.then(|| self.main.foreign_wake())
    }
}

/// Takes a copy through a turn whose actions the other copy is compared with.
fn follow(shadow: &mut Execution, turn: &Turn) -> Result<(), Problem> {
    shadow.begin_turn(turn.time);
    shadow.set_replaying(true);
    for step in &turn.steps {
        shadow.feed(&step.event)?;
    }
    shadow.set_replaying(false);
    Ok(())
}
