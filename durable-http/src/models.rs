//! The JSON of the management API: the only file that knows a key of it, but for those of a history.

use std::time::SystemTime;

use durable_core::{ActivityProgress, OrchestrationStatus, ProblemKind};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::history::Row;

/// What is shown of an instance besides its name, id, status, custom status and times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown {
    pub(crate) input: bool,
    pub(crate) output: bool,
    /// What goes on in it: a problem, and how far activities have come.
    pub(crate) history: bool,
}

/// An instance. Every key is always there, because clients index them; `problem` and `progress` are
/// ours, and only there when there is any.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusObject<'a> {
    name: &'a str,
    instance_id: &'a str,
    runtime_status: String,
    input: Option<Box<RawValue>>,
    custom_status: Option<Box<RawValue>>,
    output: Option<Box<RawValue>>,
    created_time: String,
    last_updated_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemObject<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    progress: Vec<ProgressObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history_events: Option<Vec<Row>>,
}

#[derive(Debug, Serialize)]
struct ProblemObject<'a> {
    kind: ProblemKind,
    message: &'a str,
    since: Option<String>,
    report: &'a str,
}

/// How far an activity has come.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProgressObject<'a> {
    call: u32,
    activity: &'a str,
    attempt: u32,
    reported_time: String,
    value: Box<RawValue>,
}

impl<'a> ProgressObject<'a> {
    fn of(progress: ActivityProgress<'a>) -> Self {
        Self {
            call: progress.call(),
            activity: progress.activity_name(),
            attempt: progress.attempt(),
            reported_time: time(progress.reported_at()),
            value: raw(progress.json()),
        }
    }
}

impl<'a> StatusObject<'a> {
    pub(crate) fn new(status: &'a OrchestrationStatus, shown: Shown) -> Self {
        Self {
            name: status.name(),
            instance_id: status.instance_id().as_str(),
            runtime_status: status.runtime_status().to_string(),
            input: status.input_json().filter(|_| shown.input).map(raw),
            custom_status: status.custom_status_json().map(raw),
            output: output(status).filter(|_| shown.output).map(raw),
            created_time: time(status.created_at()),
            last_updated_time: time(status.last_updated_at()),
            problem: problem(status).filter(|_| shown.history),
            progress: if shown.history {
                progress(status)
            } else {
                Vec::new()
            },
            history_events: None,
        }
    }

    /// With what has happened in it.
    pub(crate) fn with_history(self, history_events: Option<Vec<Row>>) -> Self {
        Self {
            history_events,
            ..self
        }
    }
}

/// The output, or why there is none, or none yet.
fn output(status: &OrchestrationStatus) -> Option<&str> {
    let failure = || status.failure().map(durable_core::FailureDetails::message);
    let held = || status.suspend_reason();
    status.output_json().or_else(failure).or_else(held)
}

fn problem(status: &OrchestrationStatus) -> Option<ProblemObject<'_>> {
    let problem = status.problem()?;
    Some(ProblemObject {
        kind: problem.kind(),
        message: problem.message(),
        since: status.problem_since().map(time),
        report: problem.report(),
    })
}

fn progress(status: &OrchestrationStatus) -> Vec<ProgressObject<'_>> {
    let progress = status.progress();
    progress.map(ProgressObject::of).collect()
}

/// JSON text as it is; any other text as a JSON string.
pub(crate) fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.trim().to_owned())
        .or_else(|_| serde_json::value::to_raw_value(text))
        .unwrap_or_default()
}

/// `2026-11-21T08:41:23Z`: whole seconds, cut off.
fn time(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).map(jiff::Timestamp::as_second);
    let seconds = time.and_then(jiff::Timestamp::from_second);
    seconds.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// Where an instance that was started can be watched and steered, in the order of the original; what
/// it has only elsewhere comes last.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckStatus<'a> {
    pub(crate) id: &'a str,
    pub(crate) status_query_get_uri: String,
    pub(crate) send_event_post_uri: String,
    pub(crate) terminate_post_uri: String,
    pub(crate) purge_history_delete_uri: String,
    pub(crate) restart_post_uri: String,
    pub(crate) suspend_post_uri: String,
    pub(crate) resume_post_uri: String,
    pub(crate) rewind_post_uri: String,
}

/// How many instances were purged.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Purged {
    instances_deleted: u64,
}

impl Purged {
    pub(crate) fn new(instances: u64) -> Self {
        Self {
            instances_deleted: instances,
        }
    }
}

/// An error.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ErrorBody {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
}

impl ErrorBody {
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            exception_message: None,
            exception_type: None,
            correlation_id: None,
        }
    }

    /// Of a request that cannot be understood. Clients of the original read `ExceptionMessage`.
    pub(crate) fn argument(message: String) -> Self {
        Self {
            exception_message: Some(message),
            exception_type: Some("System.ArgumentException"),
            ..Self::plain("One or more of the arguments submitted is incorrect")
        }
    }

    /// Of something that went wrong inside.
    pub(crate) fn incident(message: &str, correlation_id: String) -> Self {
        Self {
            correlation_id: Some(correlation_id),
            ..Self::plain(message)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_have_whole_seconds_and_a_z() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_250_483_999, "2026-11-21T08:41:23Z"),
            (253_370_764_800_000, "9999-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(UNIX_EPOCH + Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn text_that_is_not_json_is_shown_as_a_string() {
        for (text, expected) in [
            ("{\"b\": 1}", "{\"b\": 1}"),
            (" 1 ", "1"),
            ("no \"stock\"", "\"no \\\"stock\\\"\""),
            ("", "\"\""),
            ("{", "\"{\""),
        ] {
            assert_eq!(raw(text).get(), expected);
        }
    }
}
