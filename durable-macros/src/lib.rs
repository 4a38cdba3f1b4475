//! The attributes of `durable-core`.
//!
//! Each goes parse → validate → expand, one file for each step. Applications use them through
//! `durable_core::{activity, orchestrator}`.

mod expand;
mod parse;
mod validate;

use proc_macro::TokenStream;

use parse::{Function, Kind, Options};

/// Makes an activity of a function: a step of an orchestration that may do anything.
#[proc_macro_attribute]
pub fn activity(options: TokenStream, item: TokenStream) -> TokenStream {
    attribute(Kind::Activity, options, item)
}

/// Makes an orchestrator of an async function: code whose progress survives the process.
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
        Ok(options) => (options, None),
        Err(mistake) => (Options::default(), Some(mistake)),
    };
    match validate::validate(kind, &function, mistaken) {
        Ok(()) => expand::expand(kind, &function, &options),
        Err(refusal) => expand::refuse(kind, &function, &options, &refusal),
    }
    .into()
}
