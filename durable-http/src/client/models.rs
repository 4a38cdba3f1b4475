//! The JSON of the management API as it is read: what is missing or new is no error.

use std::fmt;
use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// What an instance is doing, as a service says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RuntimeStatus {
    /// It has been started and has not begun.
    Pending,
    /// It runs, or waits for something.
    Running,
    /// It takes no turns for a while.
    Suspended,
    /// It is about to begin once more.
    ContinuedAsNew,
    /// It has returned.
    Completed,
    /// It has failed; its output says why.
    Failed,
    /// It was ended from outside; its output is the reason.
    Terminated,
    /// It was ended by itself from outside. Services of today do not say so.
    Canceled,
    /// Something that this client does not know, as it stands there.
    Unknown(String),
}

impl RuntimeStatus {
    const KNOWN: [(&str, Self); 8] = [
        ("Pending", Self::Pending),
        ("Running", Self::Running),
        ("Suspended", Self::Suspended),
        ("ContinuedAsNew", Self::ContinuedAsNew),
        ("Completed", Self::Completed),
        ("Failed", Self::Failed),
        ("Terminated", Self::Terminated),
        ("Canceled", Self::Canceled),
    ];

    fn parse(text: &str) -> Self {
        let known = Self::KNOWN.iter().find(|(name, _)| *name == text);
        known.map_or_else(
            || Self::Unknown(text.to_owned()),
            |(_, status)| status.clone(),
        )
    }

    /// As it stands in an answer, for example `Running`.
    pub fn as_str(&self) -> &str {
        if let Self::Unknown(text) = self {
            return text;
        }
        let known = Self::KNOWN.iter().find(|(_, status)| status == self);
        known.map_or("", |(name, _)| name)
    }

    /// Whether it has ended. One that is not known has not.
    pub fn is_terminal(&self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Terminated | Self::Canceled => true,
            Self::Pending
            | Self::Running
            | Self::Suspended
            | Self::ContinuedAsNew
            | Self::Unknown(_) => false,
        }
    }
}

impl fmt::Display for RuntimeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RuntimeStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

/// What is known of an instance.
///
/// Payloads are JSON, and read as whatever type they are meant to have. Which of them are there is up to
/// the service, to what was asked for, and to what the key or link may see.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    instance_id: Option<String>,
    #[serde(rename = "runtimeStatus")]
    runtime: RuntimeStatus,
    #[serde(default)]
    input: Option<Box<RawValue>>,
    #[serde(default, rename = "customStatus")]
    custom: Option<Box<RawValue>>,
    #[serde(default)]
    output: Option<Box<RawValue>>,
    #[serde(default)]
    created_time: Option<String>,
    #[serde(default)]
    last_updated_time: Option<String>,
    #[serde(default)]
    history_events: Option<Vec<HistoryEvent>>,
}

/// The text of a payload that is there.
fn text(payload: Option<&RawValue>) -> Option<&str> {
    payload.map(RawValue::get).filter(|json| *json != "null")
}

fn read<T: DeserializeOwned>(payload: Option<&str>) -> Result<Option<T>, serde_json::Error> {
    payload.map(serde_json::from_str).transpose()
}

impl Status {
    /// The orchestrator's name; empty if it is not told.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The instance's id; empty if it is not told.
    pub fn instance_id(&self) -> &str {
        self.instance_id.as_deref().unwrap_or_default()
    }

    /// What it is doing.
    pub fn runtime_status(&self) -> &RuntimeStatus {
        &self.runtime
    }

    /// The input as JSON, if there is any and it is shown.
    pub fn input_json(&self) -> Option<&str> {
        text(self.input.as_deref())
    }

    /// The input.
    ///
    /// # Errors
    ///
    /// What serde says if it is not a `T`.
    pub fn input<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        read(self.input_json())
    }

    /// The custom status as JSON, if one is set.
    pub fn custom_status_json(&self) -> Option<&str> {
        text(self.custom.as_deref())
    }

    /// The custom status.
    ///
    /// # Errors
    ///
    /// What serde says if it is not a `T`.
    pub fn custom_status<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        read(self.custom_status_json())
    }

    /// The output as JSON, if it is shown and there is any: of what has completed; the reason, as a text, of
    /// what has failed, was terminated, or is suspended.
    pub fn output_json(&self) -> Option<&str> {
        text(self.output.as_deref())
    }

    /// The output.
    ///
    /// # Errors
    ///
    /// What serde says if it is not a `T`.
    pub fn output<T: DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        read(self.output_json())
    }

    /// When it was started; `None` if that is not told, or not as a time. Services tell whole seconds.
    pub fn created_at(&self) -> Option<SystemTime> {
        time(self.created_time.as_deref()?)
    }

    /// When it last changed; as [`created_at`](Self::created_at).
    pub fn last_updated_at(&self) -> Option<SystemTime> {
        time(self.last_updated_time.as_deref()?)
    }

    /// What has happened in it, if that was [asked for](super::StatusRequest::show_history) and is shown.
    pub fn history(&self) -> Option<&[HistoryEvent]> {
        self.history_events.as_deref()
    }
}

/// Something that has happened in an instance.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Box<RawValue>")]
pub struct HistoryEvent {
    json: Box<RawValue>,
    head: EventHead,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventHead {
    #[serde(default)]
    event_type: Option<String>,
    #[serde(default)]
    timestamp: Option<String>,
}

impl From<Box<RawValue>> for HistoryEvent {
    fn from(json: Box<RawValue>) -> Self {
        let head = serde_json::from_str(json.get()).unwrap_or_default();
        Self { json, head }
    }
}

impl HistoryEvent {
    /// What has happened, for example `TaskCompleted`; empty if it is not told.
    pub fn event_type(&self) -> &str {
        self.head.event_type.as_deref().unwrap_or_default()
    }

    /// When; `None` if that is not told, or not as a time.
    pub fn timestamp(&self) -> Option<SystemTime> {
        time(self.head.timestamp.as_deref()?)
    }

    /// All that is told of it, as JSON.
    pub fn json(&self) -> &str {
        self.json.get()
    }
}

/// With an offset, or else in UTC.
fn time(text: &str) -> Option<SystemTime> {
    let utc = || {
        let civil: DateTime = text.parse().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let time: jiff::Timestamp = text.parse().ok().or_else(utc)?;
    Some(SystemTime::from(time))
}

/// Where an instance can be watched and steered: what a service answers when one is started, to be handed to
/// whoever shall do that with [`Client::follow`](super::Client::follow).
///
/// Links are capabilities: whoever has one can do what it is for. `Debug` does not show them.
///
/// ```
/// use durable_http::client::Links;
///
/// let links: Links = serde_json::from_str(
///     r#"{"id": "order-42", "statusQueryGetUri": "https://api.test/instances/order-42?code=dl1.x"}"#,
/// )?;
/// assert_eq!(links.id(), "order-42");
/// assert!(!format!("{links:?}").contains("dl1."));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Links {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status_query_get_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) send_event_post_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) terminate_post_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) purge_history_delete_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) restart_post_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) suspend_post_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resume_post_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rewind_post_uri: Option<String>,
}

impl Links {
    /// The id of the instance.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// How many instances were purged.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Purged {
    pub(super) instances_deleted: u64,
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn status(json: &str) -> Status {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn whatever_a_service_leaves_out_or_adds_is_no_error() {
        let least = status(r#"{"runtimeStatus": "Running"}"#);
        assert_eq!((least.name(), least.instance_id()), ("", ""));
        assert_eq!(least.created_at(), None);
        assert_eq!(least.output::<u32>().expect("none"), None);
        assert!(least.history().is_none());

        let nulls = status(
            r#"{"name": null, "instanceId": null, "runtimeStatus": "Completed", "input": null,
                "customStatus": null, "output": null, "createdTime": null, "lastUpdatedTime": "soon",
                "historyEvents": null, "new": {"field": 1}}"#,
        );
        assert_eq!((nulls.input_json(), nulls.output_json()), (None, None));
        assert_eq!(nulls.last_updated_at(), None);

        let full = status(
            r#"{"name": "fulfil", "instanceId": "a", "runtimeStatus": "Completed", "input": {"a": 1},
                "output": [1.50], "customStatus": "x", "createdTime": "2026-11-21T08:41:23Z",
                "lastUpdatedTime": "2026-11-21T09:41:23.5+01:00",
                "historyEvents": [{"EventType": "TaskCompleted", "Timestamp": "2026-11-21T08:41:23.25Z", "Result": 1}, 7]}"#,
        );
        assert_eq!((full.name(), full.instance_id()), ("fulfil", "a"));
        assert_eq!(full.output_json(), Some("[1.50]"));
        assert_eq!(
            full.custom_status::<String>().expect("a text").as_deref(),
            Some("x")
        );
        assert!(full.input::<u32>().is_err());
        let time = UNIX_EPOCH + Duration::from_secs(1_795_250_483);
        assert_eq!(full.created_at(), Some(time));
        assert_eq!(
            full.last_updated_at(),
            Some(time + Duration::from_millis(500))
        );
        let history = full.history().expect("a history");
        assert_eq!(history[0].event_type(), "TaskCompleted");
        assert_eq!(
            history[0].timestamp(),
            Some(time + Duration::from_millis(250))
        );
        assert!(history[0].json().contains("\"Result\": 1"));
        assert_eq!((history[1].event_type(), history[1].json()), ("", "7"));
    }

    #[test]
    fn a_status_of_another_age_is_unknown() {
        for name in RuntimeStatus::KNOWN.map(|(name, _)| name) {
            assert_eq!(RuntimeStatus::parse(name).to_string(), name);
        }
        let unknown = status(r#"{"runtimeStatus": "Hibernating"}"#);
        let unknown = unknown.runtime_status();
        assert_eq!(unknown, &RuntimeStatus::Unknown("Hibernating".to_owned()));
        assert!(!unknown.is_terminal() && unknown.as_str() == "Hibernating");
        for json in ["{}", "{\"runtimeStatus\": 1}", "[]", "null", "\"Running\""] {
            assert!(serde_json::from_str::<Status>(json).is_err(), "{json}");
        }
    }
}
