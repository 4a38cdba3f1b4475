//! The names of things: instances, executions, events.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The id of an orchestration instance: 1 to 256 bytes of UTF-8, compared byte for byte.
///
/// Control characters are refused, as are `.` and `..` (they cannot be a path segment of a URL) and
/// a leading `@` (reserved for entities, as in Durable Functions). Nothing is normalised: an `é`
/// written as one character and one written as two are different ids.
///
/// ```
/// use durable_core::InstanceId;
///
/// let id = InstanceId::new("order-42")?;
/// assert_eq!(id.as_str(), "order-42");
/// assert!(InstanceId::new("").is_err());
/// assert!(InstanceId::new("@counter@1").is_err());
/// # Ok::<(), durable_core::InvalidInstanceId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(Arc<str>);

impl InstanceId {
    /// The most bytes an id may have.
    pub const MAX_LEN: usize = 256;

    /// Checks and takes an id.
    ///
    /// # Errors
    ///
    /// [`InvalidInstanceId`] says which rule the id breaks.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidInstanceId> {
        let id = id.into();
        let refuse = |reason| Err(InvalidInstanceId { reason });
        if id.is_empty() {
            return refuse("it is empty");
        }
        if id.len() > Self::MAX_LEN {
            return refuse("it is longer than 256 bytes");
        }
        if id.chars().any(char::is_control) {
            return refuse("it has a control character");
        }
        if id == "." || id == ".." {
            return refuse("`.` and `..` cannot be part of a URL's path");
        }
        if id.starts_with('@') {
            return refuse("a leading `@` is reserved for entities");
        }
        Ok(Self(id.into()))
    }

    /// A new id that no other instance has: a version 7 UUID as 32 hexadecimal digits.
    pub(crate) fn generate() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string().into())
    }

    /// An id of the same shape, of a number that no other was made of.
    #[cfg(feature = "testing")]
    pub(crate) fn of_random(number: u128) -> Self {
        let uuid = uuid::Builder::from_random_bytes(number.to_be_bytes()).into_uuid();
        Self(uuid.simple().to_string().into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for InstanceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<uuid::Uuid> for InstanceId {
    fn from(uuid: uuid::Uuid) -> Self {
        Self(uuid.simple().to_string().into())
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InvalidInstanceId;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

impl TryFrom<&str> for InstanceId {
    type Error = InvalidInstanceId;

    fn try_from(id: &str) -> Result<Self, Self::Error> {
        Self::new(id)
    }
}

impl TryFrom<&String> for InstanceId {
    type Error = InvalidInstanceId;

    fn try_from(id: &String) -> Result<Self, Self::Error> {
        Self::new(id.as_str())
    }
}

impl TryFrom<&InstanceId> for InstanceId {
    type Error = InvalidInstanceId;

    fn try_from(id: &InstanceId) -> Result<Self, Self::Error> {
        Ok(id.clone())
    }
}

impl From<std::convert::Infallible> for InvalidInstanceId {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// An instance id that breaks a rule; see [`InstanceId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an instance id: {reason}")]
pub struct InvalidInstanceId {
    reason: &'static str,
}

/// The number the store gives an instance when it is created; never used again.
///
/// It stands for one *incarnation*: an id that is used again after a purge or a replacement gets a
/// new number, so nothing meant for the old one can reach the new one. The upper 16 bits name the
/// shard, the lower 48 count within it, so numbers of one shard rise in creation order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct InstanceNumber(pub(crate) u64);

/// A generation of an instance: 0 at the start, one more at each continue-as-new.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ExecutionId(pub(crate) u32);

impl ExecutionId {
    /// The generation as a number, counted from 0.
    pub fn generation(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The longest name of an orchestrator or an event, and the longest version, in bytes.
pub(crate) const MAX_NAME: usize = 256;

/// What a call of an orchestrator is known by within its execution: its place in the order in
/// which calls were made, from 0. At most 31 bits, as the durabletask protocol has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct CallId(pub(crate) u32);

/// A call of an activity, in the whole hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ActivityKey {
    pub(crate) number: InstanceNumber,
    pub(crate) execution: ExecutionId,
    pub(crate) call: CallId,
}

impl CallId {
    pub(crate) const MAX: u32 = i32::MAX as u32;
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The name of an external event. Names are compared without case, so the folded form is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct EventName(pub(crate) Arc<str>);

impl EventName {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.to_lowercase().into())
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_awkward_but_allowed_are_taken_as_they_are() {
        for id in [
            "a",
            "order/42",
            "a b",
            "%2F",
            "?x=1#y",
            "🦀",
            "e\u{301}",
            "...",
            "a@b",
            &"x".repeat(256),
        ] {
            assert_eq!(
                InstanceId::new(id).map(|id| id.as_str().to_owned()),
                Ok(id.to_owned())
            );
        }
    }

    #[test]
    fn ids_that_break_a_rule_are_refused_with_the_rule() {
        for (id, part) in [
            ("", "empty"),
            (".", "URL"),
            ("..", "URL"),
            ("@e@1", "entities"),
            ("a\nb", "control"),
            ("a\0b", "control"),
            (&"x".repeat(257), "256"),
        ] {
            let error = InstanceId::new(id).expect_err(id).to_string();
            assert!(error.contains(part), "{id:?}: {error}");
        }
    }

    #[test]
    fn event_names_are_compared_without_case() {
        assert_eq!(EventName::new("Approval"), EventName::new("APPROVAL"));
    }
}
