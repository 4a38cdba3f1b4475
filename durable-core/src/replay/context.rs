//! What an orchestrator can ask for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use uuid::Uuid;

use super::call::{ActivityCall, EventCall, TimerCall, too_many};
use super::child::{ContinueAsNew, SubOrchestrationCall, invalid_id};
use super::state::{Identity, InlineStep, Key, State, with_state};
use crate::activity::{Activity, ActivityFuture, Attempted};
use crate::failure::{FailureDetails, FailureKind};
use crate::history::Action;
use crate::id::{EventName, ExecutionId, InstanceId, InvalidInstanceId, MAX_NAME};
use crate::orchestrator::Orchestrator;
use crate::payload::{Payload, Wire};
use crate::time::Timestamp;

/// An orchestrator's handle on the world: everything it does that must survive goes through this.
///
/// It is a small `Copy` value, so it can be handed to helper functions and moved into async blocks
/// freely. A call does nothing until it is polled, as any Rust future: two `let`s and two `.await`s
/// run one after the other; use `join!` (or [`start`](ActivityCall::start)) to run them at once.
///
/// # Panics
///
/// It works only while the orchestrator it was given to is being polled. Used elsewhere (sent out
/// through a channel, kept in a static) its calls come back with an error, and the methods that
/// return plain values panic.
#[derive(Clone, Copy, Debug)]
pub struct OrchestrationContext {
    key: Key,
}

impl OrchestrationContext {
    pub(super) fn new(key: Key) -> Self {
        Self { key }
    }

    /// Calls an activity. The result is a future that schedules the activity when it is first
    /// polled and ends with what the activity returned.
    ///
    /// Dropping it after that cancels the activity: its token fires and its result is ignored.
    #[track_caller]
    pub fn call_activity<A: Activity>(self, input: A::Input) -> ActivityCall<A::Output, A::Error> {
        ActivityCall::new(
            self.key,
            A::NAME.into(),
            input.to_payload(),
            None,
            Location::caller(),
        )
    }

    /// Runs a small step that is written here, and records its result: for what is not worth an
    /// activity of its own, such as reading a setting once.
    ///
    /// The closure runs as an activity does: on the worker's runtime, at least once, perhaps
    /// several times (hence `Fn`), and not in a replay that finds its result recorded. It is known
    /// by `name`, so a replay notices when another step stands in its place.
    ///
    /// ```
    /// use durable_core::{ActivityError, NoError, OrchestrationContext, orchestrator};
    ///
    /// #[orchestrator]
    /// async fn lottery(ctx: OrchestrationContext) -> Result<usize, ActivityError<NoError>> {
    ///     ctx.run("count files", || async {
    ///         Ok::<_, NoError>(std::fs::read_dir(".").map_or(0, |files| files.count()))
    ///     })
    ///     .await
    /// }
    /// ```
    #[track_caller]
    pub fn run<T, E, F, Fut>(
        self,
        name: impl Into<Cow<'static, str>>,
        step: F,
    ) -> ActivityCall<T, E>
    where
        T: Wire,
        E: Wire,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let step = move || -> ActivityFuture {
            let step = step();
            Box::pin(async move {
                let output = step.await.map_err(|error| {
                    let name = std::any::type_name::<E>();
                    FailureDetails::of_value(name, error.to_payload(), None)
                })?;
                output
                    .to_payload()
                    .map(Attempted::Done)
                    .map_err(|error| FailureDetails::serialization("output", &error))
            })
        };
        let step: Option<InlineStep> = Some(Arc::new(step));
        ActivityCall::new(
            self.key,
            name.into(),
            Ok(Payload::NULL),
            step,
            Location::caller(),
        )
    }

    /// A timer that survives the process: it ends `delay` after now, never early.
    ///
    /// `delay` counts from this call, not from the first poll, as with `tokio::time::sleep`. A
    /// zero delay ends at once; the longest is some hundred thousand years. Dropping the timer
    /// withdraws it.
    #[track_caller]
    pub fn create_timer(self, delay: Duration) -> TimerCall {
        TimerCall::new(
            self.key,
            |now| now.deadline_after(delay),
            Location::caller(),
        )
    }

    /// A timer that ends at a given time, at once if that has passed.
    #[track_caller]
    pub fn create_timer_at(self, at: SystemTime) -> TimerCall {
        let due = Timestamp::from_system(at).deadline_after(Duration::from_nanos(1));
        TimerCall::new(self.key, |_| due, Location::caller())
    }

    /// Waits for an external event of this name and gives back its data.
    ///
    /// Names are compared without case. Events are kept from the moment they are raised, also
    /// before the wait begins, and handed out in the order of their arrival; among several waits
    /// for one name, the one that was made first gets the first. A wait that is dropped gives an
    /// event it has not returned yet back to its place.
    #[track_caller]
    pub fn wait_for_external_event<T: Wire>(self, name: &str) -> EventCall<T> {
        EventCall::new(self.key, EventName::new(name), Location::caller())
    }

    /// Calls another orchestrator as a child: an instance of its own, whose result comes back here.
    ///
    /// The child is started in the commit that records the call, and its result arrives exactly once.
    /// Dropping the call after its first poll terminates the child, and so does the end of this
    /// orchestrator while the child runs; [`detach`](SubOrchestrationCall::detach) starts one that
    /// has no parent.
    ///
    /// ```
    /// use durable_core::{NoError, OrchestrationContext, SubOrchestrationError, orchestrator};
    /// use futures_util::future::try_join_all;
    ///
    /// #[orchestrator]
    /// async fn ship(ctx: OrchestrationContext, parcel: u32) -> u32 {
    ///     parcel * 2
    /// }
    ///
    /// #[orchestrator]
    /// async fn ship_all(ctx: OrchestrationContext, parcels: Vec<u32>) -> Result<u32, SubOrchestrationError<NoError>> {
    ///     let calls = parcels.into_iter().map(|parcel| ctx.call_sub_orchestrator::<ship>(parcel));
    ///     Ok(try_join_all(calls).await?.into_iter().sum())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SubOrchestrationError`](crate::SubOrchestrationError), with the child's own error in it.
    #[track_caller]
    pub fn call_sub_orchestrator<O: Orchestrator>(
        self,
        input: O::Input,
    ) -> SubOrchestrationCall<O::Output, O::Error> {
        SubOrchestrationCall::new(
            self.key,
            O::NAME.into(),
            O::VERSION.into(),
            input.to_payload(),
            Location::caller(),
        )
    }

    /// Ends this execution and begins the next one of the same instance with a new input and an
    /// empty history: how an orchestration lives for ever. Nothing after the `.await` is run.
    ///
    /// `O` is this orchestrator, or another version of it, which the instance has from then on.
    /// What was begun and has not ended is cancelled, and events that were not taken are kept for
    /// the next execution.
    ///
    /// ```
    /// use durable_core::{NoError, OrchestrationContext, orchestrator};
    /// use std::time::Duration;
    ///
    /// #[orchestrator]
    /// async fn tick(ctx: OrchestrationContext, count: u64) -> u64 {
    ///     ctx.create_timer(Duration::from_secs(60)).await;
    ///     if count == 1_000 {
    ///         return count;
    ///     }
    ///     ctx.continue_as_new::<tick, _>(count + 1).await
    /// }
    /// ```
    #[track_caller]
    pub fn continue_as_new<O: Orchestrator, T>(self, input: O::Input) -> ContinueAsNew<T> {
        ContinueAsNew::new::<O>(self.key, input.to_payload(), Location::caller())
    }

    /// Raises an external event at another instance. It is sent with the commit of this turn and
    /// arrives exactly once; if there is no such instance, or it has ended by then, it is dropped.
    ///
    /// # Errors
    ///
    /// If the id or the name breaks a rule, or serde cannot write `data`.
    #[track_caller]
    pub fn raise_event<T: Serialize + ?Sized>(
        self,
        id: impl TryInto<InstanceId, Error: Into<InvalidInstanceId>>,
        name: &str,
        data: &T,
    ) -> Result<(), FailureDetails> {
        let location = Location::caller();
        let to = id.try_into().map_err(|error| invalid_id(&error.into()))?;
        let data =
            Payload::encode(data).map_err(|error| FailureDetails::serialization("data", &error))?;
        if name.is_empty() || name.len() > MAX_NAME {
            let text = format!("an event's name has 1 to {MAX_NAME} bytes");
            return Err(FailureDetails::new(
                FailureKind::Input,
                "durable_core",
                text,
            ));
        }
        let name = EventName::new(name);
        let sent = self.read(|state| {
            state.claim().map(|call| {
                let action = Action::SendEvent {
                    call,
                    to,
                    name,
                    data,
                };
                state.emit(action, Some(location));
            })
        });
        sent.ok_or_else(too_many)
    }

    /// The instance and execution whose child this is; `None` if it is nobody's.
    #[track_caller]
    pub fn parent(self) -> Option<ParentInstance> {
        let identity = self.read(|state| state.identity.clone());
        identity.parent.as_ref().map(|parent| ParentInstance {
            id: parent.instance.clone(),
            execution: parent.execution,
        })
    }

    /// The time of the current turn: the same in every replay, and never going back.
    #[track_caller]
    pub fn now(self) -> SystemTime {
        self.read(|state| state.now)
            .to_system()
            .unwrap_or(UNIX_EPOCH)
    }

    /// A UUID that is the same in every replay and different from every other, also of other hubs.
    #[track_caller]
    pub fn new_uuid(self) -> Uuid {
        /// The namespace of our UUIDs; the value is arbitrary and fixed for ever.
        const NAMESPACE: Uuid = Uuid::from_u128(0x6d3c_83a1_0c4e_4a57_9f5b_3e1f_6a0d_7b21);
        let (identity, counter) = self.read(|state| (state.identity.clone(), state.next_random()));
        let Identity {
            hub,
            instance,
            number,
            execution,
            ..
        } = &*identity;
        let seed = format!("{hub:x}\0{instance}\0{}\0{execution}\0{counter}", number.0);
        Uuid::new_v5(&NAMESPACE, seed.as_bytes())
    }

    /// 64 random bits that are the same in every replay.
    ///
    /// For anything else seed a generator of your choice with them:
    ///
    /// ```
    /// use durable_core::{OrchestrationContext, orchestrator};
    ///
    /// #[orchestrator]
    /// async fn draw(ctx: OrchestrationContext, mut tickets: Vec<u32>) -> Vec<u32> {
    ///     let mut rng = fastrand::Rng::with_seed(ctx.random_u64());
    ///     rng.shuffle(&mut tickets);
    ///     tickets.truncate(rng.usize(1..4));
    ///     tickets
    /// }
    /// ```
    #[track_caller]
    pub fn random_u64(self) -> u64 {
        let bits = self.new_uuid().as_u128();
        // The lowest 62 bits of a UUID carry no version or variant; fold the upper half in.
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
        let (low, high) = (bits as u64, (bits >> 64) as u64);
        low ^ high.rotate_left(32)
    }

    /// Whether events of the past are being replayed right now, or this is the copy that only
    /// watches. For printing and the like (`tracing` is silent then by itself): what an orchestrator
    /// decides must not depend on it.
    #[track_caller]
    pub fn is_replaying(self) -> bool {
        self.read(|state| state.replaying || state.shadow)
    }

    /// Whether this execution takes a changed path: for a change of an orchestrator that instances of
    /// the old code are in the middle of.
    ///
    /// It is `true` for an execution that comes by here for the first time, which is noted in its
    /// history, and from then on in every replay. It is `false` for one that came by here when the
    /// code did not ask yet: that goes on as it began. What was said first holds for this `name` in
    /// the whole execution, wherever and however often it is asked, also in several branches.
    ///
    /// Here a check for fraud was added while orders were under way. Those that had been charged, or
    /// were about to be, go on without; those that still wait for their approval are checked:
    ///
    /// ```
    /// use durable_core::{ActivityError, NoError, OrchestrationContext, activity, orchestrator};
    ///
    /// # #[activity]
    /// # async fn check_fraud(order: u32) {}
    /// # #[activity]
    /// # async fn charge(order: u32) {}
    /// #[orchestrator]
    /// async fn fulfil(ctx: OrchestrationContext, order: u32) -> Result<(), ActivityError<NoError>> {
    ///     let _ = ctx.wait_for_external_event::<()>("Approval").await;
    ///     if ctx.patched("check for fraud") {
    ///         ctx.call_activity::<check_fraud>(order).await?;
    ///     }
    ///     ctx.call_activity::<charge>(order).await
    /// }
    /// ```
    ///
    /// Once no instance is left that began before the change, remove the call and the old path; the
    /// notes in histories are ignored then. Do not use a name again for another change. Going back to
    /// code from before the change stops the instances that took the new path (their status says so)
    /// until the new code is back. An orchestrator that never ends by itself takes the new path from
    /// its next execution on.
    #[track_caller]
    pub fn patched(self, name: impl Into<Cow<'static, str>>) -> bool {
        let (name, location) = (name.into(), Location::caller());
        self.read(|state| state.patched(name, location))
    }

    /// The id of this instance.
    #[track_caller]
    pub fn instance_id(self) -> InstanceId {
        self.read(|state| state.identity.instance.clone())
    }

    /// The version of this instance: that of its orchestrator, or the one it was started with.
    /// Compare with [`compare_versions`](crate::compare_versions).
    #[track_caller]
    pub fn version(self) -> String {
        self.read(|state| state.identity.version.clone())
    }

    /// The [tags](crate::StartOrchestration::tag) that this instance was started with.
    #[track_caller]
    pub fn tags(self) -> BTreeMap<String, String> {
        self.read(|state| state.identity.tags.clone())
    }

    /// How many events this execution has lived through, the current one included: the longer a
    /// history, the longer its replay. [`continue_as_new`](Self::continue_as_new) begins with an empty
    /// one.
    #[track_caller]
    pub fn history_length(self) -> usize {
        self.read(|state| state.events)
    }

    /// The name that this orchestrator was started under.
    #[track_caller]
    pub fn name(self) -> String {
        self.read(|state| state.identity.name.clone())
    }

    /// The execution (generation) of this instance.
    #[track_caller]
    pub fn execution_id(self) -> ExecutionId {
        self.read(|state| state.identity.execution)
    }

    /// Sets the custom status that clients see. The last one of a turn wins. One of more than
    /// 12 KiB as JSON fails the orchestration.
    ///
    /// # Errors
    ///
    /// What serde says if `status` cannot be written as JSON.
    #[track_caller]
    pub fn set_custom_status<T: Serialize + ?Sized>(
        self,
        status: &T,
    ) -> Result<(), serde_json::Error> {
        let status = Payload::encode(status)?;
        let location = Location::caller();
        self.read(|state| state.emit(Action::SetCustomStatus { status }, Some(location)));
        Ok(())
    }

    #[track_caller]
    fn read<R>(self, f: impl FnOnce(&mut State) -> R) -> R {
        match with_state(self.key, f) {
            Some(value) => value,
            None => panic!("an OrchestrationContext was used outside its orchestrator"),
        }
    }
}

/// The instance that has called this one as its child.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct ParentInstance {
    /// Its id.
    pub id: InstanceId,
    /// Its execution that made the call.
    pub execution: ExecutionId,
}
