//! The program's own word on who may do what.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;

use super::actions::Action;

/// What a hook says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It is not known who asks: 401.
    Unauthorized,
    /// Whoever asks may not: 403.
    Forbidden,
    /// Whoever asks is not to know whether there is such a thing: 404.
    NotFound,
}

/// What a hook is asked about: one action of one request.
///
/// A status request asks for [`Action::Status`] and then, for what it would show, for
/// [`Action::Input`], [`Action::Output`] and [`Action::History`]; what is refused then is left out.
#[derive(Clone, Debug)]
pub struct Access {
    pub(crate) parts: Parts,
    pub(crate) action: Action,
    pub(crate) instance: Option<String>,
    pub(crate) orchestrator: Option<String>,
}

impl Access {
    /// What is to be done.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The id of the instance it concerns, as the caller gives it; none for a start that leaves it
    /// to us, or a list.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// The name of the orchestrator that is to be started.
    pub fn orchestrator(&self) -> Option<&str> {
        self.orchestrator.as_deref()
    }

    /// The request's method, URI, headers and extensions; a layer before this service can leave a
    /// user in the extensions.
    pub fn request(&self) -> &Parts {
        &self.parts
    }
}

/// The hook as it is kept.
#[derive(Clone)]
pub(crate) struct Hook(Arc<dyn Fn(Access) -> Deciding + Send + Sync>);

type Deciding = Pin<Box<dyn Future<Output = Verdict> + Send>>;

impl Hook {
    pub(crate) fn new<F, V>(decide: F) -> Self
    where
        F: Fn(Access) -> V + Send + Sync + 'static,
        V: Future<Output = Verdict> + Send + 'static,
    {
        Self(Arc::new(move |access| Box::pin(decide(access))))
    }

    pub(super) fn ask(&self, access: Access) -> Deciding {
        (self.0)(access)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
