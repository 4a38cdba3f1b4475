//! Tests of orchestrations: a hub in memory, in virtual time, with activities replaced by closures.
//! Behind the feature `testing`, which belongs in `[dev-dependencies]`.
//!
//! ```
//! use std::time::Duration;
//! use durable_core::testing::TestHub;
//! use durable_core::{ActivityError, NoError, OrchestrationContext, activity, orchestrator};
//!
//! #[activity]
//! async fn remind(customer: String) {
//!     // Sends a mail.
//! }
//!
//! #[orchestrator]
//! async fn dun(ctx: OrchestrationContext, customer: String) -> Result<u32, ActivityError<NoError>> {
//!     for reminders in 0..3 {
//!         tokio::select! { biased;
//!             _ = ctx.wait_for_external_event::<()>("Paid") => return Ok(reminders),
//!             _ = ctx.create_timer(Duration::from_secs(30 * 24 * 3600)) => {}
//!         }
//!         ctx.call_activity::<remind>(customer.clone()).await?;
//!     }
//!     Ok(3)
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! // #[tokio::test]
//! // async fn who_never_pays_is_reminded_three_times() {
//! let hub = TestHub::builder().register::<dun>().mock::<remind>(|_| Ok(())).start().await?;
//! let began = hub.now();
//!
//! // Ninety days, in a millisecond.
//! let instance = hub.client().start_orchestration::<dun>("ada".to_owned()).await?;
//! assert_eq!(instance.wait_for_completion().await?, 3);
//! assert!(hub.now().duration_since(began)? >= Duration::from_secs(90 * 24 * 3600));
//! assert_eq!(hub.calls::<remind>(), ["ada", "ada", "ada"]);
//!
//! // Who pays after 40 days was reminded once.
//! let instance = hub.client().start_orchestration::<dun>("grace".to_owned()).await?;
//! hub.advance(Duration::from_secs(40 * 24 * 3600)).await?;
//! instance.raise_event("Paid", &()).await?;
//! assert_eq!(instance.wait_for_completion().await?, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Time
//!
//! The hub's clock stands still while anything can happen, and while the test does something else. It
//! moves on to the next thing that is due
//!
//! - while somebody waits for an instance's end
//!   ([`wait_for_completion`](crate::Instance::wait_for_completion)), unless
//!   [`skip_time(false)`](TestHubBuilder::skip_time) was said,
//! - and while [`advance`](TestHub::advance) is waited for, so far and no further,
//!
//! and only when neither the hub, nor a mock, nor a task on the test's runtime has anything to do at
//! this moment, and no real activity runs. Nothing sleeps and nothing polls.
//!
//! An answer to a [client](crate::Client) comes when nothing is left to do at this moment. So what was
//! started, raised or terminated has had all its consequences, up to those that wait for the time to
//! pass, for an event or for a real activity; a status that is asked for then is the last word. To wait for
//! that after something else, `advance(Duration::ZERO)`.
//!
//! A wait for an instance that has a [problem](crate::OrchestrationStatus::problem) and does not go on
//! ends with [`HubError::Stuck`](crate::HubError::Stuck), which says what it is: an activity that is
//! neither registered nor mocked, a race in the orchestrator, code that does not fit the history.
//!
//! # Activities
//!
//! A **mock** takes an activity's place. It runs in the hub's time: what it awaits of
//! `tokio::time` takes no real time, and one that never ends (`std::future::pending()`) is overtaken
//! by the time-out of its attempt. The time does not wait for a mock that waits for the test.
//!
//! A **real** activity, one that is only registered, runs on the test's runtime and in real time, and
//! the hub's clock stands still until it has ended, with the time-out and the heartbeat of its attempt, so
//! that it never times out (to test that, [mock](TestHubBuilder::mock_async) it by one that does not end),
//! and with the pace of its reports: of its [`Progress`](crate::Progress) the first is stored at once
//! and the last with its end.
//! What an orchestrator runs inline (`ctx.run(..)`) is like a mock.
//!
//! # What the seed decides
//!
//! With mocks only, and asked from one `current_thread` runtime (what `#[tokio::test]` is by default),
//! everything is decided by the [seed](TestHubBuilder::seed) and the test: ids of instances that the
//! hub makes, uuids, random numbers, the order in which mocks begin and end, which completions come
//! to an orchestrator together, every time in a history. Two runs then have equal
//! [histories](TestHub::history); other seeds have other orders, so a test may go through some:
//!
//! ```
//! # use durable_core::testing::TestHub;
//! # use durable_core::{ActivityError, NoError, OrchestrationContext, activity, orchestrator};
//! # #[activity]
//! # async fn quote(supplier: u32) -> u32 { supplier * 100 }
//! # #[orchestrator]
//! # async fn cheapest(ctx: OrchestrationContext) -> Result<u32, ActivityError<NoError>> {
//! #     let (a, b) = tokio::join!(ctx.call_activity::<quote>(1), ctx.call_activity::<quote>(2));
//! #     Ok(a?.min(b?))
//! # }
//! // An ordinary `#[test]`:
//! for seed in 0..20 {
//!     let hub = TestHub::builder().seed(seed).register::<cheapest>().mock::<quote>(|n| Ok(n * 100));
//!     let cheapest = hub.run(async |hub| {
//!         let instance = hub.client().start_orchestration::<cheapest>(()).await?;
//!         Ok::<_, Box<dyn std::error::Error>>(instance.wait_for_completion().await?)
//!     })?;
//!     assert_eq!(cheapest?, 100, "with seed {seed}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Not decided by it: real activities (what they do, and when they end), an unbiased
//! `tokio::select!` or a `HashMap` in a mock, what several threads of a test ask at once, and what a test
//! does after having waited for something else than the hub.
//!
//! Leave the clock of the test's runtime running (no `start_paused`): it would take the hub's work
//! for idleness. `tokio::time::timeout` around a wait then limits the real time of a test.

mod hub;
mod mock;
mod recorded;
mod replay;

pub use hub::{TestHub, TestHubBuilder, TestHubError};
pub use mock::failure;
#[doc(hidden)]
pub use recorded::Recorded;
pub use replay::ReplayError;

pub(crate) use mock::run;
