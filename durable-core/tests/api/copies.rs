//! Compaction and backup, as a program meets them.

use std::fs;

use durable_core::{CopyError, RuntimeStatus, TaskHub};
use tempfile::TempDir;

use super::{Place, Steps, chain, echo, listen, names, soon, status_when, worker};

#[tokio::test]
async fn what_runs_and_what_has_ended_outlives_a_compaction() {
    let place = Place::new();
    let hub = place.open().await;
    let (steps, mut begun) = Steps::held();
    let running = worker(&hub, &steps).start().await.unwrap();
    let client = hub.client();
    let chained = client
        .start_orchestration::<chain>(names(&["a", "b"]))
        .id("c");
    let chained = chained.await.unwrap();
    for n in 0..50 {
        let text = format!("{n}").repeat(2_000);
        let echoed = client
            .start_orchestration::<echo>(text.clone())
            .id(format!("e{n}"));
        assert_eq!(
            soon(echoed.await.unwrap().wait_for_completion())
                .await
                .unwrap(),
            text
        );
    }
    assert_eq!(soon(begun.recv()).await.unwrap(), "a");

    let compacted = soon(hub.compact()).await.unwrap();
    assert!(compacted.bytes_before > 0 && compacted.bytes_after > 0);
    steps.end(2);
    assert_eq!(
        soon(chained.wait_for_completion()).await.unwrap(),
        ["A", "B"]
    );
    soon(hub.compact()).await.unwrap();
    running.shutdown().await;
    hub.close().await.unwrap();

    let hub = place.open().await;
    for n in 0..50 {
        let status = hub
            .client()
            .status(&format!("e{n}"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(status.runtime_status(), RuntimeStatus::Completed);
        let text = format!("{n}").repeat(2_000);
        assert_eq!(status.output::<String>().unwrap().unwrap(), text);
    }
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_backup_goes_on_by_itself() {
    let parent = TempDir::new().unwrap();
    let backup = parent.path().join("monday.db");
    let place = Place::new();
    let hub = place.open().await;
    let listening = worker(&hub, &Steps::free().0).start().await.unwrap();
    let listener = hub
        .client()
        .start_orchestration::<listen>("Go".to_owned())
        .id("l");
    let listener = listener.await.unwrap();
    status_when(&hub.client(), "l", |status| {
        status.runtime_status() == RuntimeStatus::Running
    })
    .await;
    soon(hub.backup(&backup)).await.unwrap();
    listener.raise_event("Go", "here").await.unwrap();
    assert_eq!(soon(listener.wait_for_completion()).await.unwrap(), "here");
    assert!(matches!(
        soon(hub.backup(&backup)).await,
        Err(CopyError::Target { .. })
    ));

    let copy = TaskHub::open(&backup).await.unwrap();
    let copied = worker(&copy, &Steps::free().0).start().await.unwrap();
    let client = copy.client();
    let listener = client.instance::<listen>("l").unwrap();
    let status = listener.status().await.unwrap().unwrap();
    assert_eq!(status.runtime_status(), RuntimeStatus::Running);
    client.raise_event("l", "Go", "there").await.unwrap();
    let status = soon(client.wait_for_completion("l"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.output::<String>().unwrap().unwrap(), "there");
    copied.shutdown().await;
    copy.close().await.unwrap();
    listening.shutdown().await;
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_hub_in_memory_has_nothing_to_copy() {
    let parent = TempDir::new().unwrap();
    let hub = TaskHub::in_memory().await.unwrap();
    let compacted = hub.compact().await.unwrap();
    assert_eq!((compacted.bytes_before, compacted.bytes_after), (0, 0));
    let backup = hub.backup(parent.path().join("backup.db")).await;
    assert!(matches!(backup, Err(CopyError::InMemory)), "{backup:?}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_closed_hub_says_so_and_leaves_nothing() {
    let parent = TempDir::new().unwrap();
    let backup = parent.path().join("backup.db");
    let place = Place::new();
    let hub = place.open().await;
    let other = hub.clone();
    // Begun, and perhaps cut off.
    let compaction = tokio::spawn(async move { (other.compact().await, other) });
    soon(hub.close()).await.unwrap();
    let (compacted, closed) = soon(compaction).await.unwrap();
    assert!(
        matches!(compacted, Ok(_) | Err(CopyError::Closed)),
        "{compacted:?}"
    );
    assert!(matches!(closed.compact().await, Err(CopyError::Closed)));
    assert!(matches!(
        closed.backup(&backup).await,
        Err(CopyError::Closed)
    ));
    assert!(!backup.exists());
    // The directory is free again as soon as the hub is closed.
    let path = place.0.path().join("orders.db");
    TaskHub::open(path).await.unwrap().close().await.unwrap();
}
