//! What is shown of an instance.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::engine::Snapshot;
use crate::failure::FailureDetails;
use crate::id::{CallId, ExecutionId, InstanceId, InstanceNumber};
use crate::payload::{Payload, Wire};
use crate::replay::Problem;
use crate::store::{Report, RuntimeStatus};
use crate::time::Timestamp;

/// What is known of an instance at one moment. A later one never shows less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrchestrationStatus {
    snapshot: Snapshot,
}

impl OrchestrationStatus {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot }
    }

    /// What is shown, as the engine has it.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whether it has taken its first turn, or never will.
    pub(super) fn has_begun(&self) -> bool {
        let header = &self.snapshot.header;
        header.turns > 0 || header.execution > ExecutionId::default() || header.status.is_terminal()
    }

    pub(super) fn result(&self) -> Option<&Result<Payload, FailureDetails>> {
        self.snapshot.result.as_ref()
    }

    /// The instance's id.
    pub fn instance_id(&self) -> &InstanceId {
        &self.snapshot.header.id
    }

    /// The execution (generation) it is in.
    pub fn execution_id(&self) -> ExecutionId {
        self.snapshot.header.execution
    }

    /// The orchestrator's name.
    pub fn name(&self) -> &str {
        &self.snapshot.header.name
    }

    /// The orchestrator's version; empty if it has none.
    pub fn version(&self) -> &str {
        &self.snapshot.header.version
    }

    /// The tags it was started with.
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.snapshot.header.tags
    }

    /// Where it is in its life.
    pub fn runtime_status(&self) -> RuntimeStatus {
        self.snapshot.header.status
    }

    /// When it was started.
    pub fn created_at(&self) -> SystemTime {
        system(self.snapshot.header.created)
    }

    /// When it is or was to begin, if it was [started](crate::StartOrchestration::start_at) to begin
    /// later than at once.
    pub fn scheduled_start(&self) -> Option<SystemTime> {
        let scheduled = self.snapshot.header.scheduled?;
        Some(system(scheduled.at))
    }

    /// When something last happened in it.
    pub fn last_updated_at(&self) -> SystemTime {
        system(self.snapshot.header.updated)
    }

    /// Its input.
    ///
    /// # Errors
    ///
    /// What serde says if it is not a `T`.
    pub fn input<T: Wire>(&self) -> Result<Option<T>, serde_json::Error> {
        self.snapshot
            .input
            .as_ref()
            .map(Payload::decode)
            .transpose()
    }

    /// Its output, once it has completed.
    ///
    /// # Errors
    ///
    /// What serde says if it is not a `T`.
    pub fn output<T: Wire>(&self) -> Result<Option<T>, serde_json::Error> {
        let output = self.result().and_then(|result| result.as_ref().ok());
        output.map(Payload::decode).transpose()
    }

    /// Its input as JSON text.
    pub fn input_json(&self) -> Option<&str> {
        self.snapshot.input.as_ref().and_then(Payload::as_str)
    }

    /// Its output as JSON text, once it has completed.
    pub fn output_json(&self) -> Option<&str> {
        let output = self.result().and_then(|result| result.as_ref().ok());
        output.and_then(Payload::as_str)
    }

    /// Its custom status as JSON text.
    pub fn custom_status_json(&self) -> Option<&str> {
        self.snapshot
            .header
            .custom_status
            .as_ref()
            .and_then(Payload::as_str)
    }

    pub(super) fn number(&self) -> InstanceNumber {
        self.snapshot.header.number
    }

    /// Which instance this is among all that this hub has ever had: an id that is used again
    /// stands for another one.
    pub fn incarnation(&self) -> u64 {
        self.snapshot.header.number.0
    }

    /// How it failed, if it did; the reason, if it was terminated.
    pub fn failure(&self) -> Option<&FailureDetails> {
        self.result().and_then(|result| result.as_ref().err())
    }

    /// What the orchestrator last set with
    /// [`set_custom_status`](crate::OrchestrationContext::set_custom_status).
    ///
    /// # Errors
    ///
    /// What serde says if it is not a `T`.
    pub fn custom_status<T: Wire>(&self) -> Result<Option<T>, serde_json::Error> {
        self.snapshot
            .header
            .custom_status
            .as_ref()
            .map(Payload::decode)
            .transpose()
    }

    /// How far its activities have come that have not ended and have [reported](crate::Progress), in
    /// the order of the calls. Of an instance with very many of them the first are shown: at most 100
    /// reports, of the first 1,000 calls that have reported or are to be tried again.
    ///
    /// ```
    /// use durable_core::{OrchestrationStatus, Progress, activity};
    ///
    /// #[activity]
    /// async fn copy(progress: Progress, files: Vec<String>) {
    ///     for n in 0..files.len() {
    ///         let _ = progress.report(&n);
    ///     }
    /// }
    ///
    /// fn show(status: &OrchestrationStatus) {
    ///     for progress in status.progress() {
    ///         println!("{}: {} files", progress.activity_name(), progress.json());
    ///     }
    /// }
    /// ```
    pub fn progress(&self) -> impl Iterator<Item = ActivityProgress<'_>> {
        let reports = self.snapshot.reports.iter();
        reports.map(|(call, report)| ActivityProgress {
            call: *call,
            report,
        })
    }

    /// Why it is suspended, while it is.
    pub fn suspend_reason(&self) -> Option<&str> {
        self.snapshot.header.suspended.as_deref()
    }

    /// Why it does not go on although its status says it runs, if so.
    pub fn problem(&self) -> Option<&Problem> {
        self.snapshot
            .header
            .problem
            .as_ref()
            .map(|(problem, _)| problem)
    }

    /// Since when there is that problem.
    pub fn problem_since(&self) -> Option<SystemTime> {
        self.snapshot
            .header
            .problem
            .as_ref()
            .map(|(_, since)| system(*since))
    }
}

/// How far an activity has come that runs, or is to run again; see
/// [`OrchestrationStatus::progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivityProgress<'a> {
    call: CallId,
    report: &'a Report,
}

impl<'a> ActivityProgress<'a> {
    /// Which call of the orchestrator it is: its number in this execution.
    pub fn call(&self) -> u32 {
        self.call.0
    }

    /// The name of the activity.
    pub fn activity_name(&self) -> &'a str {
        &self.report.activity
    }

    /// The attempt that has reported, counted from 1. A later one may run by now.
    pub fn attempt(&self) -> u32 {
        self.report.attempt
    }

    /// When it did.
    pub fn reported_at(&self) -> SystemTime {
        system(self.report.at)
    }

    /// What it has reported.
    ///
    /// # Errors
    ///
    /// What serde says if it is not a `T`.
    pub fn value<T: Wire>(&self) -> Result<T, serde_json::Error> {
        self.report.progress.decode()
    }

    /// What it has reported, as JSON text.
    pub fn json(&self) -> &'a str {
        // What was written as JSON is text.
        self.report.progress.as_str().unwrap_or("null")
    }
}

pub(super) fn system(time: Timestamp) -> SystemTime {
    time.to_system().unwrap_or(UNIX_EPOCH)
}
