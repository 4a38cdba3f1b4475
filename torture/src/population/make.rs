//! Makes a population, and leaves it.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use durable_core::{Client, Orchestrator, StartError, TaskHub};
use futures_util::future::try_join_all;

use super::programs::{self, NAP, NOTE, THERE, Task};
use super::{Kind, Member};
use crate::AnyError;

/// How a directory is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Closed in good order.
    Closed,
    /// With everything acknowledged, and open.
    Open,
}

/// Adds the instances of these numbers to the hub in `dir`. Afterwards what naps there is due.
pub(crate) async fn make(dir: &Path, numbers: Range<u64>, leave: Leave) -> Result<(), AnyError> {
    programs::hold(true);
    let members: Vec<_> = numbers.map(Member::of).collect();
    let of = |kinds: &[Kind]| -> Vec<Member> {
        let is_one = |member: &&Member| kinds.contains(&member.kind);
        members.iter().filter(is_one).copied().collect()
    };
    // Files of two hubs are swapped: they must be of one generation.
    let options = TaskHub::options().compaction_factor(0);
    let hub = options.open(dir).await?;
    let client = hub.client();

    // What is to be blocked is refused by a worker that does not know it.
    start(&client, of(&[Kind::Orphan, Kind::Foster])).await?;
    let worker = programs::registered(hub.worker()).shutdown_timeout(Duration::ZERO);
    let worker = worker.start().await?;
    let ended = of(&[Kind::Completed, Kind::Failed, Kind::Purged, Kind::Leaving]);
    start(&client, ended.clone()).await?;
    let open = [
        Kind::Terminated,
        Kind::Sleeping,
        Kind::Labouring,
        Kind::Retrying,
        Kind::Told,
        Kind::Parent,
        Kind::Renewed,
    ];
    start(&client, of(&open)).await?;
    let asking = of(&[Kind::Asking]);
    start(&client, asking.clone()).await?;
    let waits = ended
        .iter()
        .map(|member| client.wait_for_completion(member.id()));
    try_join_all(waits).await?;
    try_join_all(of(&open).iter().map(|member| arrive(&client, *member))).await?;
    while programs::ASKING.load(Ordering::Relaxed) < asking.len() {
        tokio::time::sleep(GLANCE).await;
    }
    let terminated = of(&[Kind::Terminated]);
    let ends = terminated
        .iter()
        .map(|member| client.terminate(member.id(), "enough"));
    try_join_all(ends).await?;
    start(&client, of(&[Kind::Due])).await?;
    try_join_all(
        of(&[Kind::Due])
            .iter()
            .map(|member| arrive(&client, *member)),
    )
    .await?;
    let purged = of(&[Kind::Purged]);
    try_join_all(purged.iter().map(|member| client.purge(member.id()))).await?;
    worker.shutdown().await;

    start(&client, of(&[Kind::Pending])).await?;
    for member in of(&[Kind::Told]) {
        for note in member.notes() {
            client.raise_event(member.id(), NOTE, &note).await?;
        }
    }
    match leave {
        Leave::Closed => hub.close().await?,
        // Nothing in this process closes it.
        Leave::Open => std::mem::forget((hub, client)),
    }
    tokio::time::sleep(NAP).await;
    Ok(())
}

/// Between two looks at what makes itself known to nobody.
const GLANCE: Duration = Duration::from_millis(2);

/// Waits until it has come as far as it is to be left.
async fn arrive(client: &Client, member: Member) -> Result<(), AnyError> {
    loop {
        let status = client.status(member.id()).await?.ok_or("it is not there")?;
        let reports = member.kind == Kind::Labouring;
        if status.custom_status::<String>()?.as_deref() == Some(THERE)
            && (!reports || status.progress().next().is_some())
        {
            return Ok(());
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn start(client: &Client, members: Vec<Member>) -> Result<(), AnyError> {
    try_join_all(members.into_iter().map(|member| start_one(client, member))).await?;
    Ok(())
}

pub(crate) async fn start_one(client: &Client, member: Member) -> Result<(), StartError> {
    match member.kind {
        Kind::Completed | Kind::Pending | Kind::Purged | Kind::Leaving => {
            start_as::<programs::settle>(client, member).await
        }
        Kind::Failed => start_as::<programs::refuse>(client, member).await,
        Kind::Terminated | Kind::Sleeping => start_as::<programs::rest>(client, member).await,
        Kind::Due => start_as::<programs::doze>(client, member).await,
        Kind::Labouring => start_as::<programs::labour>(client, member).await,
        Kind::Retrying => start_as::<programs::persist>(client, member).await,
        Kind::Told => start_as::<programs::gather>(client, member).await,
        Kind::Orphan => start_as::<programs::orphan>(client, member).await,
        Kind::Foster => start_as::<programs::foster>(client, member).await,
        Kind::Parent => start_as::<programs::beget>(client, member).await,
        Kind::Renewed => start_as::<programs::renew>(client, member).await,
        Kind::Asking => start_as::<programs::ask>(client, member).await,
    }
}

async fn start_as<O: Orchestrator<Input = Task>>(
    client: &Client,
    member: Member,
) -> Result<(), StartError> {
    let mut start = client.start_orchestration::<O>(member.task());
    if member.kind == Kind::Parent {
        start = start.tag("who", "parent").tag("n", member.n.to_string());
    }
    if member.kind == Kind::Pending && (member.n / 16).is_multiple_of(2) {
        start = start.start_after(NAP);
    }
    start.id(member.id()).await?;
    Ok(())
}
