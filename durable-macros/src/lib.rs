//! The attributes of `durable-core`.
//!
//! Each goes parse → validate → expand, one file for each step. Applications use them through
//! `durable_core::{activity, orchestrator}`.

mod determinism;
mod expand;
mod parse;
mod validate;

use proc_macro::TokenStream;

use parse::{Function, Kind, Options};

/// Makes an activity of a function: a step of an orchestration that may do anything, and that runs
/// at least once.
///
/// The function stays as it is and can be called, say from a unit test. Beside it comes a type of
/// the same name, by which orchestrators call the activity and workers register it.
///
/// ```
/// use durable_core::{Activity, ActivityContext, State, activity};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone)]
/// struct Bank;
///
/// #[derive(Serialize, Deserialize)]
/// struct Order { amount: u32 }
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum ChargeError { Declined }
///
/// #[activity]
/// async fn charge(
///     ctx: ActivityContext,
///     State(bank): State<Bank>,
///     order: Order,
/// ) -> Result<String, ChargeError> {
///     # let _ = bank;
///     if order.amount > 100 {
///         return Err(ChargeError::Declined);
///     }
///     Ok(ctx.idempotency_key())
/// }
///
/// assert_eq!(charge::NAME, "charge");
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
///
/// let receipt = charge(ActivityContext::for_test(), State(Bank), Order { amount: 200 }).await;
/// assert_eq!(receipt, Err(ChargeError::Declined));
/// # });
/// ```
///
/// # Arguments
///
/// In any order, all of them owned:
///
/// * `ActivityContext`, `State<T>`, `Resumed<S>`, `Progress` and `CancellationToken`, known by these
///   names, are taken from the attempt that runs. Any other type that implements `FromActivity` is marked:
///   `#[extract] connection: Connection`.
/// * Everything else is the input: no argument is `()`, one is its own type, several are a tuple.
///   A type of your own that is called like one of ours is marked: `#[input] state: State<u32>`.
///
/// # Return type
///
/// Anything that serde can write and read, nothing at all, or a `Result` of it, under whatever
/// alias. An error that serde can write and read comes back to the orchestrator as it is; one that
/// converts into `Box<dyn Error + Send + Sync>`, such as `std::io::Error`, as its description. A
/// `Poll<T, S>` gives the caller its `T`, or asks for another attempt later.
///
/// A function that is not `async` runs where it may block.
///
/// ```
/// # use durable_core::activity;
/// #[activity]
/// fn hash(file: String) -> std::io::Result<u64> {
///     Ok(std::fs::read(file)?.iter().map(|byte| u64::from(*byte)).sum())
/// }
/// ```
///
/// # Options
///
/// * `name = "bank/charge"`: the name in history, if it is not to be the function's. Set it before
///   you rename a function whose calls are recorded.
/// * `type = Charge`: what the type is called. It is needed where a module has the name of its
///   function, because types and modules share their names: with `mod charge;`, the line
///   `use charge::charge;` does not compile (E0255).
/// * `crate = path`: where `durable_core` is found, if it is renamed.
/// * `max_concurrent = 4`: the most attempts at it that run at once in a worker, at least 1; the worker
///   may say otherwise. Default: only the worker's limit for all activities counts.
///
/// ```
/// mod charge {
///     #[durable_core::activity(type = Charge, name = "bank/charge")]
///     pub async fn charge(amount: u32) -> u32 {
///         amount
///     }
/// }
/// use charge::{Charge, charge};
/// # use durable_core::Activity;
/// # let _ = charge;
/// assert_eq!(Charge::NAME, "bank/charge");
/// ```
///
/// # Errors of the compiler
///
/// * "constant provided when a type was expected" (E0747): the function is not annotated.
/// * "struct is not supported in `trait`s or `impl`s": an activity must stand outside of them.
/// * "future cannot be sent between threads safely": a value that is not `Send`, an `Rc` for
///   example, is kept across an `.await`.
#[proc_macro_attribute]
pub fn activity(options: TokenStream, item: TokenStream) -> TokenStream {
    attribute(Kind::Activity, options, item)
}

/// Makes an orchestrator of an async function: code whose progress survives the process.
///
/// ```
/// use durable_core::{OrchestrationContext, Orchestrator, orchestrator};
///
/// #[orchestrator(version = "2")]
/// async fn greet(_ctx: OrchestrationContext, name: String) -> Result<String, std::fmt::Error> {
///     Ok(format!("Hello, {name}!"))
/// }
///
/// assert_eq!(greet::NAME, "greet");
/// assert_eq!(greet::VERSION, "2");
/// ```
///
/// The function stays as it is; beside it comes a type of the same name, by which the orchestrator
/// is started and registered. The `OrchestrationContext` is optional, every other argument is
/// input. Inputs, outputs and errors are as with [`macro@activity`], and so are the options `name`,
/// `type` and `crate`. There are two more:
///
/// * `version = "2"`: which version of the orchestrator this is.
/// * `allow_nondeterminism = "reason"`: lifts the refusals below, for this function.
///
/// # What is refused
///
/// An orchestrator is replayed: it runs again over what it did before, and must do the same. So
/// what would not be the same is refused where it is written: clocks, timers and tasks of the
/// process, random numbers, files and the environment, any `select!` that does not begin with
/// `biased;`. The message names what to use instead. This is a help and not a proof: it looks for
/// well-known names such as `SystemTime::now` and `tokio::spawn`, in the function itself and not in
/// what it calls.
///
/// ```compile_fail
/// # use durable_core::orchestrator;
/// #[orchestrator]
/// async fn late() -> bool {
///     std::time::SystemTime::now() > std::time::UNIX_EPOCH // use `ctx.now()`
/// }
/// ```
#[proc_macro_attribute]
pub fn orchestrator(options: TokenStream, item: TokenStream) -> TokenStream {
    attribute(Kind::Orchestrator, options, item)
}

/// Whatever is wrong, the user's item stays, so that one mistake gives one message.
fn attribute(kind: Kind, options: TokenStream, item: TokenStream) -> TokenStream {
    let function = match Function::parse(kind, item.clone().into()) {
        Ok(function) => function,
        Err(refusal) => {
            let mut item = item;
            item.extend(TokenStream::from(refusal.into_compile_error()));
            return item;
        }
    };
    let (options, mistaken) = match Options::parse(kind, options.into()) {
        Ok(options) if kind == Kind::Activity || options.allow_nondeterminism.is_some() => {
            (options, None)
        }
        Ok(options) => (options, determinism::check(&function.body)),
        Err(mistake) => (Options::default(), Some(mistake)),
    };
    match validate::validate(kind, &function, mistaken) {
        Ok(()) => expand::expand(kind, &function, &options),
        Err(refusal) => expand::refuse(kind, &function, &options, &refusal),
    }
    .into()
}
