//! What a worker can run, by name.

use std::collections::BTreeMap;
use std::fmt;

use crate::activity::{Activity, ActivityContext, ActivityFuture, Requirements};
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::replay::OrchestrationContext;

/// Something a worker can run: an activity or an orchestrator.
///
/// Implemented by `#[activity]` and `#[orchestrator]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be registered",
    label = "neither an activity nor an orchestrator",
    note = "annotate the function with `#[activity]` or `#[orchestrator]`, and name the function itself: `register::<charge>()`"
)]
pub trait Register: 'static {
    /// Adds it to what a worker can run.
    #[doc(hidden)]
    fn register(registry: &mut Registry);
}

/// Collects what a worker can run.
#[doc(hidden)]
#[derive(Clone, Default)]
pub struct Registry {
    orchestrators: BTreeMap<(&'static str, &'static str), RunOrchestrator>,
    activities: BTreeMap<&'static str, RegisteredActivity>,
    duplicates: Vec<String>,
}

pub(crate) type RunOrchestrator = fn(OrchestrationContext, Payload) -> OrchestratorFuture;

#[derive(Clone, Copy)]
pub(crate) struct RegisteredActivity {
    pub(crate) run: fn(ActivityContext, Payload) -> ActivityFuture,
    pub(crate) require: fn(&mut Requirements),
}

impl Registry {
    /// Adds an activity.
    pub fn activity<A: Activity>(&mut self) {
        let activity = RegisteredActivity {
            run: A::run,
            require: A::require,
        };
        if let Some(other) = self.activities.insert(A::NAME, activity)
            && !std::ptr::fn_addr_eq(other.run, activity.run)
        {
            self.duplicates.push(format!("activity `{}`", A::NAME));
        }
    }

    /// Adds an orchestrator.
    pub fn orchestrator<O: Orchestrator>(&mut self) {
        let run: RunOrchestrator = O::run;
        if let Some(other) = self.orchestrators.insert((O::NAME, O::VERSION), run)
            && !std::ptr::fn_addr_eq(other, run)
        {
            self.duplicates.push(format!(
                "orchestrator `{}` version `{}`",
                O::NAME,
                O::VERSION
            ));
        }
    }

    /// What was registered twice with different code.
    pub(crate) fn duplicates(&self) -> &[String] {
        &self.duplicates
    }

    pub(crate) fn find_orchestrator(&self, name: &str, version: &str) -> Option<RunOrchestrator> {
        self.orchestrators.get(&(name, version)).copied()
    }

    pub(crate) fn find_activity(&self, name: &str) -> Option<RegisteredActivity> {
        self.activities.get(name).copied()
    }

    pub(crate) fn activities(&self) -> impl Iterator<Item = (&'static str, RegisteredActivity)> {
        self.activities
            .iter()
            .map(|(name, activity)| (*name, *activity))
    }

    /// The names of the orchestrators, for a message.
    pub(crate) fn orchestrator_names(&self) -> String {
        let names: Vec<_> = self
            .orchestrators
            .keys()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("orchestrators", &self.orchestrators.keys())
            .field("activities", &self.activities.keys())
            .finish_non_exhaustive()
    }
}
