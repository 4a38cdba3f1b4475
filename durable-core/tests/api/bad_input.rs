//! What happens when something is wrong: with what is asked for, with the code, with the directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use durable_core::{
    ActivityError, Client, InstanceError, NoError, OpenError, OrchestrationContext,
    OrchestrationError, OrchestrationStatus, ProblemKind, RuntimeStatus, StartError, TaskHub,
    WorkerBuilder, WorkerError, activity, orchestrator,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{Place, Steps, chain, echo, listen, names, nap, on_both, soon, status_when, worker};

#[tokio::test]
async fn an_orchestrator_that_the_worker_lacks_is_refused_with_those_it_has() {
    on_both(async |hub| {
        let worker = hub.worker().register::<listen>().register::<echo>();
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<nap>(1).id("x");
        let error = start.await.unwrap_err();
        match &error {
            StartError::NotRegistered { name, known } => {
                assert_eq!((name.as_str(), known.as_str()), ("nap", "`echo`, `listen`"));
            }
            other => panic!("{other:?}"),
        }
        assert!(error.to_string().contains("register::<nap>()"), "{error}");
        assert_eq!(hub.client().status("x").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_id_that_breaks_a_rule_is_refused_with_the_rule() {
    on_both(async |hub| {
        let client = hub.client();
        let long = "x".repeat(257);
        for (id, rule) in [
            ("", "empty"),
            (".", "URL"),
            ("..", "URL"),
            ("@entity", "entities"),
            ("a\nb", "control"),
            ("a\0", "control"),
            (long.as_str(), "256"),
        ] {
            let start = client.start_orchestration::<echo>(String::new()).id(id);
            match start.await {
                Err(StartError::InvalidId(error)) => {
                    assert!(error.to_string().contains(rule), "{error}");
                }
                other => panic!("{other:?}"),
            }
            assert!(client.instance::<echo>(id).is_err());
            assert_eq!(client.status(id).await.unwrap(), None);
            assert_eq!(client.wait_for_completion(id).await.unwrap(), None);
            let raised = client.raise_event(id, "go", &1).await;
            assert!(matches!(raised, Err(InstanceError::InvalidId(_))));
            let terminated = client.terminate(id, "why").await;
            assert!(matches!(terminated, Err(InstanceError::InvalidId(_))));
        }
    })
    .await;
}

#[tokio::test]
async fn awkward_ids_and_event_names_work() {
    on_both(async |hub| {
        let _worker = worker(hub, &Steps::free().0).start().await.unwrap();
        let client = hub.client();
        let long = "ü".repeat(128);
        let awkward = ["a", "a/b", "%2F", "a b", "?#", "…", "e\u{301}", "é", &long];
        for id in awkward {
            let start = client.start_orchestration::<listen>("Straße/ 🦀\n".to_owned());
            start.id(id).await.unwrap();
        }
        for id in awkward {
            client.raise_event(id, "straße/ 🦀\n", id).await.unwrap();
            let instance = client.instance::<listen>(id).unwrap();
            assert_eq!(instance.wait_for_completion().await.unwrap(), id);
        }
    })
    .await;
}

/// Does what it is told with so many bytes (of JSON).
#[orchestrator]
async fn inflate(ctx: OrchestrationContext, what: String, len: usize) -> Result<String, String> {
    let text = "x".repeat(len - 2);
    match what.as_str() {
        "output" => Ok(text),
        "error" => Err(text),
        "status" => ctx
            .set_custom_status(&text)
            .map(|()| String::new())
            .map_err(|error| error.to_string()),
        "input" => match ctx.call_activity::<length>(text).await {
            Ok(length) => Ok(length.to_string()),
            Err(error) => Err(error.to_string()),
        },
        other => panic!("{other}"),
    }
}

#[activity]
async fn length(text: String) -> usize {
    text.len()
}

#[tokio::test]
async fn two_mebibytes_of_json_are_taken_and_a_byte_more_is_refused() {
    const LIMIT: usize = 2 * 1024 * 1024;
    on_both(async |hub| {
        let (steps, _begun) = Steps::free();
        let worker = worker(hub, &steps)
            .register::<inflate>()
            .register::<length>();
        let _worker = worker.start().await.unwrap();
        let client = hub.client();
        let json = |len: usize| "x".repeat(len - 2);

        let start = client.start_orchestration::<echo>(json(LIMIT)).id("in");
        let instance = start.await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), json(LIMIT));
        let start = client.start_orchestration::<echo>(json(LIMIT + 1)).id("x");
        match start.await {
            Err(StartError::TooLarge { len, limit }) => {
                assert_eq!((len, limit), (LIMIT + 1, LIMIT));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(client.status("x").await.unwrap(), None);

        let start = client.start_orchestration::<listen>("go".to_owned());
        let instance = start.await.unwrap();
        match instance.raise_event("go", &json(LIMIT + 1)).await {
            Err(InstanceError::TooLarge { len, limit }) => {
                assert_eq!((len, limit), (LIMIT + 1, LIMIT));
            }
            other => panic!("{other:?}"),
        }
        instance.raise_event("go", &json(LIMIT)).await.unwrap();
        assert_eq!(instance.wait_for_completion().await.unwrap(), json(LIMIT));

        for (what, limit) in [
            ("output", LIMIT),
            ("error", LIMIT),
            ("input", LIMIT),
            ("status", 12 * 1024),
        ] {
            let run = async |len: usize| {
                let start = client.start_orchestration::<inflate>((what.to_owned(), len));
                start.await.unwrap().wait_for_completion().await
            };
            match run(limit).await {
                Ok(_) => {}
                Err(OrchestrationError::Application(error)) => {
                    assert_eq!((what, error.len()), ("error", limit - 2));
                }
                other => panic!("{what}: {other:?}"),
            }
            match run(limit + 1).await {
                Err(OrchestrationError::Data(failure)) => {
                    let text = format!("of {} bytes is over the limit of {limit}", limit + 1);
                    assert!(failure.message().contains(&text), "{failure}");
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_limit_on_payloads_can_be_set() {
    let hub = TaskHub::options().max_payload(10).open_in_memory().await;
    let client = hub.unwrap().client();
    let start = client.start_orchestration::<echo>("12345678".to_owned());
    start.await.unwrap();
    let start = client.start_orchestration::<echo>("123456789".to_owned());
    let error = start.await.unwrap_err();
    assert!(matches!(error, StartError::TooLarge { len: 11, limit: 10 }));
}

#[tokio::test]
async fn what_is_not_json_is_refused() {
    #[orchestrator]
    async fn sum(_ctx: OrchestrationContext, prices: BTreeMap<(u8, u8), u32>) -> u32 {
        prices.values().sum()
    }
    let hub = TaskHub::in_memory().await.unwrap();
    let prices = BTreeMap::from([((1, 2), 3)]);
    let start = hub.client().start_orchestration::<sum>(prices.clone());
    assert!(matches!(start.await, Err(StartError::Input { .. })));
    let start = hub.client().start_orchestration::<echo>(String::new());
    let instance = start.await.unwrap();
    let raised = instance.raise_event("go", &prices).await;
    assert!(matches!(raised, Err(InstanceError::Data { .. })));
}

/// A hub whose worker is replaced by one with other code, as at a deployment.
struct Site {
    hub: TaskHub,
    worker: Option<durable_core::Worker>,
    steps: Steps,
}

impl Site {
    fn new(hub: &TaskHub) -> Self {
        let (steps, _) = Steps::free();
        Self {
            hub: hub.clone(),
            worker: None,
            steps,
        }
    }

    async fn deploy(&mut self, register: impl FnOnce(WorkerBuilder) -> WorkerBuilder) {
        if let Some(worker) = self.worker.take() {
            worker.shutdown().await;
        }
        let worker = self.hub.worker().state(self.steps.clone());
        let worker = worker.register::<echo>().register::<listen>();
        self.worker = Some(register(worker).start().await.unwrap());
    }

    /// The status of instance `x` once it has this problem, which holds up no other instance.
    async fn blocked(&self, kind: ProblemKind) -> OrchestrationStatus {
        let client = self.hub.client();
        let status = status_when(&client, "x", |status| {
            status
                .problem()
                .is_some_and(|problem| problem.kind() == kind)
        })
        .await;
        assert!(status.problem_since() >= Some(status.created_at()));
        let start = client.start_orchestration::<echo>("other".to_owned());
        let other = start.await.unwrap();
        assert_eq!(soon(other.wait_for_completion()).await.unwrap(), "other");
        status
    }

    async fn check_output<T: Into<serde_json::Value>>(&self, expected: T) {
        let status = soon(self.hub.client().wait_for_completion("x")).await;
        let status = status.unwrap().unwrap();
        assert_eq!(
            status.runtime_status(),
            RuntimeStatus::Completed,
            "{status:?}"
        );
        let output = status.output::<serde_json::Value>().unwrap();
        assert_eq!(output, Some(expected.into()));
        assert_eq!(status.problem(), None);
    }
}

fn report(status: &OrchestrationStatus) -> &str {
    status.problem().unwrap().report()
}

/// The first release: takes a number, and waits between its steps.
mod first {
    use super::super::step;
    use super::*;

    #[orchestrator(name = "order")]
    pub(super) async fn order(ctx: OrchestrationContext, cents: u32) -> String {
        let name = format!("charge {cents}");
        let charged = ctx.call_activity::<step>(name).await.unwrap();
        let go: String = ctx.wait_for_external_event("go").await.unwrap();
        format!("{charged} {go}")
    }
}

/// The second one takes text.
mod second {
    use super::super::step;
    use super::*;

    #[orchestrator(name = "order")]
    pub(super) async fn order(ctx: OrchestrationContext, euros: String) -> String {
        ctx.call_activity::<step>(euros).await.unwrap()
    }
}

/// The third does something else first.
mod third {
    use super::super::step;
    use super::*;

    #[orchestrator(name = "order")]
    pub(super) async fn order(ctx: OrchestrationContext, cents: u32) -> String {
        reserve(ctx, cents).await
    }

    pub(super) const LINE: u32 = line!() + 3;

    async fn reserve(ctx: OrchestrationContext, cents: u32) -> String {
        let call = ctx.call_activity::<step>(format!("reserve {cents}"));
        call.await.unwrap()
    }
}

/// The fourth has a bug.
mod fourth {
    use super::*;

    pub(super) const LINE: u32 = line!() + 4;

    #[orchestrator(name = "order")]
    pub(super) async fn order(_ctx: OrchestrationContext, cents: u32) -> String {
        panic!("cannot order for {cents}");
    }
}

/// Has `x`, an order of the first release, wait for its event.
async fn order_of_first_release(site: &mut Site) -> Client {
    site.deploy(|worker| worker.register::<first::order>().register::<super::step>())
        .await;
    let client = site.hub.client();
    let start = client.start_orchestration::<first::order>(42).id("x");
    start.await.unwrap();
    // Only while nothing runs its activity is it not active any more.
    status_when(&client, "x", |status| {
        status.last_updated_at() > status.created_at()
    })
    .await;
    client
}

#[tokio::test]
async fn an_input_of_another_shape_blocks_until_its_reader_is_back() {
    on_both(async |hub| {
        let mut site = Site::new(hub);
        let client = hub.client();
        let start = client.start_orchestration::<first::order>(42).id("x");
        start.await.unwrap();
        site.deploy(|worker| worker.register::<second::order>().register::<super::step>())
            .await;
        let status = site.blocked(ProblemKind::Undecodable).await;
        assert_eq!(status.runtime_status(), RuntimeStatus::Pending);
        assert_eq!(status.input().unwrap(), Some(42));
        assert!(report(&status).contains("expected a string"), "{status:?}");
        client.raise_event("x", "go", "gone").await.unwrap();

        site.deploy(|worker| worker.register::<first::order>().register::<super::step>())
            .await;
        site.check_output("CHARGE 42 gone").await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_of_a_removed_orchestrator_waits_for_it() {
    on_both(async |hub| {
        let mut site = Site::new(hub);
        let client = hub.client();
        let start = client.start_orchestration::<first::order>(42).id("x");
        start.await.unwrap();
        site.deploy(|worker| worker).await;
        let status = site.blocked(ProblemKind::OrchestratorNotRegistered).await;
        assert!(
            report(&status).contains("no orchestrator `order`"),
            "{status:?}"
        );
        client.raise_event("x", "go", "gone").await.unwrap();
        site.deploy(|worker| worker.register::<first::order>().register::<super::step>())
            .await;
        site.check_output("CHARGE 42 gone").await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_in_the_middle_of_a_removed_orchestrator_waits_for_it() {
    on_both(async |hub| {
        let mut site = Site::new(hub);
        let client = order_of_first_release(&mut site).await;
        site.deploy(|worker| worker).await;
        client.raise_event("x", "go", "gone").await.unwrap();
        let status = site.blocked(ProblemKind::OrchestratorNotRegistered).await;
        assert_eq!(status.runtime_status(), RuntimeStatus::Running);
        site.deploy(|worker| worker.register::<first::order>().register::<super::step>())
            .await;
        site.check_output("CHARGE 42 gone").await;
    })
    .await;
}

#[tokio::test]
async fn changed_code_blocks_with_the_line_that_contradicts_history_and_goes_on_with_the_old() {
    on_both(async |hub| {
        let mut site = Site::new(hub);
        let client = order_of_first_release(&mut site).await;
        site.deploy(|worker| worker.register::<third::order>().register::<super::step>())
            .await;
        client.raise_event("x", "go", "gone").await.unwrap();
        let status = site.blocked(ProblemKind::Divergence).await;
        assert_eq!(status.runtime_status(), RuntimeStatus::Running);
        let line = format!("bad_input.rs:{}:", third::LINE);
        for text in [
            "instance  x",
            "orchestrator `order`",
            "charge 42",
            "reserve 42",
            &line,
            "likely cause",
        ] {
            assert!(report(&status).contains(text), "{text}: {status:?}");
        }
        site.deploy(|worker| worker.register::<first::order>().register::<super::step>())
            .await;
        site.check_output("CHARGE 42 gone").await;
    })
    .await;
}

#[tokio::test]
async fn a_blocked_instance_stays_blocked_over_a_restart_and_keeps_what_arrives() {
    let place = Place::new();
    {
        let hub = place.open().await;
        let mut site = Site::new(&hub);
        let client = order_of_first_release(&mut site).await;
        site.deploy(|worker| worker.register::<third::order>().register::<super::step>())
            .await;
        client.raise_event("x", "go", "gone").await.unwrap();
        site.blocked(ProblemKind::Divergence).await;
    }
    for _ in 0..2 {
        let hub = place.open().await;
        let mut site = Site::new(&hub);
        let status = hub.client().status("x").await.unwrap().unwrap();
        assert_eq!(status.problem().unwrap().kind(), ProblemKind::Divergence);
        site.deploy(|worker| worker.register::<third::order>().register::<super::step>())
            .await;
        let again = site.blocked(ProblemKind::Divergence).await;
        assert_eq!(again.problem_since(), status.problem_since());
        hub.client().raise_event("x", "go", "late").await.unwrap();
    }
    let hub = place.open().await;
    let mut site = Site::new(&hub);
    site.deploy(|worker| worker.register::<first::order>().register::<super::step>())
        .await;
    site.check_output("CHARGE 42 gone").await;
}

#[tokio::test]
async fn a_blocked_instance_can_be_terminated() {
    on_both(async |hub| {
        let mut site = Site::new(hub);
        let client = order_of_first_release(&mut site).await;
        site.deploy(|worker| worker.register::<third::order>().register::<super::step>())
            .await;
        client.raise_event("x", "go", "gone").await.unwrap();
        site.blocked(ProblemKind::Divergence).await;
        client.terminate("x", "hopeless").await.unwrap();
        let status = client.status("x").await.unwrap().unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Terminated);
        assert_eq!(status.problem(), None);
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_new_code_fails_the_instance_and_nothing_else() {
    on_both(async |hub| {
        let mut site = Site::new(hub);
        site.deploy(WorkerBuilder::register::<fourth::order>).await;
        let start = hub.client().start_orchestration::<fourth::order>(42);
        match start.await.unwrap().wait_for_completion().await {
            Err(OrchestrationError::Panicked(failure)) => {
                let place = format!("bad_input.rs:{}:", fourth::LINE);
                assert!(failure.message().contains(&place), "{failure}");
                assert!(failure.message().contains("cannot order for 42"));
            }
            other => panic!("{other:?}"),
        }
        let start = hub.client().start_orchestration::<echo>("other".to_owned());
        let other = start.await.unwrap();
        assert_eq!(other.wait_for_completion().await.unwrap(), "other");
    })
    .await;
}

#[tokio::test]
async fn a_panic_while_the_past_is_replayed_blocks_until_it_is_mended() {
    on_both(async |hub| {
        let mut site = Site::new(hub);
        let client = order_of_first_release(&mut site).await;
        site.deploy(|worker| worker.register::<fourth::order>().register::<super::step>())
            .await;
        client.raise_event("x", "go", "gone").await.unwrap();
        let status = site.blocked(ProblemKind::PanicInReplay).await;
        let place = format!("bad_input.rs:{}:", fourth::LINE);
        assert!(report(&status).contains(&place), "{status:?}");
        site.deploy(|worker| worker.register::<first::order>().register::<super::step>())
            .await;
        site.check_output("CHARGE 42 gone").await;
    })
    .await;
}

#[tokio::test]
async fn a_call_of_a_missing_activity_waits_for_a_worker_that_has_it() {
    on_both(async |hub| {
        let mut site = Site::new(hub);
        site.deploy(WorkerBuilder::register::<chain>).await;
        let start = hub
            .client()
            .start_orchestration::<chain>(names(&["a", "b"]))
            .id("x");
        start.await.unwrap();
        let status = site.blocked(ProblemKind::ActivityNotRegistered).await;
        assert!(report(&status).contains("activity `step`"), "{status:?}");
        site.deploy(|worker| worker.register::<chain>().register::<super::step>())
            .await;
        site.check_output(names(&["A", "B"])).await;
    })
    .await;
}

#[tokio::test]
async fn who_gives_up_a_missing_activity_has_no_problem_any_more() {
    #[orchestrator]
    async fn goes_on(ctx: OrchestrationContext) -> String {
        let gave_up: String = tokio::select! { biased;
            _ = ctx.call_activity::<super::step>("a".to_owned()) => unreachable!(),
            go = ctx.wait_for_external_event("give up") => go.unwrap(),
        };
        let go: String = ctx.wait_for_external_event("go").await.unwrap();
        format!("{gave_up} {go}")
    }
    on_both(async |hub| {
        let mut site = Site::new(hub);
        site.deploy(WorkerBuilder::register::<goes_on>).await;
        let client = hub.client();
        let start = client.start_orchestration::<goes_on>(()).id("x");
        start.await.unwrap();
        site.blocked(ProblemKind::ActivityNotRegistered).await;
        client.raise_event("x", "give up", "gave up").await.unwrap();
        let status = client.status("x").await.unwrap().unwrap();
        assert_eq!(status.problem(), None);
        client.raise_event("x", "go", "went on").await.unwrap();
        site.check_output("gave up went on").await;
    })
    .await;
}

/// Sleeps as it would anywhere else.
async fn sleep_a_little() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

const SLEEP_LINE: u32 = line!() - 3;

#[tokio::test]
async fn a_tokio_timer_in_an_orchestrator_is_reported_with_its_line() {
    #[orchestrator(name = "sleeper")]
    async fn sleeper(_ctx: OrchestrationContext) -> u32 {
        sleep_a_little().await;
        1
    }
    #[orchestrator(name = "sleeper", type = Mended)]
    async fn mended(ctx: OrchestrationContext) -> u32 {
        ctx.create_timer(Duration::from_millis(1)).await;
        1
    }
    on_both(async |hub| {
        let mut site = Site::new(hub);
        site.deploy(WorkerBuilder::register::<sleeper>).await;
        let start = hub.client().start_orchestration::<sleeper>(()).id("x");
        start.await.unwrap();
        let status = site.blocked(ProblemKind::ForeignAwait).await;
        let place = format!("bad_input.rs:{SLEEP_LINE}:");
        assert!(report(&status).contains(&place), "{status:?}");
        assert!(report(&status).contains("ctx.create_timer"), "{status:?}");
        site.deploy(WorkerBuilder::register::<Mended>).await;
        site.check_output(1).await;
    })
    .await;
}

/// A channel whose other end anybody can take.
fn channel(ends: &Mutex<Vec<oneshot::Sender<String>>>) -> oneshot::Receiver<String> {
    let (sender, receiver) = oneshot::channel();
    ends.lock().unwrap().push(sender);
    receiver
}

#[tokio::test]
async fn a_wait_that_nothing_durable_ends_is_reported_at_once() {
    static ENDS: Mutex<Vec<oneshot::Sender<String>>> = Mutex::new(Vec::new());
    #[orchestrator]
    async fn stuck(_ctx: OrchestrationContext) -> String {
        channel(&ENDS).await.unwrap()
    }
    on_both(async |hub| {
        let mut site = Site::new(hub);
        site.deploy(WorkerBuilder::register::<stuck>).await;
        let start = hub.client().start_orchestration::<stuck>(()).id("x");
        start.await.unwrap();
        site.blocked(ProblemKind::ForeignAwait).await;
        hub.client().terminate("x", "stuck").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_channel_that_is_fired_from_outside_is_reported_when_it_fires() {
    static ENDS: Mutex<Vec<oneshot::Sender<String>>> = Mutex::new(Vec::new());
    #[orchestrator(name = "either")]
    async fn either(ctx: OrchestrationContext) -> String {
        let news = channel(&ENDS);
        tokio::select! { biased;
            go = ctx.wait_for_external_event("go") => go.unwrap(),
            text = news => text.unwrap(),
        }
    }
    #[orchestrator(name = "either", type = Mended)]
    async fn mended(ctx: OrchestrationContext) -> String {
        ctx.wait_for_external_event("go").await.unwrap()
    }
    on_both(async |hub| {
        let mut site = Site::new(hub);
        site.deploy(WorkerBuilder::register::<either>).await;
        let client = hub.client();
        let start = client.start_orchestration::<either>(()).id("x");
        start.await.unwrap();
        let status = client.status("x").await.unwrap().unwrap();
        assert_eq!(status.problem(), None);
        for end in ENDS.lock().unwrap().drain(..) {
            // The copy that lost the race is gone.
            let _ = end.send("news".to_owned());
        }
        site.blocked(ProblemKind::ForeignAwait).await;
        client.raise_event("x", "go", "gone").await.unwrap();
        site.deploy(WorkerBuilder::register::<Mended>).await;
        site.check_output("gone").await;
    })
    .await;
}

#[tokio::test]
async fn one_name_for_two_things_is_refused_when_the_worker_starts() {
    #[activity(name = "step", type = OtherStep)]
    async fn other_step() {}

    let hub = TaskHub::in_memory().await.unwrap();
    let (steps, _) = Steps::free();
    let worker = worker(&hub, &steps).register::<OtherStep>();
    let worker = worker
        .register::<first::order>()
        .register::<second::order>();
    match worker.start().await {
        Err(WorkerError::Duplicate { names }) => {
            assert_eq!(names.len(), 2, "{names:?}");
            assert!(names[0].contains("activity `step`"), "{names:?}");
            assert!(names[1].contains("orchestrator `order`"), "{names:?}");
        }
        other => panic!("{other:?}"),
    }
    let all = hub.worker().state(steps.clone()).register_all().start();
    assert!(matches!(all.await, Err(WorkerError::Duplicate { .. })));
    // The same thing twice is one thing.
    let twice = super::worker(&hub, &steps).register::<super::step>();
    let _worker = twice.start().await.unwrap();
}

#[tokio::test]
async fn a_second_worker_is_refused_until_the_first_has_stopped() {
    on_both(async |hub| {
        let (steps, _) = Steps::free();
        let first = worker(hub, &steps).start().await.unwrap();
        let second = worker(hub, &steps).start().await;
        assert!(matches!(second, Err(WorkerError::AlreadyRunning)));
        first.shutdown().await;
        let second = worker(hub, &steps).start().await.unwrap();
        drop(second);
        let _third = worker(hub, &steps).start().await.unwrap();
    })
    .await;
}

#[test]
fn a_worker_needs_a_tokio_runtime_and_a_client_does_not() {
    futures_executor::block_on(async {
        let hub = TaskHub::in_memory().await.unwrap();
        let started = worker(&hub, &Steps::free().0).start().await;
        assert!(matches!(started, Err(WorkerError::NoRuntime)));
        let start = hub.client().start_orchestration::<echo>("x".to_owned());
        let instance = start.await.unwrap();
        assert!(instance.status().await.unwrap().is_some());
        hub.close().await.unwrap();
    });
}

#[tokio::test]
async fn a_directory_that_is_open_is_in_use() {
    let place = Place::new();
    let hub = place.open().await;
    let path = place.0.path().join("orders.db");
    match TaskHub::open(&path).await {
        Err(OpenError::InUse { path: named }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
    hub.close().await.unwrap();
    TaskHub::open(&path).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn an_open_that_is_given_up_lets_go_of_the_directory() {
    let place = Place::new();
    for waits in 0..20 {
        let mut open = Box::pin(TaskHub::open(place.0.path().join("orders.db")));
        for _ in 0..waits * 20 {
            if futures_util::poll!(&mut open).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(open);
        place.open().await.close().await.unwrap();
    }
}

const CHILD: &str = "DURABLE_TEST_HUB";

/// Not a test of its own: what [`a_directory_is_in_use_while_another_process_has_it`] runs as
/// another process. Opens the hub it is given, says so, and keeps it until it is told to end.
#[tokio::test]
async fn child_process() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let hub = TaskHub::open(Path::new(&path)).await.unwrap();
    let start = hub.client().start_orchestration::<echo>("text".to_owned());
    start.id("x").await.unwrap();
    println!("\nopened");
    std::io::read_to_string(std::io::stdin()).unwrap();
}

#[tokio::test]
async fn a_directory_is_in_use_while_another_process_has_it() {
    let place = Place::new();
    let path = place.0.path().join("orders.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bad_input::child_process", "--nocapture"])
        .env(CHILD, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(lines);
    assert!(lines.any(|line| line.unwrap() == "opened"));
    let refused = TaskHub::open(&path).await;
    assert!(matches!(refused, Err(OpenError::InUse { .. })));
    child.kill().unwrap();
    child.wait().unwrap();

    let hub = TaskHub::open(&path).await.unwrap();
    let status = hub.client().status("x").await.unwrap().unwrap();
    assert_eq!(status.input::<String>().unwrap().as_deref(), Some("text"));
    hub.close().await.unwrap();
}

#[tokio::test]
async fn what_is_no_hub_is_refused_and_left_alone() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("notes.txt");
    fs::write(&file, "hello").unwrap();
    for path in [parent.path(), &file] {
        let error = TaskHub::open(path).await.unwrap_err();
        match &error {
            OpenError::NotAHub { path: named, .. } => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "hello");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    let through = TaskHub::open(file.join("orders.db")).await;
    assert!(matches!(through, Err(OpenError::Io { .. })));
}

#[tokio::test]
async fn a_hub_of_a_newer_version_is_told_from_a_damaged_one() {
    const SLOT: usize = 4096;
    let (_place, path) = closed_hub().await;
    let anchor = path.join("anchor");
    let mut bytes = fs::read(&anchor).unwrap();
    for slot in bytes.chunks_mut(SLOT) {
        slot[8..12].copy_from_slice(&7_u32.to_be_bytes());
        let crc = crc32fast::hash(&slot[..SLOT - 4]);
        slot[SLOT - 4..].copy_from_slice(&crc.to_be_bytes());
    }
    fs::write(&anchor, bytes).unwrap();
    match TaskHub::open(&path).await {
        Err(OpenError::NewerFormat { found: 7, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_damaged_hub_is_refused() {
    for damage in [
        |path: &Path| fs::write(path.join("anchor"), "junk").unwrap(),
        |path: &Path| fs::remove_file(path.join("anchor")).unwrap(),
        |path: &Path| fs::remove_dir_all(path.join("sled-1")).unwrap(),
        |path: &Path| {
            fs::remove_dir_all(path.join("sled-1")).unwrap();
            fs::create_dir(path.join("sled-1")).unwrap();
        },
        |path: &Path| fs::write(path.join("sled-1/db"), "").unwrap(),
        |path: &Path| fs::write(path.join("sled-1/db"), [0xff; 10_000]).unwrap(),
    ] {
        let (_place, path) = closed_hub().await;
        damage(&path);
        match TaskHub::open(&path).await {
            Err(OpenError::Corrupt { .. } | OpenError::RolledBack { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A closed hub with an instance.
async fn closed_hub() -> (Place, std::path::PathBuf) {
    let place = Place::new();
    let hub = place.open().await;
    let start = hub.client().start_orchestration::<echo>(String::new());
    start.await.unwrap();
    hub.close().await.unwrap();
    let path = place.0.path().join("orders.db");
    (place, path)
}

#[tokio::test]
async fn an_orchestrator_that_ignores_how_its_activity_failed_goes_on() {
    #[activity]
    async fn fails() -> Result<(), String> {
        Err("no".to_owned())
    }
    #[orchestrator]
    async fn goes_on(ctx: OrchestrationContext) -> Result<String, NoError> {
        Ok(match ctx.call_activity::<fails>(()).await {
            Err(ActivityError::Application(error)) => error,
            other => format!("{other:?}"),
        })
    }
    on_both(async |hub| {
        let worker = hub.worker().register::<goes_on>().register::<fails>();
        let _worker = worker.start().await.unwrap();
        let start = hub.client().start_orchestration::<goes_on>(());
        let output = start.await.unwrap().wait_for_completion().await;
        assert_eq!(output.unwrap(), "no");
    })
    .await;
}
