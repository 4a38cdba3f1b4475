//! What can be seen of a population in a directory, before and after it went on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use durable_core::{
    Client, HistoryError, HubError, OrchestrationStatus, Problem, ProblemKind, RuntimeStatus,
    TaskHub,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::programs::{self, WAKE};
use super::{Kind, Member};
use crate::line::Digest;

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sight {
    /// Why it could not be opened.
    pub(crate) refused: Option<String>,
    /// As it was found.
    pub(crate) found: BTreeMap<String, Seen>,
    /// The histories then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) histories: BTreeMap<String, Read>,
    /// What a full check said then.
    pub(crate) verified: Option<Result<(), String>>,
    /// When everything that can has ended.
    pub(crate) ended: BTreeMap<String, Seen>,
    /// Why it could not be closed.
    pub(crate) not_closed: Option<String>,
    /// After it was closed and opened once more.
    pub(crate) again: Option<Result<BTreeMap<String, Seen>, String>>,
    /// Panics of the library itself.
    pub(crate) panics: Vec<String>,
}

/// A history as it is exported, none of an instance that is not there, or what was said instead.
pub(crate) type Read = Result<Option<Digest>, String>;

/// An instance, to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Seen {
    Nothing,
    View(View),
    Error(String),
    /// It did not end in time.
    Stuck(View),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) status: RuntimeStatus,
    pub(crate) name: String,
    pub(crate) created_us: u64,
    pub(crate) input: Option<Digest>,
    pub(crate) output: Option<Digest>,
    pub(crate) custom_status: Option<String>,
    pub(crate) failure: Option<String>,
    pub(crate) problem: Option<ProblemKind>,
    /// What activities have reported.
    pub(crate) progress: Vec<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) execution: u32,
}

/// Everything else has ended by then, or never will.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks at the instances of these numbers, in a copy that may be damaged.
pub(crate) async fn look(dir: &Path, numbers: Range<u64>) -> Sight {
    let members: Vec<_> = numbers.map(Member::of).collect();
    let mut sight = Sight::default();
    let hub = match TaskHub::open(dir).await {
        Ok(hub) => hub,
        Err(error) => {
            sight.refused = Some(explain(&error));
            return sight;
        }
    };
    sight.found = statuses(&hub.client(), &members).await;
    sight.histories = histories(&hub.client(), &members).await;
    sight.verified = Some(verify(&hub).await);
    sight.ended = go_on(&hub, &members).await;
    if let Err(error) = hub.close().await {
        sight.not_closed = Some(explain(&error));
    }
    sight.again = Some(match TaskHub::open(dir).await {
        Ok(hub) => {
            let seen = statuses(&hub.client(), &members).await;
            // It had nothing to write.
            drop(hub.close().await);
            Ok(seen)
        }
        Err(error) => Err(explain(&error)),
    });
    sight
}

async fn verify(hub: &TaskHub) -> Result<(), String> {
    match hub.verify().await {
        Ok(verification) if verification.is_sound() => Ok(()),
        Ok(verification) => {
            let first = verification.damages.first().map(ToString::to_string);
            let found = verification.damages_found;
            Err(format!("{found} damages: {}", first.unwrap_or_default()))
        }
        Err(error) => Err(explain(&error)),
    }
}

/// Starts a worker, tells each what it waits for, and waits.
async fn go_on(hub: &TaskHub, members: &[Member]) -> BTreeMap<String, Seen> {
    programs::hold(false);
    let client = hub.client();
    let worker = programs::registered(hub.worker())
        .register::<programs::foster>()
        .start()
        .await;
    let worker = match worker {
        Ok(worker) => worker,
        Err(error) => {
            let all = members
                .iter()
                .map(|member| (member.id(), Seen::Error(explain(&error))));
            return all.collect();
        }
    };
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    let all = join_all(members.iter().map(|member| end(&client, *member)));
    let seen = tokio::select! { biased;
        seen = all => members.iter().map(|member| member.id()).zip(seen).collect(),
        () = &mut patience => {
            let mut seen = statuses(&client, members).await;
            for seen in seen.values_mut() {
                match seen {
                    Seen::View(view) if !view.status.is_terminal() => *seen = Seen::Stuck(view.clone()),
                    Seen::Nothing | Seen::View(_) | Seen::Error(_) | Seen::Stuck(_) => {}
                }
            }
            seen
        }
    };
    worker.shutdown().await;
    seen
}

/// Tells it what it waits for, and waits until it has ended.
async fn end(client: &Client, member: Member) -> Seen {
    let id = member.id();
    if let Err(error) = tell(client, member).await {
        return Seen::Error(error);
    }
    seen(match member.kind {
        Kind::Orphan | Kind::Purged | Kind::Leaving => client.status(&*id).await,
        Kind::Completed
        | Kind::Failed
        | Kind::Terminated
        | Kind::Sleeping
        | Kind::Due
        | Kind::Labouring
        | Kind::Retrying
        | Kind::Told
        | Kind::Pending
        | Kind::Foster
        | Kind::Parent
        | Kind::Renewed
        | Kind::Asking => client.wait_for_completion(&*id).await,
    })
}

async fn tell(client: &Client, member: Member) -> Result<(), String> {
    let id = member.id();
    match member.kind {
        Kind::Sleeping | Kind::Renewed | Kind::Parent => {
            let raised = client
                .raise_event(member.sleeper(), WAKE, &member.notes()[0])
                .await;
            raised.map_err(|error| explain(&error))
        }
        Kind::Retrying => {
            let terminated = client.terminate(id, "it takes too long").await;
            terminated.map_err(|error| explain(&error))
        }
        Kind::Leaving => client.purge(id).await.map_err(|error| explain(&error)),
        Kind::Completed
        | Kind::Failed
        | Kind::Terminated
        | Kind::Due
        | Kind::Labouring
        | Kind::Told
        | Kind::Pending
        | Kind::Orphan
        | Kind::Foster
        | Kind::Purged
        | Kind::Asking => Ok(()),
    }
}

async fn statuses(client: &Client, members: &[Member]) -> BTreeMap<String, Seen> {
    let all = members.iter().map(async |member| {
        let id = member.id();
        let seen = seen(client.status(&*id).await);
        (id, seen)
    });
    join_all(all).await.into_iter().collect()
}

/// One after the other: more at once would have to wait for each other.
async fn histories(client: &Client, members: &[Member]) -> BTreeMap<String, Read> {
    /// It is damaged then, and each look at what is may take seconds.
    const ENOUGH: usize = 3;
    let mut histories = BTreeMap::new();
    let mut failed = 0;
    for member in members {
        let id = member.id();
        let read = history(client, &id).await;
        failed += usize::from(read.is_err());
        histories.insert(id, read);
        if failed >= ENOUGH {
            break;
        }
    }
    histories
}

async fn history(client: &Client, id: &str) -> Read {
    let mut history = client.history(id);
    let mut text = String::new();
    loop {
        match history.next().await {
            Ok(Some(event)) => {
                let line = serde_json::to_string(&event).map_err(|error| explain(&error))?;
                text.push_str(&line);
                text.push('\n');
            }
            Ok(None) => return Ok(Some(Digest::of(&text))),
            Err(HistoryError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(explain(&error)),
        }
    }
}

fn seen(status: Result<Option<OrchestrationStatus>, HubError>) -> Seen {
    match status {
        Ok(Some(status)) => Seen::View(view(&status)),
        Ok(None) => Seen::Nothing,
        Err(error) => Seen::Error(explain(&error)),
    }
}

fn view(status: &OrchestrationStatus) -> View {
    let since_epoch = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    View {
        status: status.runtime_status(),
        name: status.name().to_owned(),
        created_us: u64::try_from(since_epoch(status.created_at()).as_micros()).unwrap_or_default(),
        input: status.input_json().map(Digest::of),
        output: status.output_json().map(Digest::of),
        custom_status: status.custom_status_json().map(str::to_owned),
        failure: status.failure().map(|failure| failure.message().to_owned()),
        problem: status.problem().map(Problem::kind),
        progress: status
            .progress()
            .map(|progress| format!("{}: {}", progress.activity_name(), progress.json()))
            .collect(),
        tags: status.tags().clone(),
        execution: status.execution_id().generation(),
    }
}

/// An error with its causes.
fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
