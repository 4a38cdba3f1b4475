//! A recorded history in which anything at all is changed: replay notices, or it is documented that
//! it does not compare that.

use std::collections::BTreeSet;

use serde_json::{Value, json as value};

use super::programs::world::World;
use super::*;
use crate::orchestrator::Orchestrator;
use crate::retry::RetryPolicy;

/// What may be changed without replay noticing, at least somewhere, and what `ARCHITECTURE.md` calls
/// it. The paths are those of the recorded types; those of payloads end in a dot, because what is in
/// them is their business.
const NOT_COMPARED: &[(Matching, &str, &str)] = {
    use Matching::{Strict, Tolerant};
    &[
        // Replay takes these for true; what the code makes of them is compared.
        (Strict, "time", "the time of a turn"),
        (Strict, "event.Started.input.", "inputs, results and data"),
        (
            Strict,
            "event.ActivityCompleted.output.",
            "inputs, results and data",
        ),
        (
            Strict,
            "event.ActivityFailed.failure.",
            "inputs, results and data",
        ),
        (
            Strict,
            "event.EventRaised.data.",
            "inputs, results and data",
        ),
        (
            Strict,
            "event.EventRaised.name",
            "events that nobody has taken",
        ),
        (Strict, "steps missing", "events that nobody has taken"),
        (Strict, "steps surplus", "events that nobody has taken"),
        (Strict, "steps order", "events that led to nothing"),
        (Strict, "event kind", "a result for a failure"),
        (Strict, "turns missing", "events that nobody has taken"),
        (Strict, "turns surplus", "events that nobody has taken"),
        (Strict, "turns order", "events that led to nothing"),
        (Strict, "end missing", "the end of a history"),
        (Strict, "event.Started.event_ids", "ids of events"),
        (Strict, "event.Started.event_ids missing", "ids of events"),
        (Strict, "event.Started.event_ids surplus", "ids of events"),
        (Strict, "event.EventRaised.id", "ids of events"),
        (
            Strict,
            "event.ChildCompleted.output.",
            "inputs, results and data",
        ),
        (
            Strict,
            "event.ChildFailed.failure.",
            "inputs, results and data",
        ),
        (
            Tolerant,
            "action.StartChild.options.",
            "retry policies and timeouts",
        ),
        (Tolerant, "action.StartChild.input. keys", "keys of objects"),
        (Tolerant, "action.SendEvent.data. keys", "keys of objects"),
        (
            Tolerant,
            "action.ContinueAsNew.input. keys",
            "keys of objects",
        ),
        // The same calls are the same step.
        (Strict, "actions order", "the order of actions"),
        (
            Tolerant,
            "action.ScheduleActivity.options.",
            "retry policies and timeouts",
        ),
        (
            Tolerant,
            "action.ScheduleActivity.input. keys",
            "keys of objects",
        ),
        (
            Tolerant,
            "action.SetCustomStatus.status. keys",
            "keys of objects",
        ),
        (Tolerant, "action.Complete.output. keys", "keys of objects"),
        (
            Tolerant,
            "action.Patched.name",
            "where a patch is asked for",
        ),
        (
            Strict,
            "action.Patched missing",
            "where a patch is asked for",
        ),
    ]
};

/// Everything that can be asked for.
fn everything(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
    body(async move {
        ctx.set_custom_status(&value!({ "phase": 1, "more": [true, null] }))
            .expect("JSON");
        let retry = RetryPolicy::exponential(3, secs(1)).max_interval(secs(5));
        let call = ctx.call_activity::<Post>(value!({ "a": { "b": [1, "x"] } }));
        let (posted, worked) = futures_util::join!(
            call.retry(retry).timeout(secs(9)),
            ctx.call_activity::<Work>(1)
        );
        let stepped = ctx.run("step", || async { Ok::<_, String>(1_u32) }).await;
        ctx.create_timer(secs(60)).await;
        let first = ctx
            .wait_for_external_event::<u32>("Go")
            .timeout(secs(60))
            .await;
        let second = ctx
            .wait_for_external_event::<u32>("Go")
            .timeout(secs(60))
            .await;
        let patched = ctx.patched("new");
        if patched {
            ctx.set_custom_status("new").expect("JSON");
        }
        // Nothing follows from what it returns.
        let _ = ctx.call_activity::<Work>(2).await;
        let results = (posted, worked, stepped, first, second);
        value!({ "results": format!("{results:?}"), "drawn": ctx.random_u64() })
    })
}

const EVERYTHING: &[(&str, &str)] = &[
    (
        "@0 start",
        "status {\"more\":[true,null],\"phase\":1}; \
         call #0 post {\"a\":{\"b\":[1,\"x\"]}} retried within 9s; call #1 work 1",
    ),
    ("@1 done #1 7", "-"),
    ("failed #0 \"no\"", "call #2 step null"),
    ("@2 raise other 1", "-"),
    ("done #2 1", "timer #3 at 62"),
    ("raise go 1", "-"),
    ("@3 raise other 2", "-"),
    ("@4 raise other 3", "-"),
    ("@62 fired #3", "wait #4 go; wait #6 go; timer #7 at 122"),
];

/// An orchestrator that nobody runs: the test says how it ended. It has the name of all that are
/// tested here, which can go on as another version of theirs only.
struct Kid;

impl Orchestrator for Kid {
    type Input = Value;
    type Output = u32;
    type Error = String;
    const NAME: &'static str = "fulfil";
    const VERSION: &'static str = "1";

    fn run(_: OrchestrationContext, _: Payload) -> OrchestratorFuture {
        unreachable!("the test answers for it")
    }
}

/// One that has to do with others.
fn family(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
    body(async move {
        let call = |input| ctx.call_sub_orchestrator::<Kid>(value!({ "n": input }));
        let first = call(1).retry(RetryPolicy::fixed(2, secs(1))).await;
        let _ = call(2).detach();
        let second = call(3).id("kid-3").version("2").await;
        let sent = ctx.raise_event("other", "News", &value!({ "a": [1] }));
        let seen = format!("{first:?} {second:?} {sent:?}");
        // Nothing follows from how it ends.
        let _ = call(4).await;
        let () = ctx
            .continue_as_new::<Kid, _>(value!({ "seen": seen }))
            .await;
    })
}

/// A history of `family`; an execution before it had seen an event with an id.
fn family_history() -> Vec<Turn> {
    let rows = ["@0 start", "ended #0 7", "@1 broke #2 \"no\"", "ended #4 1"];
    let mut turns = begin(family, &[], &rows);
    if let Event::Started(started) = &mut turns[0].steps[0].event {
        started.event_ids.push("one".into());
    }
    turns
}

/// It ends with an error.
fn fails(ctx: OrchestrationContext, input: Payload) -> OrchestratorFuture {
    Box::pin(async move {
        let work: u32 = input.decode().unwrap_or(0);
        let message = text(ctx.call_activity::<Work>(work).await);
        let failure = FailureDetails::new(FailureKind::Application, "E", message);
        Err(failure.with_value(json("{\"a\":1}")))
    })
}

/// Several calls under way, of which some are dropped.
fn races(ctx: OrchestrationContext, _: Payload) -> OrchestratorFuture {
    body(async move {
        let mut seen = Vec::new();
        // Nothing follows from what is said.
        ctx.patched("quiet");
        for round in 0..3 {
            let [a, b] = [1, 2].map(|n| ctx.call_activity::<Work>(round + n));
            seen.push(tokio::select! { biased;
                a = a => text(a),
                b = b => text(b),
                () = ctx.create_timer(secs(1)) => "late".to_owned(),
                event = ctx.wait_for_external_event::<u32>("Go") => format!("{event:?}"),
            });
        }
        seen
    })
}

#[test]
fn whatever_is_changed_in_a_history_is_noticed_or_documented() {
    let mut histories = vec![
        (
            everything as RunOrchestrator,
            begin(everything, EVERYTHING, &["@122 fired #7", "done #8 1"]),
        ),
        (
            fails,
            begin(fails, &[("start 1", "call #0 work 1")], &["done #0 7"]),
        ),
    ];
    histories.push((family, family_history()));
    histories.extend((0..3).map(|seed| {
        (
            races as RunOrchestrator,
            World::new(seed).run(races).turns(),
        )
    }));
    let mut found = BTreeSet::new();
    for (run, turns) in &histories {
        for matching in [Matching::Strict, Matching::Tolerant] {
            replay(*run, turns, matching).expect("replays");
            for (what, mutant) in mutants(turns) {
                if replay(*run, &mutant, matching).is_ok() {
                    found.insert((matching == Matching::Strict, what));
                }
            }
        }
    }
    let mut unused: BTreeSet<_> = NOT_COMPARED.iter().map(|(_, what, _)| *what).collect();
    for (strict, what) in &found {
        let row = NOT_COMPARED.iter().find(|(matching, path, _)| {
            let inner = path.ends_with('.') && what.starts_with(path);
            (what == path || inner) && (!strict || *matching == Matching::Strict)
        });
        let (_, path, _) = row.unwrap_or_else(|| panic!("not noticed (strict: {strict}): {what}"));
        unused.remove(path);
    }
    assert!(unused.is_empty(), "always noticed: {unused:?}");
    let documented = include_str!("../../../../ARCHITECTURE.md");
    for (_, _, called) in NOT_COMPARED {
        assert!(documented.contains(called), "not documented: {called}");
    }
}

/// A script, and how it goes on and ends.
fn begin(run: RunOrchestrator, script: &[(&str, &str)], more: &[&str]) -> Vec<Turn> {
    check(run, script);
    let mut live = Live::new(run);
    for (row, _) in script {
        live.feed(row);
    }
    for row in more {
        live.feed(row);
    }
    live.turns
}

/// All histories that differ from this one in one place, and what that is.
fn mutants(turns: &[Turn]) -> Vec<(String, Vec<Turn>)> {
    let original = serde_json::to_value(turns).expect("JSON");
    let mut mutants = Vec::new();
    change(&original, "turns", &mut |what, changed| {
        mutants.push((what, changed));
    });
    let turns_of = |(what, changed)| {
        // What is not a history at all is not read from disk either.
        let changed: Vec<Turn> = serde_json::from_value(changed).ok()?;
        (changed != turns).then_some((what, changed))
    };
    mutants.into_iter().filter_map(turns_of).collect()
}

/// Everything that can be done to a value.
fn change(value: &Value, path: &str, found: &mut dyn FnMut(String, Value)) {
    match value {
        Value::Null => {
            let others = [
                value!("x"),
                value!(1),
                value!({ "secs": 1, "nanos": 0 }),
                value!({ "instance": "p", "number": 1, "execution": 0, "call": 0, "attempt": 1, "depth": 1 }),
            ];
            for other in others {
                found(path.to_owned(), other);
            }
        }
        Value::Bool(bool) => found(path.to_owned(), value!(!bool)),
        Value::Number(number) => {
            let others = [
                number.as_u64().map(|number| value!(number + 1)),
                number
                    .as_u64()
                    .and_then(|number| number.checked_sub(1))
                    .map(|number| value!(number)),
                number.as_f64().map(|number| value!(number + 0.5)),
            ];
            for other in others.into_iter().flatten() {
                found(path.to_owned(), other);
            }
        }
        Value::String(text) => {
            for other in [
                format!("{text}x"),
                "Panic".into(),
                "Timeout".into(),
                String::new(),
            ] {
                found(path.to_owned(), value!(other));
            }
        }
        Value::Array(items) => change_items(items, path, found),
        Value::Object(fields) => {
            for (key, field) in fields {
                let with = |changed| {
                    let mut fields = fields.clone();
                    fields.insert(key.clone(), changed);
                    Value::Object(fields)
                };
                change(field, &inner(path, key), &mut |what, changed| {
                    found(what, with(changed));
                });
                let mut fields = fields.clone();
                fields.remove(key);
                found(format!("{path} keys"), Value::Object(fields));
            }
            let mut fields = fields.clone();
            fields.insert("surplus".into(), value!(1));
            found(format!("{path} keys"), Value::Object(fields));
        }
    }
}

/// Each missing, twice, in the place of the next, and other than it was.
fn change_items(items: &[Value], path: &str, found: &mut dyn FnMut(String, Value)) {
    let one = match path {
        "turns" => "",
        "steps" => "step",
        "actions" => "action",
        other => other,
    };
    for (index, item) in items.iter().enumerate() {
        let with = |replaced: Vec<Value>| {
            let mut items = items.to_vec();
            items.splice(index..=index, replaced);
            Value::Array(items)
        };
        let is_marker = path == "actions" && item.get("Patched").is_some();
        let named = if is_marker { "action.Patched" } else { path };
        let last = path == "turns" && index + 1 == items.len();
        found(
            if last {
                "end missing".into()
            } else {
                format!("{named} missing")
            },
            with(Vec::new()),
        );
        found(format!("{named} surplus"), with(vec![item.clone(); 2]));
        change(item, one, &mut |what, changed| {
            found(what, with(vec![changed]));
        });
        if index > 0 {
            let mut items = items.to_vec();
            items.swap(index - 1, index);
            found(format!("{path} order"), Value::Array(items));
        }
        let kinds = match path {
            "actions" => other_actions(item),
            "steps" => other_events(item),
            _ => Vec::new(),
        };
        for kind in kinds {
            found(
                format!("{} kind", if path == "steps" { "event" } else { one }),
                with(vec![kind]),
            );
        }
    }
}

/// The path of a field; that of a payload and of what is in it ends in a dot.
fn inner(path: &str, key: &str) -> String {
    let open = ["input", "output", "data", "status", "failure", "options"];
    match path {
        "" | "step" => key.to_owned(),
        path if path.ends_with('.') => path.to_owned(),
        path if open.contains(&key) => format!("{path}.{key}."),
        path => format!("{path}.{key}"),
    }
}

/// An action of every other kind with the same id.
fn other_actions(action: &Value) -> Vec<Value> {
    let id = id_of(action);
    let options = value!({ "retry": null, "timeout": null });
    let failure = FailureDetails::new(FailureKind::Application, "E", "no");
    others(
        action,
        [
            value!({ "ScheduleActivity": { "call": id, "name": "work", "input": 1, "options": options, "inline": false } }),
            value!({ "CreateTimer": { "call": id, "due": 60_000_001 } }),
            value!({ "AwaitEvent": { "call": id, "name": "go" } }),
            value!({ "Cancel": { "call": id } }),
            value!({ "SetCustomStatus": { "status": 1 } }),
            value!({ "SendEvent": { "call": id, "to": "other", "name": "go", "data": 1 } }),
            value!({ "ContinueAsNew": { "version": "1", "input": 1, "keep_events": true } }),
            value!({ "Complete": { "output": 1 } }),
            value!({ "Fail": { "failure": failure } }),
        ],
    )
}

/// The step with an event of every other kind of the same call.
fn other_events(step: &Value) -> Vec<Value> {
    let event = &step["event"];
    let id = id_of(event);
    let failure = FailureDetails::new(FailureKind::Application, "E", "no");
    let events = others(
        event,
        [
            value!({ "ActivityCompleted": { "call": id, "output": 1 } }),
            value!({ "ActivityFailed": { "call": id, "failure": failure } }),
            value!({ "TimerFired": { "call": id } }),
            value!({ "ChildCompleted": { "call": id, "output": 1 } }),
            value!({ "EventRaised": { "name": "go", "data": 1, "id": null } }),
            value!({ "Terminated": { "reason": null, "children": false } }),
        ],
    );
    let with = |event| {
        let mut step = step.clone();
        step["event"] = event;
        step
    };
    events.into_iter().map(with).collect()
}

fn id_of(value: &Value) -> Value {
    let fields = value.as_object().and_then(|kind| kind.values().next());
    let id = fields.and_then(|fields| fields.get("call")).cloned();
    id.unwrap_or(value!(0))
}

fn others<const N: usize>(value: &Value, samples: [Value; N]) -> Vec<Value> {
    let kind = |value: &Value| {
        value
            .as_object()
            .and_then(|kind| kind.keys().next())
            .cloned()
    };
    samples
        .into_iter()
        .filter(|sample| kind(sample) != kind(value))
        .collect()
}
