//! The history of an instance in the form of Durable Functions: `historyEvents` of a status.
//!
//! What has ended is one row, that of its end, which says when it was asked for and of whom; what is
//! still open is a row of its own, and so is what a rewind asks for again. What Durable Functions does not record (waits for events,
//! cancellations, custom statuses, patches) is left out.

use std::collections::BTreeMap;
use std::time::SystemTime;

use durable_core::{
    FailureDetails, FailureKind, History, HistoryError, HistoryEvent, HistoryEventKind as Kind,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::ApiError;
use crate::models::raw;

/// Which payloads are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payloads {
    pub(crate) input: bool,
    pub(crate) output: bool,
}

/// One event.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Row {
    event_type: &'static str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fire_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orchestration_status: Option<&'static str>,
    /// JSON text, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_details: Option<FailureObject>,
}

impl Row {
    fn new(event_type: &'static str, time: &str) -> Self {
        Self {
            event_type,
            timestamp: time.to_owned(),
            ..Self::default()
        }
    }

    fn asked_of(self, name: String, input: Option<String>) -> Self {
        Self {
            name: Some(name),
            input,
            ..self
        }
    }

    fn failed(self, failure: &FailureDetails) -> Self {
        Self {
            reason: Some(failure.message().to_owned()),
            details: failure.causes().first().cloned(),
            failure_details: Some(FailureObject::of(failure)),
            ..self
        }
    }
}

/// How something failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FailureObject {
    error_type: String,
    error_message: String,
    inner_failure: Option<Box<FailureObject>>,
    is_non_retriable: bool,
}

impl FailureObject {
    fn of(failure: &FailureDetails) -> Self {
        let inner = |below: Option<Box<Self>>, cause: &String| {
            Some(Box::new(Self {
                error_type: String::new(),
                error_message: cause.clone(),
                inner_failure: below,
                is_non_retriable: false,
            }))
        };
        Self {
            error_type: failure.error_type().to_owned(),
            error_message: failure.message().to_owned(),
            inner_failure: failure.causes().iter().rev().fold(None, inner),
            is_non_retriable: !failure.is_retryable(),
        }
    }
}

/// Reads a whole history, if it has no more than so many bytes.
pub(crate) async fn read(
    mut history: History,
    payloads: Payloads,
    max_bytes: usize,
) -> Result<Vec<Row>, ApiError> {
    let mut rows = Rows::new(payloads);
    while let Some(event) = history.next().await? {
        rows.add(event);
        if rows.bytes > max_bytes {
            return Err(ApiError::BadRequest(format!(
                "the history has more than {max_bytes} bytes"
            )));
        }
    }
    Ok(rows.shown.into_iter().flatten().collect())
}

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Hub(error) => error.into(),
            HistoryError::Superseded { .. } => Self::Superseded,
            HistoryError::InvalidId(_) | HistoryError::NotFound { .. } | _ => Self::NotFound,
        }
    }
}

/// A call that was answered.
#[derive(Debug)]
struct Answered {
    /// Where the row of its answer is, the last one if it was made again.
    row: usize,
    /// What its own row was.
    event_type: &'static str,
    instance_id: Option<String>,
}

#[derive(Debug)]
struct Rows {
    payloads: Payloads,
    /// Without those of calls that were answered.
    shown: Vec<Option<Row>>,
    /// Where the rows of calls are that are open, and those of all timers.
    open: BTreeMap<u32, usize>,
    /// After a rewind they may be made again, and answered again.
    answered: BTreeMap<u32, Answered>,
    bytes: usize,
}

impl Rows {
    fn new(payloads: Payloads) -> Self {
        Self {
            payloads,
            shown: Vec::new(),
            open: BTreeMap::new(),
            answered: BTreeMap::new(),
            bytes: 0,
        }
    }

    fn push(&mut self, row: Row) {
        /// What a row has besides texts of any length.
        const KEYS: usize = 200;
        let texts = [&row.input, &row.reason, &row.details];
        let texts = texts.into_iter().flatten().map(String::len);
        let result = row.result.as_ref().map_or(0, |result| result.get().len());
        self.bytes += KEYS + result + texts.sum::<usize>();
        self.shown.push(Some(row));
    }

    /// A row that goes when its call is answered.
    fn open(&mut self, call: u32, row: Row) {
        self.open.insert(call, self.shown.len());
        self.push(row);
    }

    /// The row of an answer, with what is known from when the call was made.
    fn answered(&mut self, call: u32, row: Row) {
        let at = self.shown.len();
        let row = match self.take_open(call) {
            Some(asked) => {
                let answered = Answered {
                    row: at,
                    event_type: asked.event_type,
                    instance_id: asked.instance_id,
                };
                self.answered.insert(call, answered);
                Row {
                    function_name: asked.name,
                    scheduled_time: Some(asked.timestamp),
                    input: asked.input,
                    ..row
                }
            }
            None => self.answered_again(call, at, row),
        };
        self.push(row);
    }

    fn take_open(&mut self, call: u32) -> Option<Row> {
        let row = self.open.remove(&call)?;
        self.shown.get_mut(row)?.take()
    }

    /// A rewind feeds an answer again that has led to the failure.
    fn answered_again(&mut self, call: u32, at: usize, row: Row) -> Row {
        let Some(answered) = self.answered.get_mut(&call) else {
            return row;
        };
        let before = std::mem::replace(&mut answered.row, at);
        let Some(Some(before)) = self.shown.get(before) else {
            return row;
        };
        Row {
            function_name: before.function_name.clone(),
            scheduled_time: before.scheduled_time.clone(),
            input: before.input.clone(),
            ..row
        }
    }

    /// A call that has failed is open again; its failure stays.
    fn made_again(&mut self, call: u32, time: &str) {
        let Some(answered) = self.answered.get(&call) else {
            return;
        };
        let Some(Some(failed)) = self.shown.get(answered.row) else {
            return;
        };
        let row = Row {
            name: failed.function_name.clone(),
            instance_id: answered.instance_id.clone(),
            input: failed.input.clone(),
            ..Row::new(answered.event_type, time)
        };
        self.open(call, row);
    }

    fn input(&self, json: &str) -> Option<String> {
        self.payloads.input.then(|| json.to_owned())
    }

    fn result(&self, json: &str) -> Option<Box<RawValue>> {
        self.payloads.output.then(|| raw(json))
    }

    fn ended(&mut self, row: Row, status: &'static str, result: &str) {
        let result = self.result(result);
        self.push(Row {
            orchestration_status: Some(status),
            result,
            ..row
        });
    }

    fn add(&mut self, event: HistoryEvent) {
        let time = moment(event.time);
        let row = |event_type| Row::new(event_type, &time);
        match event.kind {
            Kind::ExecutionStarted { name, input, .. } => {
                let input = self.input(input.json());
                self.push(Row {
                    function_name: Some(name),
                    input,
                    ..row("ExecutionStarted")
                });
            }
            Kind::EventRaised { name, data, .. } => {
                let input = self.input(data.json());
                self.push(Row {
                    name: Some(name),
                    input,
                    ..row("EventRaised")
                });
            }
            Kind::EventSent {
                instance,
                name,
                data,
                ..
            } => {
                let input = self.input(data.json());
                self.push(Row {
                    instance_id: Some(instance.as_str().to_owned()),
                    name: Some(name),
                    input,
                    ..row("EventSent")
                });
            }
            Kind::ContinueAsNew { input, .. } => {
                self.ended(row("ContinueAsNew"), "ContinuedAsNew", input.json());
            }
            Kind::ExecutionCompleted { output } => {
                self.ended(row("ExecutionCompleted"), "Completed", output.json());
            }
            Kind::ExecutionFailed { failure } => {
                let terminated = failure.kind() == FailureKind::Terminated;
                let status = if terminated { "Terminated" } else { "Failed" };
                let row = Row {
                    failure_details: Some(FailureObject::of(&failure)),
                    ..row("ExecutionCompleted")
                };
                self.ended(row, status, failure.message());
            }
            Kind::ExecutionTerminated { reason, .. } => {
                self.push(Row {
                    input: reason.clone().filter(|_| self.payloads.input),
                    ..row("ExecutionTerminated")
                });
                let reason = reason.unwrap_or_default();
                self.ended(row("ExecutionCompleted"), "Terminated", &reason);
            }
            Kind::ExecutionRewound { reason, calls } => {
                self.push(Row {
                    reason: Some(reason),
                    ..row("ExecutionRewound")
                });
                for call in calls {
                    self.made_again(call, &time);
                }
            }
            kind @ (Kind::TaskScheduled { .. }
            | Kind::TaskCompleted { .. }
            | Kind::TaskFailed { .. }
            | Kind::TimerCreated { .. }
            | Kind::TimerFired { .. }
            | Kind::SubOrchestrationInstanceCreated { .. }
            | Kind::SubOrchestrationInstanceCompleted { .. }
            | Kind::SubOrchestrationInstanceFailed { .. }
            | _) => self.add_call(kind, row),
        }
    }

    fn add_call(&mut self, kind: Kind, row: impl Fn(&'static str) -> Row) {
        match kind {
            Kind::TaskScheduled {
                call, name, input, ..
            } => {
                let input = self.input(input.json());
                let row = row("TaskScheduled");
                self.open(call, row.asked_of(name, input));
            }
            Kind::SubOrchestrationInstanceCreated {
                call,
                instance,
                name,
                input,
                detached,
                ..
            } => {
                let input = self.input(input.json());
                let row = Row {
                    instance_id: Some(instance.as_str().to_owned()),
                    ..row("SubOrchestrationInstanceCreated").asked_of(name, input)
                };
                if detached {
                    self.push(row);
                } else {
                    self.open(call, row);
                }
            }
            Kind::TaskCompleted { call, output } => {
                let result = self.result(output.json());
                let row = row("TaskCompleted");
                self.answered(call, Row { result, ..row });
            }
            Kind::SubOrchestrationInstanceCompleted { call, output } => {
                let result = self.result(output.json());
                let row = row("SubOrchestrationInstanceCompleted");
                self.answered(call, Row { result, ..row });
            }
            Kind::TaskFailed { call, failure } => {
                self.answered(call, row("TaskFailed").failed(&failure));
            }
            Kind::SubOrchestrationInstanceFailed { call, failure } => {
                let row = row("SubOrchestrationInstanceFailed");
                self.answered(call, row.failed(&failure));
            }
            Kind::TimerCreated { call, fire_at } => {
                let fire_at = Some(moment(fire_at));
                let row = row("TimerCreated");
                self.open(call, Row { fire_at, ..row });
            }
            Kind::TimerFired { call } => {
                // Its creation stays, and a rewind may have it fire again.
                let created = self.open.get(&call).and_then(|row| self.shown.get(*row));
                let fire_at = created.and_then(|row| row.as_ref()?.fire_at.clone());
                let row = row("TimerFired");
                self.push(Row { fire_at, ..row });
            }
            // Durable Functions has nothing of the kind.
            Kind::EventAwaited { .. }
            | Kind::CallCancelled { .. }
            | Kind::CustomStatusSet { .. }
            | Kind::Patched { .. }
            | _ => {}
        }
    }
}

fn moment(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX);
    format!("{time:.6}")
}
