//! What an activity can have as an argument besides its input.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::activity::context::ActivityContext;
use crate::payload::Wire;

/// The values given to the worker with `.state(..)`, by type.
#[derive(Clone, Default)]
pub(crate) struct States(Arc<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl States {
    #[must_use]
    pub(crate) fn with<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        Arc::make_mut(&mut self.0).insert(TypeId::of::<T>(), Arc::new(state));
        self
    }

    pub(crate) fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }

    pub(crate) fn has(&self, state: TypeId) -> bool {
        self.0.contains_key(&state)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "States({})", self.0.len())
    }
}

/// An argument of an activity that is not part of its input.
///
/// Implement it for a type of your own, say a transaction taken from a pool, and mark the argument
/// with `#[extract]`.
///
/// ```
/// use durable_core::{ActivityContext, FromActivity, Rejection, Requirements, State};
///
/// #[derive(Clone)]
/// struct Pool;
/// struct Connection(Pool);
///
/// impl FromActivity for Connection {
///     fn from_activity(ctx: &ActivityContext) -> Result<Self, Rejection> {
///         let State(pool) = State::<Pool>::from_activity(ctx)?;
///         Ok(Self(pool))
///     }
///
///     fn require(requirements: &mut Requirements) {
///         requirements.state::<Pool>();
///     }
/// }
///
/// let ctx = ActivityContext::for_test().with_state(Pool);
/// assert!(Connection::from_activity(&ctx).is_ok());
/// assert!(Connection::from_activity(&ActivityContext::for_test()).is_err());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken from an activity's context",
    note = "implement `FromActivity` for it, or mark the argument with `#[input]` if it is part of the activity's input"
)]
pub trait FromActivity: Sized + Send {
    /// Takes the value for one attempt.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] is a failed attempt: the activity's body does not run, its retry policy
    /// decides what follows.
    fn from_activity(ctx: &ActivityContext) -> Result<Self, Rejection>;

    /// Names the state it needs, so that building a worker without it is refused.
    fn require(requirements: &mut Requirements) {
        let _ = requirements;
    }
}

/// Why an argument could not be taken from an activity's context.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    message: String,
}

impl Rejection {
    /// A rejection with a message for whoever reads the instance's failure.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// Collects the state that an activity needs; see [`FromActivity::require`].
#[derive(Debug, Default)]
pub struct Requirements(Vec<(TypeId, &'static str)>);

impl Requirements {
    /// This activity needs a state of type `T`.
    pub fn state<T: 'static>(&mut self) {
        self.0.push((TypeId::of::<T>(), type_name::<T>()));
    }

    /// The names of the types that `states` lacks.
    pub(crate) fn missing_from(&self, states: &States) -> Vec<&'static str> {
        self.0
            .iter()
            .filter(|(state, _)| !states.has(*state))
            .map(|(_, name)| *name)
            .collect()
    }
}

/// A value that was given to the worker with `.state(..)`: a connection pool, a client, settings.
///
/// As in axum: the type decides which value it is, and every attempt gets a clone.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<T>(pub T);

impl<T: Clone + Send + Sync + 'static> FromActivity for State<T> {
    fn from_activity(ctx: &ActivityContext) -> Result<Self, Rejection> {
        ctx.states().get().map(Self).ok_or_else(|| {
            Rejection::new(format!(
                "no state of type `{}` was given to the worker",
                type_name::<T>()
            ))
        })
    }

    fn require(requirements: &mut Requirements) {
        requirements.state::<T>();
    }
}

/// What the attempt before has left with [`Poll::again`](crate::Poll::again), `None` for the first.
///
/// State of another shape than `S`, say of an older version of the code, is a failed attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resumed<S>(pub Option<S>);

impl<S: Wire> FromActivity for Resumed<S> {
    fn from_activity(ctx: &ActivityContext) -> Result<Self, Rejection> {
        ctx.resumed().map(Self)
    }
}

impl FromActivity for ActivityContext {
    fn from_activity(ctx: &ActivityContext) -> Result<Self, Rejection> {
        Ok(ctx.clone())
    }
}

impl FromActivity for CancellationToken {
    fn from_activity(ctx: &ActivityContext) -> Result<Self, Rejection> {
        Ok(ctx.cancellation_token().clone())
    }
}
