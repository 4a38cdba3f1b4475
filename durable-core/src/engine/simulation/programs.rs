//! The orchestrations that are simulated, and what each must end with.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, select_biased};

use crate::activity::{Activity, ActivityContext, ActivityFuture, Requirements};
use crate::failure::{ActivityError, FailureDetails, FailureKind, NoError};
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::OrchestrationContext;
use crate::retry::RetryPolicy;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Five activities, one after the other.
    Chain,
    /// Eight at once.
    FanOut,
    /// An event or a timer, whichever is first.
    EventOrTimer,
    /// Two events, of which the second may be there before anybody waits for it.
    TwoEvents,
    /// An activity that fails twice.
    Retry,
    /// Ends at once, with events on their way to it.
    AtOnce,
    /// A step of its own code, then an activity.
    Inline,
    /// As `FanOut`, with retries and a timer, and terminated from outside at some moment.
    Terminated,
}

impl Program {
    pub(super) const ALL: [Self; 8] = [
        Self::Chain,
        Self::FanOut,
        Self::EventOrTimer,
        Self::TwoEvents,
        Self::Retry,
        Self::AtOnce,
        Self::Inline,
        Self::Terminated,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chain => Chain::NAME,
            Self::FanOut => FanOut::NAME,
            Self::EventOrTimer => EventOrTimer::NAME,
            Self::TwoEvents => TwoEvents::NAME,
            Self::Retry => Retry::NAME,
            Self::AtOnce => AtOnce::NAME,
            Self::Inline => Inline::NAME,
            Self::Terminated => Busy::NAME,
        }
    }

    /// The outputs it may end with.
    pub(super) fn outputs(self) -> BTreeSet<&'static str> {
        match self {
            Self::Chain => BTreeSet::from(["5"]),
            Self::FanOut => BTreeSet::from(["36"]),
            Self::EventOrTimer => BTreeSet::from(["\"event 1\"", "\"timer\""]),
            Self::TwoEvents => BTreeSet::from(["[1,2]"]),
            Self::Retry => BTreeSet::from(["1"]),
            Self::AtOnce => BTreeSet::from(["0"]),
            Self::Inline => BTreeSet::from(["8"]),
            Self::Terminated => BTreeSet::from(["3", "terminated: enough"]),
        }
    }

    /// The events to raise, in order.
    pub(super) fn events(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::EventOrTimer => &[("go", "1")],
            Self::TwoEvents => &[("First", "1"), ("second", "2")],
            Self::AtOnce => &[("late", "1"), ("late", "2"), ("late", "3")],
            Self::Chain | Self::FanOut | Self::Retry | Self::Inline | Self::Terminated => &[],
        }
    }
}

pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.activity::<Increment>();
    registry.activity::<Flaky>();
    registry.orchestrator::<Chain>();
    registry.orchestrator::<FanOut>();
    registry.orchestrator::<EventOrTimer>();
    registry.orchestrator::<TwoEvents>();
    registry.orchestrator::<Retry>();
    registry.orchestrator::<AtOnce>();
    registry.orchestrator::<Inline>();
    registry.orchestrator::<Busy>();
    registry
}

/// What an activity answers in the simulation, where none really runs.
pub(super) fn answer(
    activity: &str,
    input: &Payload,
    attempt: u32,
) -> Result<Payload, FailureDetails> {
    if activity == Flaky::NAME && attempt < 3 {
        return Err(FailureDetails::new(
            FailureKind::Application,
            "Flaky",
            "not yet",
        ));
    }
    let number: u64 = input.decode().expect("a number");
    Ok(Payload::encode(&(number + 1)).expect("JSON"))
}

macro_rules! activity {
    ($name:ident) => {
        struct $name;

        impl Activity for $name {
            type Input = u64;
            type Output = u64;
            type Error = FailureDetails;
            const NAME: &'static str = stringify!($name);

            fn require(_: &mut Requirements) {}

            fn run(_: ActivityContext, _: Payload) -> ActivityFuture {
                unreachable!("the world answers")
            }
        }
    };
}

activity!(Increment);
activity!(Flaky);

macro_rules! orchestrator {
    ($name:ident, |$ctx:ident| $body:expr) => {
        struct $name;

        impl Orchestrator for $name {
            type Input = ();
            type Output = u64;
            type Error = NoError;
            const NAME: &'static str = stringify!($name);
            const VERSION: &'static str = "";

            fn run($ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
                Box::pin(async move {
                    let output: Result<_, FailureDetails> = $body;
                    output.map(|output| Payload::encode(&output).expect("JSON"))
                })
            }
        }
    };
}

orchestrator!(Chain, |ctx| {
    let mut n = 0;
    for _ in 0..5 {
        n = ctx.call_activity::<Increment>(n).await.map_err(details)?;
    }
    Ok(n)
});

orchestrator!(FanOut, |ctx| {
    let calls = (0..8).map(|n| ctx.call_activity::<Increment>(n));
    let outputs: Result<Vec<u64>, _> = join_all(calls).await.into_iter().collect();
    outputs
        .map(|outputs| outputs.into_iter().sum::<u64>())
        .map_err(details)
});

orchestrator!(EventOrTimer, |ctx| {
    let mut event = ctx.wait_for_external_event::<u64>("Go").fuse();
    let mut timer = ctx.create_timer(Duration::from_secs(60)).fuse();
    Ok(select_biased! {
        data = event => format!("event {}", data.expect("a number")),
        () = timer => "timer".to_owned(),
    })
});

orchestrator!(TwoEvents, |ctx| {
    let first = ctx
        .wait_for_external_event::<u64>("first")
        .await
        .expect("a number");
    ctx.create_timer(Duration::from_millis(1)).await;
    let second = ctx
        .wait_for_external_event::<u64>("SECOND")
        .await
        .expect("a number");
    Ok((first, second))
});

orchestrator!(Retry, |ctx| {
    ctx.call_activity::<Flaky>(0)
        .retry(RetryPolicy::exponential(5, Duration::from_secs(1)))
        .await
        .map_err(details)
});

orchestrator!(AtOnce, |_ctx| Ok(0));

orchestrator!(Busy, |ctx| {
    let policy = RetryPolicy::exponential(5, Duration::from_secs(1));
    let calls = join_all((0..3).map(|_| ctx.call_activity::<Flaky>(0).retry(policy.clone())));
    let timer = ctx.create_timer(Duration::from_secs(10));
    let (outputs, ()) = futures_util::join!(calls, timer);
    let outputs: Result<Vec<u64>, _> = outputs.into_iter().collect();
    outputs
        .map(|outputs| outputs.into_iter().sum::<u64>())
        .map_err(details)
});

orchestrator!(Inline, |ctx| {
    let step = ctx.run::<u64, NoError, _, _>("seven", || async { Ok(7) });
    let seven = step.await.map_err(details)?;
    ctx.call_activity::<Increment>(seven).await.map_err(details)
});

fn details<E: std::fmt::Display>(error: ActivityError<E>) -> FailureDetails {
    FailureDetails::new(FailureKind::Application, "ActivityError", error.to_string())
}
