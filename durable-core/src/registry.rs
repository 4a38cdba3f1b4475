//! What a worker can run, by name.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;

use crate::activity::{Activity, ActivityContext, ActivityFuture, Requirements};
use crate::failure::{FailureDetails, FailureKind};
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::replay::OrchestrationContext;
use crate::version::{VersionMismatch, Versioning};

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
    orchestrators: BTreeMap<(&'static str, &'static str), RegisteredOrchestrator>,
    activities: BTreeMap<&'static str, RegisteredActivity>,
    duplicates: Vec<String>,
    pub(crate) versioning: Versioning,
    /// Activities run as a hub in virtual time has them run.
    #[cfg(feature = "testing")]
    virtual_time: bool,
}

pub(crate) type RunOrchestrator = fn(OrchestrationContext, Payload) -> OrchestratorFuture;

#[derive(Clone, Copy)]
struct RegisteredOrchestrator {
    definition: TypeId,
    run: RunOrchestrator,
}

#[derive(Clone, Copy)]
pub(crate) struct RegisteredActivity {
    definition: TypeId,
    pub(crate) run: fn(ActivityContext, Payload) -> ActivityFuture,
    pub(crate) require: fn(&mut Requirements),
    pub(crate) max_concurrent: Option<usize>,
}

/// What a worker does with an instance.
#[derive(Clone, Copy)]
pub(crate) enum Choice {
    Run(RunOrchestrator),
    /// It has no such orchestrator, or not in this version.
    Missing,
    /// It does not take this version.
    Mismatch,
}

/// An orchestrator that fails because the worker does not take its version.
fn refuse_version(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
    Box::pin(async move {
        let text = format!(
            "the running worker does not take version `{}`",
            ctx.version()
        );
        let failure = FailureDetails::new(FailureKind::VersionMismatch, "durable_core", text);
        Err(failure.not_retryable())
    })
}

/// Everything annotated hands one of these to the linker, for [`Registry::discover`].
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Discovered(pub fn(&mut Registry));

inventory::collect!(Discovered);

impl Registry {
    /// Adds everything in this binary that is annotated.
    pub(crate) fn discover(&mut self) {
        for Discovered(register) in inventory::iter::<Discovered> {
            register(self);
        }
    }

    /// Adds an activity.
    pub fn activity<A: Activity>(&mut self) {
        let activity = RegisteredActivity {
            definition: TypeId::of::<A>(),
            run: A::run,
            require: A::require,
            max_concurrent: A::MAX_CONCURRENT,
        };
        #[cfg(feature = "testing")]
        let activity = RegisteredActivity {
            run: if self.virtual_time {
                crate::testing::run::<A>
            } else {
                A::run
            },
            ..activity
        };
        if let Some(other) = self.activities.insert(A::NAME, activity)
            && other.definition != activity.definition
        {
            self.duplicates.push(format!("activity `{}`", A::NAME));
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn in_virtual_time() -> Self {
        Self {
            virtual_time: true,
            ..Self::default()
        }
    }

    /// Adds an activity that is not run itself: it needs no state, and takes the place of what
    /// has its name.
    #[cfg(feature = "testing")]
    pub(crate) fn mock<A: Activity>(&mut self) {
        let mocked = RegisteredActivity {
            definition: TypeId::of::<A>(),
            run: crate::testing::run::<A>,
            require: |_| {},
            max_concurrent: A::MAX_CONCURRENT,
        };
        self.activities.insert(A::NAME, mocked);
    }

    /// Adds an orchestrator.
    pub fn orchestrator<O: Orchestrator>(&mut self) {
        let orchestrator = RegisteredOrchestrator {
            definition: TypeId::of::<O>(),
            run: O::run,
        };
        let key = (O::NAME, O::VERSION);
        if let Some(other) = self.orchestrators.insert(key, orchestrator)
            && other.definition != orchestrator.definition
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
        // What has no version takes every one that is not there itself.
        let exact = self.orchestrators.get(&(name, version));
        let orchestrator = exact.or_else(|| self.orchestrators.get(&(name, "")))?;
        Some(orchestrator.run)
    }

    /// What runs an instance that begins, or goes on.
    pub(crate) fn choose(&self, name: &str, version: &str, begins: bool) -> Choice {
        if self.versioning.takes(version) {
            return self
                .find_orchestrator(name, version)
                .map_or(Choice::Missing, Choice::Run);
        }
        match self.versioning.mismatch {
            VersionMismatch::Fail if begins => Choice::Run(refuse_version),
            VersionMismatch::Fail | VersionMismatch::Reject => Choice::Mismatch,
        }
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
            "no orchestrators".to_owned()
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

#[cfg(all(test, feature = "macros"))]
mod tests {
    use super::*;
    use crate::{activity, orchestrator};

    #[activity(crate = crate)]
    async fn pack() {}

    #[activity(crate = crate, name = "pack", type = PackToo)]
    async fn pack_too() {}

    #[orchestrator(crate = crate, name = "deliver", version = "1")]
    async fn deliver() {}

    #[orchestrator(crate = crate, name = "deliver", version = "2")]
    async fn deliver_again() {}

    #[test]
    fn what_is_annotated_is_discovered() {
        let mut registry = Registry::default();
        registry.discover();
        assert!(registry.find_activity("pack").is_some());
        assert!(registry.find_orchestrator("deliver", "1").is_some());
        assert!(registry.find_orchestrator("deliver", "2").is_some());
        assert!(
            registry
                .duplicates()
                .contains(&"activity `pack`".to_owned())
        );
    }

    #[test]
    fn registering_one_definition_twice_is_no_duplicate() {
        let mut registry = Registry::default();
        registry.activity::<pack>();
        registry.activity::<pack>();
        registry.orchestrator::<deliver>();
        registry.orchestrator::<deliver>();
        registry.orchestrator::<deliver_again>();
        assert!(registry.duplicates().is_empty());
        registry.activity::<PackToo>();
        assert_eq!(registry.duplicates(), ["activity `pack`"]);
    }
}
