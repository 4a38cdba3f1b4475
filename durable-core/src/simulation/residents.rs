//! Instances that are in memory and wait, for whoever weighs them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::process::{Faults, Process, Ticket};
use super::program::Worked;
use crate::engine::{Begin, Command, Config, Effect, Input, Replaces, StartRequest};
use crate::failure::NoError;
use crate::id::InstanceId;
use crate::orchestrator::{Orchestrator, OrchestratorFuture};
use crate::payload::Payload;
use crate::registry::Registry;
use crate::replay::OrchestrationContext;
use crate::store::Retention;
use crate::store::kv::memory::MemoryKv;
use crate::time::Timestamp;

/// What each of them does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// It sleeps.
    Sleeping,
    /// It waits for an event.
    Waiting,
    /// It waits for a hundred activities at once.
    FanOut,
    /// It waits for an event, and was given 10 KiB that it holds on to.
    Laden,
}

impl Shape {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Sleeping, Self::Waiting, Self::FanOut, Self::Laden];

    fn name(self) -> &'static str {
        match self {
            Self::Sleeping => Sleeping::NAME,
            Self::Waiting => Waiting::NAME,
            Self::FanOut => FanOut::NAME,
            Self::Laden => Laden::NAME,
        }
    }

    fn input(self) -> String {
        match self {
            Self::Laden => "x".repeat(10 * 1024),
            Self::Sleeping | Self::Waiting | Self::FanOut => String::new(),
        }
    }
}

/// Many instances of one shape.
pub struct Residents(Process);

impl fmt::Debug for Residents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Residents").field(&self.0.engine).finish()
    }
}

impl Residents {
    /// So many of them, in an engine of their own.
    pub fn new(shape: Shape, count: usize) -> Self {
        let config = Config {
            shadow: false,
            max_live: count,
            max_live_bytes: usize::MAX,
            ..Config::default()
        };
        let faults = Arc::new(Faults::default());
        let process = Process::start(&MemoryKv::default(), &faults, config, Retention::default());
        let mut process = process.expect("opens");
        let mut registry = Registry::default();
        registry.activity::<Worked>();
        registry.orchestrator::<Sleeping>();
        registry.orchestrator::<Waiting>();
        registry.orchestrator::<FanOut>();
        registry.orchestrator::<Laden>();
        let now = Timestamp(1_000_000);
        process.handle(Input::WorkerStarted(1, Arc::new(registry)), now);
        let input = Payload::encode(&shape.input()).expect("JSON");
        for n in 0..count {
            let start = StartRequest {
                id: InstanceId::new(format!("instance-{n:08}")).expect("valid"),
                name: shape.name().to_owned(),
                version: String::new(),
                // Of its own, as it is when it comes from a client.
                input: Payload::from_json(input.json().to_owned()).expect("JSON"),
                tags: std::collections::BTreeMap::new(),
                fresh: true,
                begin: Begin::AtOnce,
                event: None,
                replaces: Replaces::Nothing,
            };
            let start = Command::Start(start);
            process.handle(Input::Client(start, Ticket::new(0)), now);
            if n % 100 == 0 || n + 1 == count {
                rest(&mut process, now);
            }
        }
        Self(process)
    }

    /// The bytes that the engine takes them to hold.
    pub fn estimate(&self) -> usize {
        self.0.engine.live_bytes()
    }

    /// Drops them, and all that the engine has in memory; what is stored stays.
    pub fn leave(self) -> impl Sized {
        let Process { store, .. } = self.0;
        store
    }
}

/// Everything there is to do.
fn rest(process: &mut Process, now: Timestamp) {
    while !process.is_idle() {
        process.settle(now).expect("settles");
        process.apply().expect("applies");
        process.sync().expect("syncs");
        for effect in std::mem::take(&mut process.released) {
            if let Effect::Nudge = effect {
                process.handle(Input::Nudge, now);
            }
        }
        process.advance(now);
    }
}

macro_rules! residents {
    ($($name:ident |$ctx:ident, $input:ident| $body:block)*) => {$(
        #[derive(Debug)]
        struct $name;

        impl Orchestrator for $name {
            type Input = String;
            type Output = ();
            type Error = NoError;
            const NAME: &'static str = stringify!($name);
            const VERSION: &'static str = "";

            fn run($ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
                Box::pin(async move {
                    let $input: String = input.decode().expect("text");
                    $body
                    Ok(Payload::NULL)
                })
            }
        }
    )*};
}

residents! {
    Sleeping |ctx, _input| {
        ctx.create_timer(Duration::from_secs(3_600)).await;
    }
    Waiting |ctx, _input| {
        let _ = ctx.wait_for_external_event::<()>("go").await;
    }
    FanOut |ctx, _input| {
        let call = |n| ctx.call_activity::<Worked>((super::program::Work::well(n), String::new()));
        join_all((0..100).map(call)).await;
    }
    Laden |ctx, input| {
        let _ = ctx.wait_for_external_event::<()>("go").await;
        drop(input);
    }
}
