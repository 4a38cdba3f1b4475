//! The routing table.

use std::borrow::Cow;

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
    Describe,
    Events { id: String },
    Rewind { id: String },
    Restart { id: String },
    Retry { id: String },
}

impl Route {
    /// The routing table. What is not in it, a wrong method included, is 404.
    pub(super) fn find(method: &Method, segments: &[Cow<'_, str>]) -> Option<Self> {
        let lower: Vec<Cow<'_, str>> = segments.iter().map(|text| lower(text)).collect();
        let words: Vec<&str> = lower.iter().map(Cow::as_ref).collect();
        let segment = |at: usize| segments[at].clone().into_owned();
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
            ("GET", ["instances", _, "events"]) => Self::Events { id: segment(1) },
            ("GET" | "HEAD", ["openapi.json"]) => Self::Describe,
            ("POST", ["instances", _, "suspend"]) => Self::Suspend { id: segment(1) },
            ("POST", ["instances", _, "resume"]) => Self::Resume { id: segment(1) },
            ("POST", ["instances", _, "rewind"]) => Self::Rewind { id: segment(1) },
            ("POST", ["instances", _, "restart"]) => Self::Restart { id: segment(1) },
            ("POST", ["instances", _, "retry"]) => Self::Retry { id: segment(1) },
            // Not served yet: all of entities.
            _ => return None,
        })
    }

    pub(super) fn action(&self) -> Action {
        match self {
            Self::Start { .. } => Action::Start,
            Self::Status { .. } | Self::Events { .. } => Action::Status,
            Self::Raise { .. } => Action::Raise,
            Self::Terminate { .. } => Action::Terminate,
            Self::Suspend { .. } => Action::Suspend,
            Self::Resume { .. } => Action::Resume,
            Self::Rewind { .. } => Action::Rewind,
            Self::Restart { .. } => Action::Restart,
            Self::Retry { .. } => Action::Retry,
            Self::List => Action::List,
            Self::Purge { .. } | Self::PurgeAll => Action::Purge,
            Self::Describe => Action::Describe,
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
            | Self::Purge { id }
            | Self::Events { id }
            | Self::Rewind { id }
            | Self::Restart { id }
            | Self::Retry { id } => Some(id),
            Self::List | Self::PurgeAll | Self::Describe => None,
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
            | Self::PurgeAll
            | Self::Describe
            | Self::Events { .. }
            | Self::Rewind { .. }
            | Self::Restart { .. }
            | Self::Retry { .. } => None,
        }
    }
}

/// As the words of a path are compared.
fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// A new one does not compile until it is here.
    fn number(route: &Route) -> u8 {
        match route {
            Route::Start { id: None, .. } => 0,
            Route::Start { id: Some(_), .. } => 1,
            Route::Status { .. } => 2,
            Route::Raise { .. } => 3,
            Route::Terminate { .. } => 4,
            Route::Suspend { .. } => 5,
            Route::Resume { .. } => 6,
            Route::List => 7,
            Route::Purge { .. } => 8,
            Route::PurgeAll => 9,
            Route::Describe => 10,
            Route::Events { .. } => 11,
            Route::Rewind { .. } => 12,
            Route::Restart { .. } => 13,
            Route::Retry { .. } => 14,
        }
    }
    const ROUTES: u8 = 15;

    /// Every route is described, and what is described is a route.
    #[test]
    fn the_description_is_that_of_the_table() {
        let document: Value = serde_json::from_str(super::super::describe::DOCUMENT).expect("JSON");
        let mut described = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().expect("paths") {
            let segments: Vec<_> = path.split('/').skip(1).map(Cow::Borrowed).collect();
            for method in ["get", "post", "put", "patch", "delete", "options"] {
                let named = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
                let route = Route::find(&named, &segments);
                let is_described = operations.get(method).is_some();
                assert_eq!(route.is_some(), is_described, "{method} {path}");
                described.extend(route.as_ref().map(number));
            }
            check_parameters(&document, path, operations);
        }
        assert!(described.into_iter().eq(0..ROUTES));
    }

    /// What stands in a path is a parameter of each of its operations, and every reference leads
    /// somewhere.
    fn check_parameters(document: &Value, path: &str, operations: &Value) {
        for (method, operation) in operations.as_object().expect("operations") {
            let parameters = operation["parameters"].as_array();
            let named = parameters.into_iter().flatten().map(|parameter| {
                let parameter = match parameter["$ref"].as_str() {
                    Some(to) => document.pointer(&to[1..]).expect(to),
                    None => parameter,
                };
                (parameter["in"] == "path")
                    .then(|| format!("{{{}}}", parameter["name"].as_str().expect("a name")))
            });
            let named: BTreeSet<_> = named.flatten().collect();
            let segments = path.split('/').map(str::to_owned);
            let in_path: BTreeSet<_> = segments.filter(|name| name.starts_with('{')).collect();
            assert_eq!(in_path, named, "{method} {path}");
        }
        let mut rest = vec![operations];
        while let Some(value) = rest.pop() {
            if let Some(to) = value.get("$ref").and_then(Value::as_str) {
                assert!(document.pointer(&to[1..]).is_some(), "{to}");
            }
            rest.extend(
                value
                    .as_object()
                    .into_iter()
                    .flat_map(|object| object.values()),
            );
            rest.extend(value.as_array().into_iter().flatten());
        }
    }
}
