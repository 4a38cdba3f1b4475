//! The routing table.

use http::Method;

use crate::auth::Action;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Start { name: String, id: Option<String> },
    Status { id: String },
    Raise { id: String, event: String },
    Terminate { id: String },
    Suspend { id: String },
    Resume { id: String },
    List,
    Purge { id: String },
    PurgeAll,
}

impl Route {
    /// The routing table. What is not in it, a wrong method included, is 404.
    pub(super) fn find(method: &Method, segments: &[String]) -> Option<Self> {
        let lower: Vec<String> = segments.iter().map(|text| text.to_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        let segment = |at: usize| segments[at].clone();
        Some(match (method.as_str(), words.as_slice()) {
            ("POST", ["orchestrators", _]) => Self::Start {
                name: segment(1),
                id: None,
            },
            ("POST", ["orchestrators", _, _]) => Self::Start {
                name: segment(1),
                id: Some(segment(2)),
            },
            ("GET" | "HEAD", ["instances", _]) => Self::Status { id: segment(1) },
            ("POST", ["instances", _, "raiseevent", _]) => Self::Raise {
                id: segment(1),
                event: segment(3),
            },
            ("POST", ["instances", _, "terminate"]) => Self::Terminate { id: segment(1) },
            ("GET" | "HEAD", ["instances"]) => Self::List,
            ("DELETE", ["instances", _]) => Self::Purge { id: segment(1) },
            ("DELETE", ["instances"]) => Self::PurgeAll,
            ("POST", ["instances", _, "suspend"]) => Self::Suspend { id: segment(1) },
            ("POST", ["instances", _, "resume"]) => Self::Resume { id: segment(1) },
            // Not served yet: POST instances/{id}/rewind and restart, and all of entities.
            _ => return None,
        })
    }

    pub(super) fn action(&self) -> Action {
        match self {
            Self::Start { .. } => Action::Start,
            Self::Status { .. } => Action::Status,
            Self::Raise { .. } => Action::Raise,
            Self::Terminate { .. } => Action::Terminate,
            Self::Suspend { .. } => Action::Suspend,
            Self::Resume { .. } => Action::Resume,
            Self::List => Action::List,
            Self::Purge { .. } | Self::PurgeAll => Action::Purge,
        }
    }

    pub(super) fn instance(&self) -> Option<&str> {
        match self {
            Self::Start { id, .. } => id.as_deref(),
            Self::Status { id }
            | Self::Raise { id, .. }
            | Self::Terminate { id }
            | Self::Suspend { id }
            | Self::Resume { id }
            | Self::Purge { id } => Some(id),
            Self::List | Self::PurgeAll => None,
        }
    }

    pub(super) fn orchestrator(&self) -> Option<&str> {
        match self {
            Self::Start { name, .. } => Some(name),
            Self::Status { .. }
            | Self::Raise { .. }
            | Self::Terminate { .. }
            | Self::Suspend { .. }
            | Self::Resume { .. }
            | Self::List
            | Self::Purge { .. }
            | Self::PurgeAll => None,
        }
    }
}
