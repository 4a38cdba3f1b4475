//! Status and management routes of `durable-core` for any tower service.
//!
//! [`HttpApi`] speaks the management API of Durable Functions, so that published clients work
//! unchanged: start an orchestration, ask for its status, list, raise an event, suspend, resume,
//! terminate, rewind, purge. It is a
//! `tower` service: nest it in axum, call it from hyper, or lay it around another service with
//! [`HttpApiLayer`].
//!
//! Nothing is open by default. A request is allowed by an admin key, by a *link* (a URL that is
//! signed for one instance and a few actions, as [`Location`](HttpApi::status_response) headers
//! are), by [`allow_anonymous`](HttpApiBuilder::allow_anonymous) or by a
//! [hook](HttpApiBuilder::authorize) of the program's own; an `HttpApi` with none of these is
//! not built.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let hub = durable_core::TaskHub::in_memory().await?;
//! # let key = "a key of 16 bytes or more";
//! use durable_http::HttpApi;
//!
//! let api = HttpApi::builder(hub.client()).admin_key(key).build()?;
//! let app: axum::Router =
//!     axum::Router::new().nest_service("/runtime/webhooks/durabletask", api);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Waiting, histories, and less than everything
//!
//! A start with `timeout` (in seconds) answers with the bare output if the instance completes in that
//! time; a status with `timeout` waits as long for the end. `GET instances/{id}/events` sends the status
//! as server-sent events, again whenever there is news, until the end. `showHistory` shows what has happened in an
//! instance (for whoever may do [`Action::History`]), in the form of Durable Functions;
//! [`serve`](HttpApiBuilder::serve) leaves routes out. For a program's own routes there are
//! [`status_response`](HttpApi::status_response),
//! [`check_status_response`](HttpApi::check_status_response) and
//! [`wait_for_completion_or_check_status_response`](HttpApi::wait_for_completion_or_check_status_response).
//!
//! # Calls from orchestrators
//!
//! With the feature `client` an orchestrator calls other services: `ctx.call_http(..)`, of the trait
//! `CallHttp`. An answer that is recorded is not asked for again, a service that answers 202 is polled
//! until it is done, over restarts, tokens come from named sources and are never recorded, and only
//! public addresses are reached unless the program allows more.
//!
//! # When the hub cannot do it
//!
//! A hub that was closed, whose store failed, or that has too much to do answers 503 with
//! `Retry-After`; to more events for an instance that does not go on and has 100,000 of them the
//! answer is 429. 503 is also the answer of one whose
//! disk is nearly full, to what would fill it further; statuses are served, and instances can be
//! terminated. Whether to send requests here at all is for a route of the
//! program's own to say, made of [`Client::health`](durable_core::Client::health):
//!
//! ```
//! use axum::{Router, extract::State, http::StatusCode, routing::get};
//! use durable_core::{Client, Health};
//!
//! async fn ready(State(client): State<Client>) -> (StatusCode, &'static str) {
//!     match client.health() {
//!         Health::Healthy => (StatusCode::OK, "ready"),
//!         // Only opening the hub again mends it; the log says what happened.
//!         Health::Failed { .. } => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
//!         _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! # let hub = durable_core::TaskHub::in_memory().await?;
//! # let api = durable_http::HttpApi::builder(hub.client()).admin_key("a key of 16 bytes or more").build()?;
//! let app: Router = Router::new()
//!     .route("/ready", get(ready))
//!     .with_state(hub.client())
//!     .nest_service("/runtime/webhooks/durabletask", api);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! More, and with curl: the [guide](guide::http). With the feature `client` the module `client` asks this
//! API from another process, or another service that speaks it.
//!
//! Start reading at `routes/table.rs`, the routing table; who may do what is decided in `auth`; the only
//! files that know a JSON key are `models` and `history`, and `client::models`, which reads them.

mod api;
mod auth;
mod body;
mod builder;
#[cfg(feature = "client")]
mod call;
#[cfg(feature = "client")]
pub mod client;
mod clock;
mod error;
mod events;
pub mod guide;
mod history;
mod layer;
mod lenient;
mod links;
mod models;
#[cfg(feature = "client")]
mod outbound;
mod own_routes;
mod query;
mod response;
mod routes;
mod service;
#[cfg(feature = "client")]
mod token;

pub use api::HttpApi;
pub use auth::{Access, Action, Actions, Verdict};
pub use builder::{BuildError, HttpApiBuilder};
#[cfg(feature = "client")]
pub use call::{
    CallHttp, HttpActivity, HttpAnswer, HttpCallError, HttpCaller, HttpCalls, HttpClient,
    HttpRequest, HttpResponse,
};
pub use layer::{HttpApiLayer, HttpApiMiddleware};
pub use lenient::Lenient;
pub use links::path_segment;
#[cfg(feature = "client")]
pub use outbound::policy::{InvalidNetwork, OutboundPolicy};
#[cfg(feature = "client")]
pub use outbound::trust::InvalidCertificate;
pub use own_routes::{CheckStatusResponse, StatusResponse, WaitResponse};
pub use response::ResponseBody;
#[cfg(feature = "client")]
pub use token::{
    AccessToken, ClientCredentials, ManagedIdentity, TokenAnswer, TokenError, TokenSource,
};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
