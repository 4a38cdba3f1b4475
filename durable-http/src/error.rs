//! What is answered when something is not done.

use std::time::Duration;

use durable_core::{
    HubError, InstanceError, PurgeError, QueryError, RewindError, StartError, StoreError,
};
use http::{Response, StatusCode};
use uuid::Uuid;

use crate::models::ErrorBody;
use crate::response::{ResponseBody, empty, json};

/// Why a request is not answered with what it asks for. Nothing of the inside is in it, except in
/// the cause of the last two, which is logged and not sent.
#[derive(Debug)]
pub(crate) enum ApiError {
    Unauthorized(&'static str),
    Forbidden(&'static str),
    NotFound,
    /// As before, where the original says so.
    NoInstance,
    Gone,
    BadRequest(String),
    /// As before, where the original answers with a text alone.
    BadParameter(&'static str),
    Conflict(String),
    /// The instance is not as it must be for this.
    NotAsNeeded(String),
    BodyTooLarge {
        limit: usize,
    },
    BodyTooSlow,
    BodyEncoded,
    /// The instance has as many events waiting as it may have.
    TooManyWaiting,
    /// What was being read is no more: there is something else now.
    Superseded,
    /// The hub does not keep up.
    Overloaded {
        retry_after: Duration,
    },
    /// Later, or elsewhere, it may be.
    Unavailable {
        cause: String,
        message: &'static str,
    },
    Internal(String),
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoInstance => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::BadRequest(_) | Self::BadParameter(_) => StatusCode::BAD_REQUEST,
            Self::NotAsNeeded(_) => StatusCode::PRECONDITION_FAILED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyEncoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyWaiting => StatusCode::TOO_MANY_REQUESTS,
            Self::Superseded | Self::Overloaded { .. } | Self::Unavailable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// When to try again, if that may help; `usual` unless the hub itself has said when.
    pub(crate) fn retry_after(&self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after } => Some(*retry_after),
            Self::Superseded => Some(Duration::from_secs(1)),
            Self::Unavailable { .. } | Self::TooManyWaiting => Some(usual),
            Self::Unauthorized(_)
            | Self::Forbidden(_)
            | Self::NotFound
            | Self::NoInstance
            | Self::Gone
            | Self::BadRequest(_)
            | Self::BadParameter(_)
            | Self::NotAsNeeded(_)
            | Self::Conflict(_)
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow
            | Self::BodyEncoded
            | Self::Internal(_) => None,
        }
    }

    pub(crate) fn into_response(self) -> Response<ResponseBody> {
        let status = self.status();
        let body = match self {
            Self::NotFound | Self::Gone => return empty(status),
            Self::NoInstance => return json(status, "there is no such instance"),
            Self::BadParameter(message) => return json(status, message),
            Self::NotAsNeeded(message) => return json(status, &message),
            Self::Unauthorized(message) | Self::Forbidden(message) => ErrorBody::plain(message),
            Self::Conflict(message) => ErrorBody::plain(message),
            Self::BadRequest(message) => ErrorBody::argument(message),
            Self::BodyTooLarge { limit } => {
                ErrorBody::plain(format!("the body has more than {limit} bytes"))
            }
            Self::BodyTooSlow => ErrorBody::plain("the body took too long"),
            Self::BodyEncoded => ErrorBody::plain("the body must not be compressed"),
            Self::TooManyWaiting => {
                ErrorBody::plain("too many events wait for this instance, which does not go on")
            }
            Self::Superseded => incident(
                "the instance continues as new faster than its history is read",
                "the history changes too fast",
            ),
            Self::Overloaded { .. } => {
                incident("the hub does not keep up", "the service has too much to do")
            }
            Self::Unavailable { cause, message } => incident(&cause, message),
            Self::Internal(cause) => incident(&cause, "something went wrong"),
        };
        json(status, &body)
    }
}

/// Logs what went wrong, and says where in the log to look.
fn incident(cause: &str, message: &'static str) -> ErrorBody {
    let id = Uuid::now_v7();
    tracing::error!(correlation_id = %id, cause, "a request could not be answered");
    ErrorBody::incident(message, id.to_string())
}

fn no_room(error: &dyn std::error::Error) -> ApiError {
    ApiError::Unavailable {
        cause: error.to_string(),
        message: "there is no room for more at the moment",
    }
}

impl From<HubError> for ApiError {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Overloaded { retry_after } => Self::Overloaded { retry_after },
            HubError::Closed => Self::Unavailable {
                cause: error.to_string(),
                message: "the service is shutting down",
            },
            HubError::Store(StoreError::Fatal { .. }) => Self::Unavailable {
                cause: error.to_string(),
                message: "the service is not available",
            },
            // Damage of one instance: the others are served.
            HubError::Store(_) | _ => Self::Internal(error.to_string()),
        }
    }
}

impl From<StartError> for ApiError {
    fn from(error: StartError) -> Self {
        match error {
            // The error's own text tells a Rust program what it can do.
            StartError::AlreadyExists { id, status } => {
                Self::Conflict(format!("instance {id} exists and is {status}"))
            }
            // And this one's names everything that is registered.
            StartError::NotRegistered { name, .. } => {
                Self::BadRequest(format!("there is no orchestrator `{name}`"))
            }
            StartError::TooManyWaiting { .. } => Self::TooManyWaiting,
            StartError::TooLarge { limit, .. } => Self::BodyTooLarge { limit },
            StartError::LowOnSpace { .. } => no_room(&error),
            StartError::Hub(error) => error.into(),
            error @ (StartError::InvalidId(_) | StartError::Input { .. } | _) => {
                Self::BadRequest(error.to_string())
            }
        }
    }
}

impl From<InstanceError> for ApiError {
    fn from(error: InstanceError) -> Self {
        match error {
            InstanceError::InvalidId(_) | InstanceError::NotFound { .. } => Self::NotFound,
            InstanceError::Ended { .. } => Self::Gone,
            InstanceError::TooLarge { limit, .. } => Self::BodyTooLarge { limit },
            InstanceError::LowOnSpace { .. } => no_room(&error),
            InstanceError::TooManyWaiting { .. } => Self::TooManyWaiting,
            InstanceError::Hub(error) => error.into(),
            error @ (InstanceError::Data { .. } | _) => Self::BadRequest(error.to_string()),
        }
    }
}

impl From<PurgeError> for ApiError {
    fn from(error: PurgeError) -> Self {
        match error {
            PurgeError::NotEnded { .. } => Self::NotAsNeeded(error.to_string()),
            PurgeError::Hub(error) => error.into(),
            PurgeError::InvalidId(_) | PurgeError::NotFound { .. } | _ => Self::NotFound,
        }
    }
}

impl From<RewindError> for ApiError {
    fn from(error: RewindError) -> Self {
        match error {
            RewindError::NotFailed { .. } => Self::NotAsNeeded(error.to_string()),
            RewindError::Hub(error) => error.into(),
            RewindError::InvalidId(_) | RewindError::NotFound { .. } | _ => Self::NotFound,
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Hub(error) => error.into(),
            QueryError::InvalidToken | QueryError::InvalidPageSize { .. } | _ => {
                Self::BadRequest(error.to_string())
            }
        }
    }
}
