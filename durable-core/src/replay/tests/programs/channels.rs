//! Branches that talk to each other: channels, locks, signals.

use std::sync::Arc;

use tokio::sync::{Barrier, Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::*;

#[test]
fn a_oneshot() {
    check(|ctx, _| {
        body(async move {
            let (sender, receiver) = oneshot::channel();
            let produce = async {
                let _ = sender.send(two_steps(ctx, 1).await);
                two_steps(ctx, 2).await
            };
            let consume = async { (receiver.await.ok(), two_steps(ctx, 3).await) };
            tokio::join!(consume, produce, two_steps(ctx, 4))
        })
    });
}

async fn produce(ctx: OrchestrationContext, sender: mpsc::Sender<String>, first: u32) {
    for input in first..first + 4 {
        if sender.send(two_steps(ctx, input).await).await.is_err() {
            break;
        }
    }
}

#[test]
fn an_mpsc_with_two_who_send() {
    check(|ctx, _| {
        body(async move {
            let (sender, mut receiver) = mpsc::channel(1);
            let consume = async {
                let mut seen = Vec::new();
                while let Some(message) = receiver.recv().await {
                    seen.push(message);
                    seen.push(text(work(ctx, 99).await));
                }
                seen
            };
            let producers = (produce(ctx, sender.clone(), 0), produce(ctx, sender, 10));
            tokio::join!(producers.0, producers.1, consume).2
        })
    });
}

#[test]
fn an_mpsc_whose_receiver_stops_early() {
    check(|ctx, _| {
        body(async move {
            let (sender, mut receiver) = mpsc::channel(2);
            let consume = async move { (receiver.recv().await, receiver.recv().await) };
            let producers = (produce(ctx, sender.clone(), 0), produce(ctx, sender, 10));
            tokio::join!(consume, producers.0, producers.1).0
        })
    });
}

#[test]
fn an_unbounded_mpsc_that_a_select_reads() {
    check(|ctx, _| {
        body(async move {
            let (sender, mut receiver) = mpsc::unbounded_channel();
            let produce = async move {
                for input in 0..6 {
                    let _ = sender.send(two_steps(ctx, input).await);
                }
            };
            let consume = async {
                let mut seen = Vec::new();
                loop {
                    tokio::select! { biased;
                        message = receiver.recv() => match message {
                            Some(message) => seen.push(message),
                            None => break seen,
                        },
                        () = ctx.create_timer(secs(1)) => seen.push("tick".into()),
                    }
                }
            };
            futures_util::join!(produce, consume).1
        })
    });
}

#[test]
fn a_mutex_held_over_a_call() {
    check(|ctx, _| {
        body(async move {
            let log = Mutex::new(Vec::new());
            let branch = async |input| {
                for _ in 0..3 {
                    let _ = work(ctx, input).await;
                    let mut log = log.lock().await;
                    log.push(two_steps(ctx, input).await);
                }
            };
            tokio::join!(branch(1), branch(2), branch(3));
            log.into_inner()
        })
    });
}

#[test]
fn a_mutex_of_the_futures_crate() {
    check(|ctx, _| {
        body(async move {
            let log = futures_util::lock::Mutex::new(Vec::new());
            let branch = async |input| {
                let _ = work(ctx, input).await;
                log.lock().await.push(two_steps(ctx, input).await);
            };
            futures_util::join!(branch(1), branch(2), branch(3), branch(4));
            log.into_inner()
        })
    });
}

#[test]
fn a_lock_for_readers_and_writers() {
    check(|ctx, _| {
        body(async move {
            let total = RwLock::new(0);
            let write = async |input| {
                let mut total = total.write().await;
                *total += work(ctx, input).await.unwrap_or(0);
            };
            let read = async |input| {
                let total = total.read().await;
                (*total, work(ctx, input).await.unwrap_or(0))
            };
            tokio::join!(write(1), read(2), write(3), read(4), read(5), write(6))
        })
    });
}

#[test]
fn a_semaphore_that_lets_two_through() {
    check(|ctx, _| {
        body(async move {
            let permits = Arc::new(Semaphore::new(2));
            let branch = |input| {
                let permits = Arc::clone(&permits);
                async move {
                    let _permit = permits.acquire_owned().await.expect("open");
                    two_steps(ctx, input).await
                }
            };
            futures_util::future::join_all((0..40).map(branch)).await
        })
    });
}

#[test]
fn a_notify() {
    check(|ctx, _| {
        body(async move {
            let (one, all) = (Notify::new(), Notify::new());
            let wait = async |input| {
                let released = all.notified();
                one.notified().await;
                let result = two_steps(ctx, input).await;
                one.notify_one();
                released.await;
                result
            };
            let release = async {
                let _ = two_steps(ctx, 9).await;
                one.notify_one();
                let _ = two_steps(ctx, 9).await;
                all.notify_waiters();
            };
            tokio::join!(wait(1), wait(2), wait(3), release)
        })
    });
}

#[test]
fn a_barrier() {
    check(|ctx, _| {
        body(async move {
            let barrier = Barrier::new(3);
            let branch = async |input| {
                let mut seen = Vec::new();
                for _ in 0..3 {
                    seen.push(two_steps(ctx, input).await);
                    seen.push(barrier.wait().await.is_leader().to_string());
                }
                seen
            };
            tokio::join!(branch(1), branch(2), branch(3))
        })
    });
}

#[test]
fn a_broadcast() {
    check(|ctx, _| {
        body(async move {
            let (sender, _) = broadcast::channel(4);
            let listen = |input| {
                let mut receiver = sender.subscribe();
                async move {
                    let mut seen = Vec::new();
                    while let Ok(message) = receiver.recv().await {
                        seen.push(message);
                        seen.push(text(work(ctx, input).await));
                    }
                    seen
                }
            };
            let listeners = futures_util::future::join_all((0..4).map(listen));
            let speak = async move {
                for input in 0..3 {
                    let _ = sender.send(two_steps(ctx, input).await);
                }
            };
            futures_util::join!(listeners, speak).0
        })
    });
}

#[test]
fn a_watch_in_a_plain_join() {
    check(|ctx, _| {
        body(async move {
            let (sender, receiver) = watch::channel(0);
            let listen = |input| {
                let mut receiver = receiver.clone();
                async move {
                    let mut seen = Vec::new();
                    while receiver.changed().await.is_ok() {
                        let value = *receiver.borrow_and_update();
                        seen.push((value, text(work(ctx, input).await)));
                    }
                    seen
                }
            };
            let speak = async move {
                for input in 0..5 {
                    let _ = sender.send(work(ctx, input).await.unwrap_or(1_000));
                }
            };
            futures_util::join!(listen(1), listen(2), speak)
        })
    });
}

#[test]
fn a_cancellation_token_with_children() {
    check(|ctx, _| {
        body(async move {
            let token = CancellationToken::new();
            let branch = |input| {
                let token = token.child_token();
                async move {
                    let steps = async {
                        for _ in 0..3 {
                            let _ = two_steps(ctx, input).await;
                        }
                    };
                    token.run_until_cancelled(steps).await.is_some()
                }
            };
            let stop = async {
                let _ = event_within(ctx, "Stop", 6).await;
                token.cancel();
            };
            tokio::join!(branch(1), branch(2), branch(3), stop)
        })
    });
}

#[test]
fn an_actor_that_answers_requests() {
    check(|ctx, _| {
        body(async move {
            let (sender, mut requests) = mpsc::channel::<(u32, oneshot::Sender<String>)>(2);
            let actor = async {
                while let Some((input, answer)) = requests.recv().await {
                    let _ = answer.send(two_steps(ctx, input).await);
                }
            };
            let ask = |input| {
                let sender = sender.clone();
                async move {
                    let (answer, answered) = oneshot::channel();
                    let _ = work(ctx, input).await;
                    let _ = sender.send((input, answer)).await;
                    answered.await.ok()
                }
            };
            let asking = futures_util::future::join_all((0..6).map(ask));
            drop(sender);
            tokio::join!(asking, actor).0
        })
    });
}
