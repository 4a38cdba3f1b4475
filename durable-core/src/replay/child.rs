//! What an orchestrator has to do with others: children, events for them, and itself anew.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::FusedFuture;
use uuid::Uuid;

use super::call::{Call, Request, Started, is_outside, outside, retry_if};
use super::state::{Identity, Key, Kind, Outcome, RetryIf, with_state};
use crate::failure::{FailureDetails, FailureKind, SubOrchestrationError};
use crate::history::{Action, ChildOptions, tags_fit};
use crate::id::{CallId, InstanceId, InvalidInstanceId};
use crate::orchestrator::Orchestrator;
use crate::payload::{Payload, Wire};
use crate::retry::RetryPolicy;

/// A call of another orchestrator: a future that ends with what that returned.
///
/// Made by
/// [`OrchestrationContext::call_sub_orchestrator`](super::OrchestrationContext::call_sub_orchestrator).
#[must_use = "a call does nothing until it is awaited (or `.start()`ed, or `.detach()`ed)"]
pub struct SubOrchestrationCall<T, E> {
    call: Call<ChildRequest>,
    result: PhantomData<fn() -> (T, E)>,
}

pub(super) struct ChildRequest {
    id: Result<InstanceId, InvalidInstanceId>,
    name: Cow<'static, str>,
    version: Cow<'static, str>,
    input: Payload,
    options: ChildOptions,
    retry_if: Option<RetryIf>,
}

impl Request for ChildRequest {
    fn begin(self, call: CallId) -> Result<(Kind, Action), FailureDetails> {
        let Self {
            id,
            name,
            version,
            input,
            options,
            retry_if,
        } = self;
        let id = id.map_err(|error| invalid_id(&error))?;
        if !tags_fit(&options.tags) {
            let text = "tags have names, and 1000 bytes in all";
            let failure = FailureDetails::new(FailureKind::Input, "durable_core", text);
            return Err(failure.not_retryable());
        }
        let action = Action::StartChild {
            call,
            id,
            name,
            version,
            input,
            options,
        };
        Ok((Kind::Child(retry_if), action))
    }
}

pub(super) fn invalid_id(error: &InvalidInstanceId) -> FailureDetails {
    let name = "durable_core::InvalidInstanceId";
    FailureDetails::new(FailureKind::Input, name, error.to_string()).not_retryable()
}

/// The id of a child that was given none: the same in every replay, and no other's.
fn id_of_child(identity: &Identity, call: CallId) -> InstanceId {
    /// The namespace of these ids; the value is arbitrary and fixed for ever.
    const NAMESPACE: Uuid = Uuid::from_u128(0x1b9d_52f7_5c0a_4f1e_8a2d_94c6_07e3_b5a8);
    let Identity {
        hub,
        number,
        execution,
        ..
    } = identity;
    let seed = format!("{hub:x}\0{}\0{execution}\0{}", number.0, call.0);
    InstanceId::from(Uuid::new_v5(&NAMESPACE, seed.as_bytes()))
}

impl<T: Wire, E: Wire> SubOrchestrationCall<T, E> {
    pub(super) fn new(
        key: Key,
        name: Cow<'static, str>,
        version: Cow<'static, str>,
        input: Result<Payload, serde_json::Error>,
        location: &'static Location<'static>,
    ) -> Self {
        let identity = with_state(key, |state| state.identity.clone());
        let request = |call, _| {
            let (Ok(input), Some(identity)) = (&input, identity) else {
                return Err(input.as_ref().err().map_or_else(
                    || outside(location),
                    |error| FailureDetails::serialization("input", error),
                ));
            };
            Ok(ChildRequest {
                id: Ok(id_of_child(&identity, call)),
                name,
                version,
                input: input.clone(),
                options: ChildOptions::default(),
                retry_if: None,
            })
        };
        Self {
            call: Call::new(key, location, request),
            result: PhantomData,
        }
    }

    /// The child's instance id. Default: one made from this instance, execution and call.
    ///
    /// If there is an instance of this id, the call fails with
    /// [`SubOrchestrationError::AlreadyExists`]. With a retry policy, the second attempt has this id
    /// followed by `:2`, and so on.
    pub fn id(self, id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>) -> Self {
        let id = id.try_into().map_err(Into::into);
        self.with(|request| {
            request.id = id;
            request.options.named = true;
        })
    }

    /// The version of the orchestrator. Default: that of the type that was called.
    pub fn version(self, version: impl Into<Cow<'static, str>>) -> Self {
        self.with(|request| request.version = version.into())
    }

    /// Gives the child a tag; of one name the last one holds. As with
    /// [`StartOrchestration::tag`](crate::StartOrchestration::tag) they may have 1,000 bytes in all.
    pub fn tag(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.with(|request| drop(request.options.tags.insert(name, value)))
    }

    /// Begins a child that has failed again, as another instance, as `policy` says. Attempts and
    /// delays survive a restart.
    ///
    /// Default: the first failure is the caller's.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.with(|request| request.options.retry = Some(policy))
    }

    /// Begins it again after an error of its own only if `retryable` says so; without a
    /// [retry policy](Self::retry) it is never asked. Other failures (a panic, a termination, an error
    /// that is not of the shape `E`) are retried as the policy says.
    ///
    /// It is part of the orchestrator's code: after a restart the code as it is then is asked. It
    /// must decide by the error alone, without the orchestrator's context; if it panics, the error is
    /// not retried.
    ///
    /// ```
    /// # use durable_core::{OrchestrationContext, RetryPolicy, SubOrchestrationError, orchestrator};
    /// # use serde::{Deserialize, Serialize};
    /// # use std::time::Duration;
    /// #[derive(Debug, Serialize, Deserialize)]
    /// enum ShipError {
    ///     NoSuchAddress,
    ///     NobodyAtHome,
    /// }
    ///
    /// #[orchestrator]
    /// async fn ship(ctx: OrchestrationContext, parcel: u32) -> Result<(), ShipError> {
    ///     if parcel == 0 { Err(ShipError::NoSuchAddress) } else { Err(ShipError::NobodyAtHome) }
    /// }
    ///
    /// #[orchestrator]
    /// async fn deliver(ctx: OrchestrationContext, parcel: u32) -> Result<(), SubOrchestrationError<ShipError>> {
    ///     ctx.call_sub_orchestrator::<ship>(parcel)
    ///         .retry(RetryPolicy::fixed(3, Duration::from_secs(24 * 3_600)))
    ///         .retry_if(|error| matches!(error, ShipError::NobodyAtHome))
    ///         .await
    /// }
    /// ```
    pub fn retry_if(self, retryable: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.with(|request| {
            request.options.retry_if = true;
            request.retry_if = Some(retry_if(retryable));
        })
    }

    fn with(mut self, change: impl FnOnce(&mut ChildRequest)) -> Self {
        if let Some(request) = self.call.request_mut() {
            change(request);
        }
        self
    }

    /// Starts the child now, without waiting for it.
    pub fn start(mut self) -> Started<Self> {
        self.call.begin();
        Started::new(self)
    }

    /// Starts an instance of its own, that nobody waits for and that goes on when this one ends:
    /// fire and forget. It is no child. Returns its id.
    ///
    /// # Errors
    ///
    /// If the input cannot be written as JSON, the id breaks a rule, or this is not the
    /// orchestrator that the call was made in. That there is an instance of the id already is not
    /// told: then nothing is started.
    pub fn detach(mut self) -> Result<InstanceId, SubOrchestrationError<E>> {
        let refused = |details| {
            if is_outside(&details) {
                SubOrchestrationError::OutsideOrchestrator(details)
            } else {
                SubOrchestrationError::from_details(details)
            }
        };
        let id = match self.call.request_mut() {
            Some(request) => {
                request.options.detached = true;
                request.id.clone().map_err(|error| invalid_id(&error))
            }
            None => Err(self.call.refusal()),
        };
        let id = id.map_err(refused)?;
        self.call.send().map_err(refused)?;
        Ok(id)
    }
}

impl<T: Wire, E: Wire> Future for SubOrchestrationCall<T, E> {
    type Output = Result<T, SubOrchestrationError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let location = self.call.location();
        self.call.poll(cx).map(|outcome| match outcome {
            Ok(Outcome::Child(Ok(output))) => output.decode().map_err(|error| {
                SubOrchestrationError::Data(FailureDetails::serialization("output", &error))
            }),
            Ok(Outcome::Child(Err(failure))) => Err(SubOrchestrationError::from_details(failure)),
            Ok(Outcome::Timer | Outcome::Event(_) | Outcome::Activity(_)) => Err(
                SubOrchestrationError::OutsideOrchestrator(outside(location)),
            ),
            Err(refused) if is_outside(&refused) => {
                Err(SubOrchestrationError::OutsideOrchestrator(refused))
            }
            Err(refused) => Err(SubOrchestrationError::from_details(refused)),
        })
    }
}

impl<T: Wire, E: Wire> FusedFuture for SubOrchestrationCall<T, E> {
    fn is_terminated(&self) -> bool {
        self.call.is_terminated()
    }
}

impl<T, E> fmt::Debug for SubOrchestrationCall<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubOrchestrationCall({})", self.call.id())
    }
}

/// The end of an execution and the beginning of the next: a future that never ends.
///
/// Made by
/// [`OrchestrationContext::continue_as_new`](super::OrchestrationContext::continue_as_new).
#[must_use = "nothing happens until it is awaited"]
pub struct ContinueAsNew<T> {
    key: Key,
    location: &'static Location<'static>,
    action: Option<Action>,
    never: PhantomData<fn() -> T>,
}

impl<T> ContinueAsNew<T> {
    /// `O` as the next execution.
    pub(super) fn new<O: Orchestrator>(
        key: Key,
        input: Result<Payload, serde_json::Error>,
        location: &'static Location<'static>,
    ) -> Self {
        let name = with_state(key, |state| state.identity.name.clone());
        let action = match input {
            Err(error) => Action::Fail {
                failure: FailureDetails::serialization("input", &error),
            },
            Ok(_) if name.as_deref().is_some_and(|name| name != O::NAME) => Action::Fail {
                failure: FailureDetails::new(
                    FailureKind::Input,
                    "durable_core::ContinueAsNew",
                    format!(
                        "`{}` cannot continue as `{}`: another version of itself it can",
                        name.unwrap_or_default(),
                        O::NAME
                    ),
                )
                .not_retryable(),
            },
            Ok(input) => Action::ContinueAsNew {
                version: O::VERSION.into(),
                input,
                keep_events: true,
            },
        };
        Self {
            key,
            location,
            action: Some(action),
            never: PhantomData,
        }
    }

    /// Whether events that were raised and not taken are there for the next execution, in their
    /// order. Default: yes. What is raised later always is.
    pub fn preserve_events(mut self, preserve: bool) -> Self {
        if let Some(Action::ContinueAsNew { keep_events, .. }) = &mut self.action {
            *keep_events = preserve;
        }
        self
    }
}

impl<T> Future for ContinueAsNew<T> {
    type Output = T;

    /// # Panics
    ///
    /// Outside the orchestrator it was made in.
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        let (key, location) = (self.key, self.location);
        if let Some(action) = self.action.take() {
            let continued = with_state(key, |state| state.continue_with(action, Some(location)));
            assert!(
                continued.is_some(),
                "the `continue_as_new` of {location} was awaited outside its orchestrator"
            );
        }
        Poll::Pending
    }
}

impl<T> fmt::Debug for ContinueAsNew<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContinueAsNew")
    }
}
