//! A hub that was rolled back or is damaged: refused and left alone, unless its loss is accepted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use durable_core::{HubError, OpenError, StoreError, TaskHub};

use super::{Place, Steps, echo, listen, nap, soon, worker};

fn path_of(place: &Place) -> PathBuf {
    place.0.path().join("orders.db")
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below, with what is in it.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

async fn start_listening(hub: &TaskHub, id: &str) {
    let start = hub.client().start_orchestration::<listen>("go".to_owned());
    start.id(id).await.unwrap();
}

async fn run(hub: &TaskHub, id: &str) {
    let start = hub.client().start_orchestration::<echo>(id.to_owned());
    let instance = start.id(id).await.unwrap();
    soon(instance.wait_for_completion()).await.unwrap();
}

async fn incarnation(hub: &TaskHub, id: &str) -> u64 {
    let status = hub.client().status(id).await.unwrap();
    status.unwrap().incarnation()
}

/// A hub with `old` and `listening`, whose data is older than its anchor: `new` and `newer` are
/// lost. Returns the number of `newer`.
async fn rolled_back(place: &Place) -> u64 {
    let path = path_of(place);
    let hub = place.open().await;
    let started = worker(&hub, &Steps::free().0).start().await.unwrap();
    run(&hub, "old").await;
    start_listening(&hub, "listening").await;
    started.shutdown().await;
    hub.close().await.unwrap();
    copy_directory(&path.join("sled-1"), &place.0.path().join("aside"));

    let hub = place.open().await;
    let started = worker(&hub, &Steps::free().0).start().await.unwrap();
    let client = hub.client();
    client.raise_event("listening", "go", "on").await.unwrap();
    soon(client.wait_for_completion("listening")).await.unwrap();
    run(&hub, "new").await;
    run(&hub, "newer").await;
    let last = incarnation(&hub, "newer").await;
    started.shutdown().await;
    hub.close().await.unwrap();
    fs::remove_dir_all(path.join("sled-1")).unwrap();
    fs::rename(place.0.path().join("aside"), path.join("sled-1")).unwrap();
    last
}

#[tokio::test]
async fn a_rolled_back_hub_is_refused_as_often_as_it_is_opened() {
    let place = Place::new();
    rolled_back(&place).await;
    let path = path_of(&place);
    let mut refusals = Vec::new();
    let mut left = None;
    for _ in 0..3 {
        let error = TaskHub::open(&path).await.unwrap_err();
        match &error {
            OpenError::RolledBack {
                path: named,
                have,
                had,
            } => {
                assert!(*named == path && have < had, "{error}");
                assert!(error.to_string().contains("accept_loss"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        refusals.push(error.to_string());
        let files = contents(&path);
        if let Some(left) = left.replace(files.clone()) {
            assert!(left == files, "it is changed by being refused");
        }
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
}

#[tokio::test]
async fn an_accepted_loss_is_told_and_nothing_new_takes_its_place() {
    let place = Place::new();
    let last = rolled_back(&place).await;
    let (have, had) = match TaskHub::open(path_of(&place)).await.unwrap_err() {
        OpenError::RolledBack { have, had, .. } => (have, had),
        other => panic!("{other:?}"),
    };
    let hub = place.open_with(TaskHub::options().accept_loss(true)).await;
    let loss = hub.accepted_loss().unwrap();
    assert_eq!((loss.commits, loss.instances), (had - have, 2), "{loss}");
    assert!(loss.damage[0].contains("was rolled back"), "{loss}");
    let client = hub.client();
    for lost in ["new", "newer"] {
        assert_eq!(client.status(lost).await.unwrap(), None);
    }
    let started = worker(&hub, &Steps::free().0).start().await.unwrap();
    // What was there is as it was then, and goes on from there.
    let old = client.status("old").await.unwrap().unwrap();
    assert_eq!(old.output::<String>().unwrap().as_deref(), Some("old"));
    client
        .raise_event("listening", "go", "again")
        .await
        .unwrap();
    let again = soon(client.wait_for_completion("listening")).await.unwrap();
    assert_eq!(
        again.unwrap().output::<String>().unwrap().as_deref(),
        Some("again")
    );
    run(&hub, "new").await;
    assert!(incarnation(&hub, "new").await > last);
    started.shutdown().await;
    hub.close().await.unwrap();

    let hub = place.open().await;
    assert_eq!(hub.accepted_loss(), None);
    for id in ["old", "listening", "new"] {
        assert!(hub.client().status(id).await.unwrap().is_some());
    }
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_loss_is_accepted_for_good_even_if_nothing_is_done_then() {
    let place = Place::new();
    rolled_back(&place).await;
    let hub = place.open_with(TaskHub::options().accept_loss(true)).await;
    hub.close().await.unwrap();
    let hub = place.open_with(TaskHub::options().accept_loss(true)).await;
    assert_eq!(hub.accepted_loss(), None, "a sound hub loses nothing");
    hub.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_was_emptied_begins_anew_behind_what_was() {
    let place = Place::new();
    let path = path_of(&place);
    let hub = place.open().await;
    start_listening(&hub, "x").await;
    let before = incarnation(&hub, "x").await;
    hub.close().await.unwrap();
    for file in fs::read_dir(path.join("sled-1")).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    File::create(path.join("sled-1/db")).unwrap();
    assert!(matches!(
        TaskHub::open(&path).await,
        Err(OpenError::RolledBack { have: 0, .. })
    ));
    let hub = place.open_with(TaskHub::options().accept_loss(true)).await;
    let loss = hub.accepted_loss().unwrap();
    assert_eq!(loss.instances, 1, "{loss}");
    assert!(loss.to_string().contains("signing key"), "{loss}");
    assert_eq!(hub.client().status("x").await.unwrap(), None);
    start_listening(&hub, "x").await;
    assert!(incarnation(&hub, "x").await > before);
    hub.close().await.unwrap();
    let hub = place.open().await;
    assert!(hub.client().status("x").await.unwrap().is_some());
    hub.close().await.unwrap();
}

#[tokio::test]
async fn of_a_shortened_database_what_can_be_read_is_right() {
    let place = Place::new();
    // Where its files are must be known.
    let hub = place
        .open_with(TaskHub::options().compaction_factor(0))
        .await;
    let started = worker(&hub, &Steps::free().0).start().await.unwrap();
    for n in 0..40 {
        let text = format!("{n}{}", "x".repeat(100_000));
        let start = hub.client().start_orchestration::<echo>(text);
        let instance = start.id(n.to_string()).await.unwrap();
        soon(instance.wait_for_completion()).await.unwrap();
    }
    started.shutdown().await;
    hub.close().await.unwrap();
    let db = File::options()
        .write(true)
        .open(path_of(&place).join("sled-1/db"))
        .unwrap();
    let len = db.metadata().unwrap().len();
    db.set_len(len - len / 3).unwrap();
    drop(db);
    let refused = TaskHub::open(path_of(&place)).await;
    assert!(
        matches!(
            refused,
            Err(OpenError::RolledBack { .. } | OpenError::Corrupt { .. })
        ),
        "{refused:?}"
    );
    let options = TaskHub::options().accept_loss(true);
    let hub = match options.open(path_of(&place)).await {
        Ok(hub) => hub,
        Err(error) => {
            // sled cannot open it at all.
            assert!(error.to_string().contains("move it away"), "{error}");
            return;
        }
    };
    assert!(hub.accepted_loss().is_some());
    for n in 0..40 {
        match hub.client().status(n.to_string()).await {
            Ok(Some(status)) => {
                let input: Option<String> = status.input().unwrap();
                assert!(input.unwrap().starts_with(&format!("{n}x")));
            }
            Ok(None) | Err(HubError::Store(StoreError::Corrupt { .. })) => {}
            other => panic!("{other:?}"),
        }
    }
    let start = hub.client().start_orchestration::<nap>(1).id("after");
    start.await.unwrap();
    hub.close().await.unwrap();
}

#[tokio::test]
async fn where_nothing_can_be_opened_the_error_says_what_to_do() {
    for damage in [
        |path: &Path| fs::write(path.join("anchor"), "junk").unwrap(),
        |path: &Path| fs::remove_file(path.join("anchor")).unwrap(),
        |path: &Path| fs::remove_file(path.join("sled-1/db")).unwrap(),
        |path: &Path| fs::write(path.join("sled-1/blobs/123"), "x").unwrap(),
        |path: &Path| {
            let other = path.with_extension("other");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let made = std::thread::spawn({
                let other = other.clone();
                move || {
                    runtime.block_on(async {
                        let hub = TaskHub::open(&other).await.unwrap();
                        for id in ["a", "b", "c", "d"] {
                            start_listening(&hub, id).await;
                        }
                        hub.close().await.unwrap();
                    });
                }
            });
            made.join().unwrap();
            fs::remove_dir_all(path.join("sled-1")).unwrap();
            fs::rename(other.join("sled-1"), path.join("sled-1")).unwrap();
        },
    ] {
        let place = Place::new();
        let hub = place.open().await;
        start_listening(&hub, "x").await;
        hub.close().await.unwrap();
        let path = path_of(&place);
        damage(&path);
        let before = contents(&path);
        let error = TaskHub::options().accept_loss(true).open(&path).await;
        match &error {
            Err(OpenError::Corrupt {
                path: named,
                detail,
            }) => {
                assert_eq!(*named, path);
                assert!(detail.contains("move it away"), "{detail}");
            }
            other => panic!("{other:?}"),
        }
        let is_ours = |path: &&PathBuf| !path.starts_with(path_of(&place).join("sled-1"));
        let after = contents(&path);
        assert!(
            before
                .keys()
                .filter(is_ours)
                .eq(after.keys().filter(is_ours))
        );
    }
}
