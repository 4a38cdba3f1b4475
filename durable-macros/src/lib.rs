//! The attributes of `durable-core`.

use proc_macro::TokenStream;

/// Placeholder until the next commit.
#[proc_macro_attribute]
pub fn activity(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}

/// Placeholder until the next commit.
#[proc_macro_attribute]
pub fn orchestrator(_: TokenStream, item: TokenStream) -> TokenStream {
    item
}
