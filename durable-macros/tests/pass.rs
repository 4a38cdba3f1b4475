//! Every shape of function that the attributes accept, under the strictest lints that a user's
//! crate is likely to have.

#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::pedantic
)]
#![allow(
    clippy::needless_pass_by_value,
    clippy::type_complexity,
    clippy::unused_async,
    reason = "the functions of this file show shapes and do nothing"
)]

use std::error::Error;
use std::sync::Arc;
use std::{fmt, io};

use durable_core::__private::{Attempted, Payload, Registry};
use durable_core::{
    Activity, ActivityContext, CancellationToken, FailureDetails, FailureKind, FromActivity,
    NoError, OrchestrationContext, Orchestrator, Register, Rejection, State, Wire, activity,
    orchestrator,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

fn order() -> Order {
    Order {
        item: "book".to_owned(),
        count: 2,
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum ChargeError {
    Declined(u32),
}

impl fmt::Display for ChargeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("declined")
    }
}

#[derive(Debug, Clone)]
struct Bank {
    limit: u32,
}

#[activity]
async fn charge(
    ctx: ActivityContext,
    State(bank): State<Bank>,
    order: Order,
) -> Result<u32, ChargeError> {
    if order.count > bank.limit {
        Err(ChargeError::Declined(order.count))
    } else {
        Ok(order.count + ctx.attempt())
    }
}

#[orchestrator]
async fn fulfil(_ctx: OrchestrationContext, order: Order) -> Result<u32, ChargeError> {
    Err(ChargeError::Declined(order.count))
}

fn context() -> ActivityContext {
    ActivityContext::for_test().with_state(Bank { limit: 9 })
}

fn json(value: &impl Wire) -> Payload {
    value.to_payload().expect("plain data")
}

/// Runs one attempt as a worker does.
async fn attempt<A: Activity>(input: A::Input) -> Result<A::Output, FailureDetails> {
    match A::run(context(), json(&input)).await? {
        Attempted::Done(output) => {
            Ok(A::Output::from_payload(&output).expect("the output is what it is"))
        }
        other @ Attempted::Again { .. } => panic!("{other:?}"),
    }
}

fn check_activity<A>(name: &str)
where
    A: Activity + Register + Copy + fmt::Debug,
{
    assert_eq!(A::NAME, name);
    let mut registry = Registry::default();
    A::register(&mut registry);
    assert!(format!("{registry:?}").contains(&format!("{name:?}")));
}

fn check_orchestrator<O>(name: &str, version: &str)
where
    O: Orchestrator + Register + Copy + fmt::Debug,
{
    assert_eq!((O::NAME, O::VERSION), (name, version));
    let mut registry = Registry::default();
    O::register(&mut registry);
    assert!(format!("{registry:?}").contains(&format!("{name:?}")));
}

/// Compiles if the activity has this input, output and error.
fn has_types<A: Activity<Input = I, Output = O, Error = E>, I, O, E>() {}

/// Compiles if the orchestrator has this input, output and error.
fn orchestrates<A: Orchestrator<Input = I, Output = O, Error = E>, I, O, E>() {}

#[tokio::test]
async fn the_function_stays_callable() {
    let returned = charge(context(), State(Bank { limit: 1 }), order()).await;
    assert_eq!(returned, Err(ChargeError::Declined(2)));
}

#[tokio::test]
async fn an_activity_runs_with_state_and_input() {
    assert_eq!(attempt::<charge>(order()).await, Ok(3));
    has_types::<charge, Order, u32, ChargeError>();
    check_activity::<charge>("charge");
}

#[test]
fn an_orchestrator_has_a_name_and_types() {
    check_orchestrator::<fulfil>("fulfil", "");
    orchestrates::<fulfil, Order, u32, ChargeError>();
}

mod arguments {
    use super::*;

    mod by_path {
        #[durable_core::activity]
        pub(super) async fn paths(
            _: durable_core::ActivityContext,
            bank: durable_core::State<super::Bank>,
            durable_core::State(_again): durable_core::State<super::Bank>,
        ) -> u32 {
            bank.0.limit
        }

        #[durable_core::orchestrator]
        pub(super) async fn context_last(
            count: u32,
            mut text: String,
            _: durable_core::OrchestrationContext,
        ) -> Result<String, std::io::Error> {
            text.push_str(&count.to_string());
            Ok(text)
        }
    }

    #[activity]
    async fn nothing() {}

    #[activity]
    async fn only_context(ctx: ActivityContext) -> String {
        ctx.activity_name().to_owned()
    }

    #[activity]
    async fn only_input(count: u32) -> u32 {
        count
    }

    #[activity]
    async fn several(
        name: String,
        ctx: ActivityContext,
        count: u32,
        token: CancellationToken,
    ) -> String {
        format!("{name} {count} {} {}", ctx.attempt(), token.is_cancelled())
    }

    #[activity]
    async fn patterns(
        mut count: u32,
        (left, right): (u32, u32),
        Order { item, .. }: Order,
        [first, ..]: [u32; 2],
        _: Option<u32>,
    ) -> String {
        count += left + right + first;
        format!("{item} {count}")
    }

    #[activity]
    async fn own_name(own_name: u32) -> u32 {
        let own_name = own_name + 1;
        own_name * 2
    }

    #[activity]
    async fn static_in_state(_: State<&'static str>, _: State<fn(&str) -> bool>) {}

    #[activity]
    async fn function_in_state(check: State<Arc<dyn Fn(&str) -> bool + Send + Sync>>) {
        let _ = check;
    }

    #[tokio::test]
    async fn no_argument_is_the_unit_type() {
        has_types::<nothing, (), (), NoError>();
        assert_eq!(attempt::<nothing>(()).await, Ok(()));
        assert!(nothing::run(context(), json(&String::new())).await.is_ok());
        assert_eq!(attempt::<only_context>(()).await, Ok("test".to_owned()));
    }

    #[tokio::test]
    async fn one_input_is_its_type_and_several_are_a_tuple() {
        has_types::<only_input, u32, u32, NoError>();
        assert_eq!(attempt::<only_input>(7).await, Ok(7));
        has_types::<several, (String, u32), String, NoError>();
        let output = attempt::<several>(("a".to_owned(), 5)).await;
        assert_eq!(output, Ok("a 5 1 false".to_owned()));
    }

    #[tokio::test]
    async fn patterns_stay_as_they_are() {
        let input = (1, (2, 3), order(), [4, 5], None);
        assert_eq!(attempt::<patterns>(input).await, Ok("book 10".to_owned()));
        assert_eq!(attempt::<by_path::paths>(()).await, Ok(9));
        assert_eq!(attempt::<own_name>(1).await, Ok(4));
    }

    #[tokio::test]
    async fn missing_state_is_a_failed_attempt() {
        let output = attempt::<static_in_state>(()).await;
        let failure = output.expect_err("there is no such state");
        assert!(failure.message().contains("no state of type `&str`"));
        assert!(attempt::<function_in_state>(()).await.is_err());
    }

    #[tokio::test]
    async fn input_of_another_shape_is_a_failed_attempt() {
        let failure = only_input::run(context(), json(&"seven".to_owned())).await;
        let failure = failure.expect_err("a text is not a number");
        assert_eq!(failure.kind(), FailureKind::Input);
    }

    #[orchestrator]
    async fn bare() {}

    #[orchestrator]
    async fn without_context(count: u32) -> u32 {
        count
    }

    #[test]
    fn orchestrators_take_context_and_inputs_in_any_order() {
        orchestrates::<bare, (), (), NoError>();
        orchestrates::<without_context, u32, u32, NoError>();
        orchestrates::<by_path::context_last, (u32, String), String, FailureDetails>();
    }
}

mod marks {
    use super::*;

    type Db = State<Bank>;

    struct Limit(u32);

    impl FromActivity for Limit {
        fn from_activity(ctx: &ActivityContext) -> Result<Self, Rejection> {
            let State(bank) = State::<Bank>::from_activity(ctx)?;
            Ok(Self(bank.limit))
        }
    }

    #[activity]
    async fn extracts(#[extract] bank: Db, #[extract] Limit(limit): Limit, add: u32) -> u32 {
        bank.0.limit + limit + add
    }

    mod own {
        use super::*;

        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct CancellationToken(pub(super) u32);

        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct State<A, B>(pub(super) A, pub(super) B);

        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct ActivityContext<T>(pub(super) T);

        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct OrchestrationContext;
    }

    #[activity]
    async fn input_called_like_ours(#[input] token: own::CancellationToken) -> u32 {
        token.0
    }

    #[activity]
    async fn other_generics_are_inputs(
        state: own::State<u32, u32>,
        ctx: own::ActivityContext<u32>,
    ) -> u32 {
        state.0 + state.1 + ctx.0
    }

    #[orchestrator]
    async fn context_of_ones_own(
        _: OrchestrationContext,
        #[input] _own: own::OrchestrationContext,
    ) {
    }

    #[tokio::test]
    async fn a_mark_overrules_the_name() {
        assert_eq!(attempt::<extracts>(1).await, Ok(19));
        let token = own::CancellationToken(4);
        assert_eq!(attempt::<input_called_like_ours>(token).await, Ok(4));
        let input = (own::State(1, 2), own::ActivityContext(3));
        assert_eq!(attempt::<other_generics_are_inputs>(input).await, Ok(6));
        orchestrates::<context_of_ones_own, own::OrchestrationContext, (), NoError>();
    }
}

mod returns {
    use super::*;

    type Outcome = Result<u32, ChargeError>;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct TestResult {
        passed: bool,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Silent(u32);

    #[activity]
    async fn alias(fail: bool) -> Outcome {
        if fail {
            Err(ChargeError::Declined(1))
        } else {
            Ok(2)
        }
    }

    #[activity]
    async fn named_like_a_result() -> TestResult {
        TestResult { passed: true }
    }

    #[activity]
    async fn io_error() -> io::Result<u32> {
        Err(io::Error::other("disk full"))
    }

    #[activity]
    async fn boxed_error() -> Result<(), Box<dyn Error + Send + Sync>> {
        let number: u32 = "x".parse()?;
        let _ = number;
        Ok(())
    }

    #[activity]
    async fn text_error() -> Result<u32, String> {
        Err("no".to_owned())
    }

    #[activity]
    async fn error_without_text() -> Result<u32, Silent> {
        Err(Silent(3))
    }

    #[activity]
    async fn nested() -> Result<Option<Result<u32, String>>, ChargeError> {
        Ok(Some(Err("inner".to_owned())))
    }

    #[tokio::test]
    async fn an_alias_of_result_is_a_result() {
        has_types::<alias, bool, u32, ChargeError>();
        assert_eq!(attempt::<alias>(false).await, Ok(2));
        let failure = attempt::<alias>(true).await.expect_err("it fails");
        assert_eq!(failure.kind(), FailureKind::Application);
        assert_eq!(failure.message(), "declined");
    }

    #[tokio::test]
    async fn what_is_not_a_result_is_an_output() {
        has_types::<named_like_a_result, (), TestResult, NoError>();
        let output = attempt::<named_like_a_result>(()).await;
        assert_eq!(output, Ok(TestResult { passed: true }));
        let output = attempt::<nested>(()).await;
        assert_eq!(output, Ok(Some(Err("inner".to_owned()))));
    }

    #[tokio::test]
    async fn standard_errors_come_back_as_details() {
        has_types::<io_error, (), u32, FailureDetails>();
        has_types::<boxed_error, (), (), FailureDetails>();
        let failure = attempt::<io_error>(()).await.expect_err("it fails");
        assert_eq!(failure.message(), "disk full");
        assert_eq!(failure.error_type(), "std::io::error::Error");
        let failure = attempt::<boxed_error>(()).await.expect_err("it fails");
        assert_eq!(failure.message(), "invalid digit found in string");
    }

    #[tokio::test]
    async fn serde_errors_come_back_as_themselves() {
        has_types::<text_error, (), u32, String>();
        has_types::<error_without_text, (), u32, Silent>();
        let failure = attempt::<text_error>(()).await.expect_err("it fails");
        assert_eq!(failure.message(), "no");
        let failure = attempt::<error_without_text>(()).await;
        assert_eq!(failure.expect_err("it fails").message(), "3");
    }
}

mod blocking {
    use super::*;

    #[activity]
    fn sync(
        ctx: ActivityContext,
        State(bank): State<Bank>,
        count: u32,
    ) -> Result<u32, ChargeError> {
        if count > bank.limit {
            Err(ChargeError::Declined(count))
        } else {
            Ok(count + ctx.attempt())
        }
    }

    #[activity]
    fn sync_without_anything() {}

    #[activity]
    fn sync_thread() -> String {
        format!("{:?}", std::thread::current().id())
    }

    #[activity]
    fn sync_panic() {
        panic!("out of paper");
    }

    #[tokio::test]
    async fn a_sync_function_runs_on_another_thread() {
        assert_eq!(sync(context(), State(Bank { limit: 9 }), 1), Ok(2));
        assert_eq!(attempt::<sync>(1).await, Ok(2));
        assert_eq!(attempt::<sync_without_anything>(()).await, Ok(()));
        assert_eq!(
            attempt::<sync>(10).await.expect_err("over").message(),
            "declined"
        );
        assert_ne!(attempt::<sync_thread>(()).await, Ok(sync_thread()));
    }

    #[tokio::test]
    async fn a_panic_stays_a_panic() {
        let panicked = tokio::spawn(attempt::<sync_panic>(())).await;
        let panic = panicked.expect_err("it panics").into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"out of paper"));
    }
}

mod options {
    use super::*;

    // A module and a function of one name cannot both be imported, unless the type has another.
    pub(super) mod ship {
        use super::*;

        #[activity(type = Ship)]
        pub(crate) async fn ship(order: Order) -> u32 {
            order.count
        }
    }
    use ship::{Ship, ship};

    #[activity(name = "bank/charge v2", type = Renamed, crate = ::durable_core,)]
    async fn renamed() {}

    #[orchestrator(version = "2", name = "fulfilment")]
    async fn fulfil_again(_ctx: OrchestrationContext) {}

    #[orchestrator(type = First, name = "versioned", version = "1")]
    async fn first() {}

    mod facade {
        pub(super) use durable_core as engine;
    }

    #[activity(crate = facade::engine)]
    async fn elsewhere(_: ActivityContext, _order: Order) -> Result<u32, ChargeError> {
        Ok(1)
    }

    #[orchestrator(crate = self::facade::engine)]
    async fn orchestrates_elsewhere() {}

    #[activity()]
    async fn empty_list() {}

    #[tokio::test]
    async fn names_versions_and_types_can_be_chosen() {
        assert_eq!(ship(order()).await, 2);
        check_activity::<Ship>("ship");
        check_activity::<Renamed>("bank/charge v2");
        check_activity::<elsewhere>("elsewhere");
        check_activity::<empty_list>("empty_list");
        check_orchestrator::<fulfil_again>("fulfilment", "2");
        check_orchestrator::<First>("versioned", "1");
        check_orchestrator::<orchestrates_elsewhere>("orchestrates_elsewhere", "");
    }
}

mod nondeterminism {
    use super::*;

    #[orchestrator(allow_nondeterminism = "the answer is not used")]
    async fn allowed() {
        let _ = std::env::args();
    }

    #[orchestrator]
    async fn biased() -> u32 {
        tokio::select! { biased;
            () = async {} => 1,
            () = async {} => 2,
        }
    }

    mod fs {
        pub(super) fn open() -> u32 {
            1
        }
    }

    #[orchestrator]
    async fn lookalikes(_: OrchestrationContext) -> u32 {
        #[activity]
        async fn inside() -> bool {
            std::env::args().count() > 1
        }
        let sleep = |count: u32| count;
        let _ = inside;
        sleep(fs::open())
    }

    #[tokio::test]
    async fn what_is_the_same_at_replay_is_accepted() {
        check_orchestrator::<allowed>("allowed", "");
        check_orchestrator::<biased>("biased", "");
        check_orchestrator::<lookalikes>("lookalikes", "");
        assert_eq!(biased().await, 1);
    }
}

/// What a library shows of its activities.
pub mod places {
    use super::*;

    /// A documented activity; the generated type needs no words of its own.
    #[activity]
    pub async fn public() {}

    #[activity]
    pub(crate) async fn of_the_crate() {}

    #[activity]
    pub(in crate::places) async fn of_the_module() {}

    /// Deeper.
    pub mod inner {
        use durable_core::activity;

        /// Documented.
        #[activity]
        pub async fn deep(order: super::super::Wrapped) -> u32 {
            order.0
        }
    }

    #[tokio::test]
    async fn visibility_is_that_of_the_function() {
        use inner::deep;
        use inner::deep as renamed_import;

        check_activity::<public>("public");
        check_activity::<of_the_crate>("of_the_crate");
        check_activity::<of_the_module>("of_the_module");
        check_activity::<deep>("deep");
        check_activity::<renamed_import>("deep");
        check_activity::<options::ship::Ship>("ship");
        assert_eq!(renamed_import(Wrapped(1)).await, 1);
    }

    #[tokio::test]
    async fn a_function_body_can_hold_one() {
        #[derive(Serialize, Deserialize)]
        struct Local(u32);

        #[activity]
        async fn in_a_body(local: Local) -> u32 {
            local.0
        }

        assert_eq!(attempt::<in_a_body>(Local(3)).await, Ok(3));
    }

    #[tokio::test]
    async fn a_local_variable_can_have_its_name() {
        let charge = attempt::<charge>(order()).await;
        let Ok(fulfil) = charge else {
            panic!("the bank has enough")
        };
        assert_eq!(fulfil, 3);
    }
}

/// A public input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Wrapped(u32);

mod attributes {
    use super::*;

    #[activity]
    #[cfg(any())]
    async fn disabled_below(missing: Missing) {}

    #[cfg(any())]
    #[activity]
    async fn disabled_above(missing: Missing) {}

    #[activity]
    #[cfg(not(any()))]
    async fn enabled_below() {}

    #[activity]
    #[deprecated(note = "use another")]
    async fn old() {}

    #[activity]
    #[must_use]
    async fn with_lints(#[expect(unused_variables, reason = "shown")] count: u32) -> u32 {
        1
    }

    #[activity]
    async fn inner_attribute() -> u32 {
        #![expect(unused_variables, reason = "shown")]
        let unused = 1;
        2
    }

    #[tokio::test]
    async fn other_attributes_stay_with_the_function() {
        check_activity::<enabled_below>("enabled_below");
        check_activity::<old>("old");
        assert_eq!(attempt::<with_lints>(0).await, Ok(1));
        assert_eq!(attempt::<inner_attribute>(()).await, Ok(2));
    }
}

mod names {
    use super::*;

    #[activity]
    async fn str(text: String) -> usize {
        text.len()
    }

    #[activity]
    async fn bool() -> u32 {
        1
    }

    #[activity]
    async fn r#type(r#struct: u32) -> u32 {
        r#struct
    }

    #[activity]
    async fn registry(ctx: u32, requirements: u32) -> u32 {
        ctx + requirements
    }

    #[tokio::test]
    async fn a_function_can_be_called_like_a_primitive_or_a_keyword() {
        assert_eq!(attempt::<str>("four".to_owned()).await, Ok(4));
        assert_eq!(attempt::<bool>(()).await, Ok(1));
        assert_eq!(attempt::<r#type>(5).await, Ok(5));
        check_activity::<r#type>("type");
        assert_eq!(attempt::<registry>((1, 2)).await, Ok(3));
    }

    /// Nothing that the generated code needs is taken from where the function stands.
    mod hostile {
        use super::activity;
        use ::core::option::Option as Maybe;

        pub(super) struct Result;
        pub(super) struct Option;
        pub(super) struct Box;
        pub(super) struct Payload;
        pub(super) trait Send {}
        pub(super) trait Activity {}
        mod durable_core {}
        mod std {}
        mod core {}

        trait Everywhere: Sized {
            fn record(self) {}
            fn split(self) {}
            fn take(self) {}
            fn require(self) {}
        }
        impl<T> Everywhere for T {}

        #[activity]
        pub(super) async fn surrounded(
            ctx: ::durable_core::ActivityContext,
            left: u32,
            right: Maybe<u32>,
        ) -> ::core::result::Result<u32, ::std::io::Error> {
            let _ = (Result, Option, Box, Payload);
            Everywhere::split(1);
            Everywhere::take(1);
            Everywhere::require(1);
            Everywhere::record(1);
            ::core::result::Result::Ok(left + right.unwrap_or(ctx.attempt()))
        }

        #[expect(dead_code, reason = "it is enough that the traits are in scope")]
        fn use_traits<T: Send + Activity>() {}
    }

    #[tokio::test]
    async fn the_scope_of_the_function_does_not_matter() {
        assert_eq!(attempt::<hostile::surrounded>((1, None)).await, Ok(2));
    }
}

mod macros {
    use super::*;

    macro_rules! activities {
        ($($vis:vis $name:ident($input:ty) -> $output:ty;)*) => {$(
            #[activity]
            $vis async fn $name(ctx: ActivityContext, input: $input, more: $input) -> $output {
                drop((ctx, more));
                input.into()
            }
        )*};
    }

    activities! {
        pub(super) widen(u8) -> u32;
        lend(String) -> Arc<str>;
    }

    macro_rules! with_state {
        ($state:ty, $result:ty) => {
            #[activity]
            fn from_macro(state: $state) -> $result {
                let State(bank) = state;
                Ok(bank.limit)
            }

            #[orchestrator]
            async fn orchestrates_from_macro(ctx: OrchestrationContext) -> $result {
                let _ = ctx;
                Ok(1)
            }
        };
    }

    with_state!(State<Bank>, Result<u32, ChargeError>);

    #[tokio::test]
    async fn a_macro_can_write_it() {
        assert_eq!(attempt::<widen>((1, 2)).await, Ok(1));
        has_types::<lend, (String, String), Arc<str>, NoError>();
        assert_eq!(attempt::<from_macro>(()).await, Ok(9));
        check_orchestrator::<orchestrates_from_macro>("orchestrates_from_macro", "");
    }
}

mod reports {
    use super::*;
    use durable_core::Progress;

    #[activity]
    async fn counts(progress: Progress, upto: u32) -> u32 {
        let last = progress.last().expect("a number");
        let from = last.unwrap_or(0);
        progress.report(&upto).expect("a number");
        upto - from
    }

    /// Ours by name only.
    mod own {
        use serde::{Deserialize, Serialize};

        #[derive(Serialize, Deserialize)]
        pub(super) struct Progress(pub(super) u32);
    }

    #[activity]
    async fn takes_one(#[input] progress: own::Progress) -> u32 {
        progress.0
    }

    #[tokio::test]
    async fn progress_is_known_by_name() {
        has_types::<counts, u32, u32, NoError>();
        assert_eq!(attempt::<counts>(7).await, Ok(7));
        let ctx = ActivityContext::for_test_with_progress(&3_u32).expect("JSON");
        assert_eq!(counts(ctx.progress(), 10).await, 7);
        assert_eq!(ctx.progress().last::<u32>(), Ok(Some(10)));
        has_types::<takes_one, own::Progress, u32, NoError>();
        assert_eq!(attempt::<takes_one>(own::Progress(4)).await, Ok(4));
    }
}

mod polls {
    use super::*;
    use durable_core::{Poll, Resumed};
    use std::time::Duration;

    type Later<T> = Poll<T, Vec<u8>>;
    type Fallible = Result<Later<String>, ChargeError>;

    #[activity]
    async fn later(Resumed(resumed): Resumed<Vec<u8>>, n: u8) -> Fallible {
        match resumed {
            Some(bytes) => Ok(Poll::Done(format!("{bytes:?}"))),
            None if n == 0 => Err(ChargeError::Declined(0)),
            None => Ok(Poll::again(Duration::from_secs(9), vec![n])),
        }
    }

    #[activity]
    fn at_once() -> Poll<u32> {
        Poll::Done(7)
    }

    #[tokio::test]
    async fn what_is_polled_is_known_by_type() {
        has_types::<later, u8, String, ChargeError>();
        has_types::<at_once, (), u32, NoError>();
        assert_eq!(attempt::<at_once>(()).await, Ok(7));
        let again = later::run(context(), json(&3)).await;
        let expected = Attempted::Again {
            after: Duration::from_secs(9),
            state: json(&vec![3_u8]),
        };
        assert_eq!(again, Ok(expected));
        let resumed = ActivityContext::for_test_resumed(&vec![3_u8]).expect("JSON");
        let done = later::run(resumed, json(&3)).await;
        assert_eq!(done, Ok(Attempted::Done(json(&"[3]".to_owned()))));
        assert!(attempt::<later>(0).await.is_err());
    }
}
