//! What the attributes write beside the function.
//!
//! Every path is absolute and every local name is hygienic: the function, its types and whatever
//! is in scope around it may be called anything.

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Attribute, Ident, LitStr, Path, ReturnType, Type};

use crate::parse::{Function, Kind, Options, Role};
use crate::validate::Refusal;

/// The function as it was written.
pub(crate) fn original(function: &Function) -> TokenStream {
    let Function {
        attrs,
        vis,
        sig,
        body,
        variadic: _,
        arguments: _,
    } = function;
    quote!(#(#attrs)* #vis #sig #body)
}

/// The function and what makes a worker able to run it.
pub(crate) fn expand(kind: Kind, function: &Function, options: &Options) -> TokenStream {
    let names = Names::new(function, options);
    let implementation = match kind {
        Kind::Activity => activity(&names, function, options),
        Kind::Orchestrator => orchestrator(&names, function, options),
    };
    beside(kind, &names, function, &implementation)
}

/// The function, the refusal, and what keeps the compiler from adding to it: the implementations
/// are there, so that a call elsewhere is not blamed for the mistake here.
pub(crate) fn refuse(
    kind: Kind,
    function: &Function,
    options: &Options,
    refusal: &Refusal,
) -> TokenStream {
    let messages = refusal.error.to_compile_error();
    if function.sig.receiver().is_some() {
        let original = original(function);
        return quote!(#original #messages);
    }
    let names = Names::new(function, options);
    let implementation = stub(kind, &names, function, refusal.types_are_sound);
    let expansion = beside(kind, &names, function, &implementation);
    quote!(#expansion #messages)
}

/// An implementation with the types of the real one, as far as they can be used, that does nothing.
fn stub(kind: Kind, names: &Names, function: &Function, types_are_sound: bool) -> TokenStream {
    let Names { ty, root, .. } = names;
    let p = names.private();
    let implemented = kind.implemented();
    let (returns, types) = if types_are_sound {
        (return_types(names, function), types(names, function, kind))
    } else {
        let types = quote! {
            type Input = ();
            type Output = ();
            type Error = ();
        };
        (TokenStream::new(), types)
    };
    let rest = match kind {
        Kind::Activity => quote! {
            fn require(_: &mut #root::Requirements) {}
            fn run(_: #root::ActivityContext, _: #p::Payload) -> #p::ActivityFuture {
                loop {}
            }
        },
        Kind::Orchestrator => quote! {
            const VERSION: &'static ::core::primitive::str = "";
            fn run(_: #root::OrchestrationContext, _: #p::Payload) -> #p::OrchestratorFuture {
                loop {}
            }
        },
    };
    quote! {
        #returns

        impl #root::#implemented for #ty {
            #types
            const NAME: &'static ::core::primitive::str = "";
            #rest
        }
    }
}

/// The names that generated code uses.
struct Names {
    /// The generated type.
    ty: Ident,
    /// The path of `durable_core`.
    root: TokenStream,
    /// What the function is recorded under.
    name: String,
    ctx: Ident,
    input: Ident,
}

impl Names {
    fn new(function: &Function, options: &Options) -> Self {
        let ident = &function.sig.ident;
        Self {
            ty: options.rename.clone().unwrap_or_else(|| ident.clone()),
            root: options
                .root
                .as_ref()
                .map_or_else(|| quote!(::durable_core), Path::to_token_stream),
            name: options
                .name
                .as_ref()
                .map_or_else(|| ident.unraw().to_string(), LitStr::value),
            ctx: local("ctx"),
            input: local("input"),
        }
    }

    /// The path of what the public interface of `durable_core` does not show.
    fn private(&self) -> TokenStream {
        let root = &self.root;
        quote!(#root::__private)
    }

    /// The trait that takes the return type apart.
    fn split(&self) -> TokenStream {
        let p = self.private();
        quote!(#p::Returned<{ #p::ReturnProbe::<__Return>::IS_RESULT }>)
    }

    /// The trait that takes apart what an activity returns when nothing goes wrong.
    fn polled(&self) -> TokenStream {
        let p = self.private();
        quote!(#p::Polled<{ #p::PollProbe::<__Returned>::IS_POLL }>)
    }
}

/// The original, the type, and the implementations in a scope of their own.
fn beside(
    kind: Kind,
    names: &Names,
    function: &Function,
    implementation: &TokenStream,
) -> TokenStream {
    let Names { ty, root, .. } = names;
    let original = original(function);
    let vis = &function.vis;
    let conditions: Vec<&Attribute> = function
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .collect();
    let add = format_ident!("{}", kind.attribute());
    let registry = local("registry");
    quote! {
        #original

        #(#conditions)*
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #[derive(
            ::core::fmt::Debug,
            ::core::clone::Clone,
            ::core::marker::Copy,
        )]
        #vis struct #ty {}

        #(#conditions)*
        #[allow(deprecated)]
        const _: () = {
            #implementation

            impl #root::Register for #ty {
                fn register(#registry: &mut #root::__private::Registry) {
                    #registry.#add::<Self>();
                }
            }

            #root::__private::submit! {
                #root::__private::Discovered(<#ty as #root::Register>::register)
            }
        };
    }
}

fn activity(names: &Names, function: &Function, options: &Options) -> TokenStream {
    let Names {
        ty,
        root,
        name,
        ctx,
        input,
    } = names;
    let returns = return_types(names, function);
    let types = types(names, function, Kind::Activity);
    let Extractors {
        declare,
        require,
        take,
    } = Extractors::new(names, function);
    let call = call(names, function, Kind::Activity);
    let outcome = outcome(names, Kind::Activity, &call);
    let decode = decode(names, function, Kind::Activity);
    let run = if function.sig.asyncness.is_some() {
        outcome
    } else {
        quote!(#root::__private::blocking(&#ctx, move || #outcome).await?)
    };
    let requirements = local("requirements");
    let limit = options.max_concurrent.map(|count| {
        quote! {
            const MAX_CONCURRENT: ::core::option::Option<::core::primitive::usize> =
                ::core::option::Option::Some(#count);
        }
    });
    quote! {
        #returns
        #declare

        impl #root::Activity for #ty {
            #types
            const NAME: &'static ::core::primitive::str = #name;
            #limit

            fn require(#requirements: &mut #root::Requirements) {
                #require
            }

            fn run(
                #ctx: #root::ActivityContext,
                #input: #root::__private::Payload,
            ) -> #root::__private::ActivityFuture {
                ::std::boxed::Box::pin(async move {
                    #decode
                    #take
                    #run
                })
            }
        }
    }
}

fn orchestrator(names: &Names, function: &Function, options: &Options) -> TokenStream {
    let Names {
        ty,
        root,
        name,
        ctx,
        input,
    } = names;
    let returns = return_types(names, function);
    let types = types(names, function, Kind::Orchestrator);
    let version = options
        .version
        .as_ref()
        .map_or_else(String::new, LitStr::value);
    let call = call(names, function, Kind::Orchestrator);
    let outcome = outcome(names, Kind::Orchestrator, &call);
    let decode = decode(names, function, Kind::Orchestrator);
    quote! {
        #returns

        impl #root::Orchestrator for #ty {
            #types
            const NAME: &'static ::core::primitive::str = #name;
            const VERSION: &'static ::core::primitive::str = #version;

            fn run(
                #ctx: #root::OrchestrationContext,
                #input: #root::__private::Payload,
            ) -> #root::__private::OrchestratorFuture {
                ::std::boxed::Box::pin(async move {
                    #decode
                    #outcome
                })
            }
        }
    }
}

/// `type Input`, `type Output` and `type Error`.
fn types(names: &Names, function: &Function, kind: Kind) -> TokenStream {
    let p = names.private();
    let place = Place::of_output(function);
    let input = input_type(function, kind);
    let output = match kind {
        Kind::Activity => place.associated("Output", &quote!(__Returned), &names.polled()),
        Kind::Orchestrator => place.associated("Output", &quote!(__Return), &names.split()),
    };
    let recorded = quote!(#p::Recorded<{ #p::ErrorProbe::<__Raised>::IS_WIRE }>);
    let error = place.associated("Error", &quote!(__Raised), &recorded);
    quote! {
        type Input = #input;
        #output
        #error
    }
}

/// One input is its own type, literally. If a tuple of several does not fit, all the arguments are
/// to blame.
fn input_type(function: &Function, kind: Kind) -> TokenStream {
    match inputs(function, kind).as_slice() {
        [input] => input.to_token_stream(),
        several => {
            let mut tuple = Group::new(Delimiter::Parenthesis, quote!(#(#several,)*));
            tuple.set_span(function.sig.paren_token.span.join());
            tuple.into_token_stream()
        }
    }
}

/// From where to where the return type reaches in the source.
///
/// One span for all of it is not to be had on stable Rust, but the compiler makes one of the first
/// and the last token of a type.
#[derive(Clone, Copy)]
struct Place {
    start: Span,
    end: Span,
}

impl Place {
    /// The place of the function's name if there is no return type.
    fn of_output(function: &Function) -> Self {
        let tokens = match &function.sig.output {
            ReturnType::Default => function.sig.ident.to_token_stream(),
            ReturnType::Type(_, ty) => ty.to_token_stream(),
        };
        let mut spans = tokens.into_iter().map(|token| token.span());
        let start = spans.next().unwrap_or_else(Span::call_site);
        let end = spans.last().unwrap_or(start);
        Self { start, end }
    }

    /// `type name = <ty as implemented>::name;`
    ///
    /// A type that does not fit is reported for the right side and once more for the item. The
    /// compiler drops the second message if it is equal, so both are made to reach equally far.
    fn associated(self, name: &str, ty: &TokenStream, implemented: &TokenStream) -> TokenStream {
        let keyword = quote_spanned!(self.start=> type);
        let open = quote_spanned!(self.start=> <);
        let name = Ident::new(name, self.end);
        let end = quote_spanned!(self.end=> ;);
        quote!(#keyword #name = #open #ty as #implemented>::#name #end)
    }
}

/// The types that the return type is taken apart into, by type and not by name: an alias of
/// `Result` must not have its errors stored as successes.
fn return_types(names: &Names, function: &Function) -> TokenStream {
    let p = names.private();
    let split = names.split();
    let written = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    };
    quote! {
        #[allow(unused_imports)]
        use #p::{
            NoText as _, NotPoll as _, NotResult as _, NotWire as _, RecordAny as _, RecordError as _,
        };
        type __Return = #written;
        #[allow(dead_code)]
        type __Returned = <__Return as #split>::Output;
        type __Raised = <__Return as #split>::Error;
    }
}

/// The types of the arguments that the caller passes.
fn inputs(function: &Function, kind: Kind) -> Vec<&Type> {
    function
        .arguments
        .iter()
        .filter(|argument| argument.role(kind) == Role::Input)
        .map(|argument| &argument.ty)
        .collect()
}

/// Reads the input into [`Names::input`], or into one local for each of several.
fn decode(names: &Names, function: &Function, kind: Kind) -> TokenStream {
    let Names { input, .. } = names;
    let p = names.private();
    let read = format_ident!("{}_input", kind.attribute());
    let into = match inputs(function, kind).len() {
        0 => quote!(()),
        1 => quote!(#input),
        several => {
            let several = (0..several).map(|index| numbered("input", index));
            quote!((#(#several,)*))
        }
    };
    quote!(let #into = #p::#read::<Self>(&#input)?;)
}

/// The arguments of an activity that come from its context. Each bound is stated once, in a
/// constant, so that a type which does not fit is one error.
struct Extractors {
    declare: TokenStream,
    require: TokenStream,
    take: TokenStream,
}

impl Extractors {
    fn new(names: &Names, function: &Function) -> Self {
        let Names { ctx, .. } = names;
        let p = names.private();
        let requirements = local("requirements");
        let mut extractors = Self {
            declare: TokenStream::new(),
            require: TokenStream::new(),
            take: TokenStream::new(),
        };
        let extracted = function
            .arguments
            .iter()
            .filter(|argument| argument.role(Kind::Activity) == Role::Extract);
        for (index, argument) in extracted.enumerate() {
            let ty = &argument.ty;
            let extractor = format_ident!("__EXTRACTOR_{index}");
            let value = numbered("extracted", index);
            extractors.declare.extend(quote! {
                const #extractor: #p::Extractor<#ty> = #p::extractor::<#ty>();
            });
            extractors
                .require
                .extend(quote!(#p::Extractor::require(&#extractor, #requirements);));
            extractors
                .take
                .extend(quote!(let #value = #p::Extractor::take(&#extractor, &#ctx)?;));
        }
        extractors
    }
}

/// The call of the user's function.
fn call(names: &Names, function: &Function, kind: Kind) -> TokenStream {
    let Names { ctx, input, .. } = names;
    let one_input = inputs(function, kind).len() == 1;
    let (mut extracted, mut passed) = (0.., 0..);
    let arguments = function.arguments.iter().map(|argument| {
        let next = match argument.role(kind) {
            Role::Context => return ctx.clone(),
            Role::Input if one_input => return input.clone(),
            Role::Input => passed.next().map(|index| numbered("input", index)),
            Role::Extract => extracted.next().map(|index| numbered("extracted", index)),
        };
        next.expect("an open range does not end")
    });
    let ident = &function.sig.ident;
    let awaited = function.sig.asyncness.map(|_| quote!(.await));
    quote!(#ident(#(#arguments),*) #awaited)
}

/// Turns what the function returns into what is recorded.
fn outcome(names: &Names, kind: Kind, call: &TokenStream) -> TokenStream {
    let p = names.private();
    let split = names.split();
    let write = format_ident!("{}_output", kind.attribute());
    let [returned, error, text] = ["returned", "error", "text"].map(local);
    let (types, taken) = match kind {
        Kind::Activity => {
            let polled = names.polled();
            (
                quote!(Self, _),
                quote!(.map(<__Returned as #polled>::polled)),
            )
        }
        Kind::Orchestrator => (quote!(Self), TokenStream::new()),
    };
    quote! {{
        let #returned = #call;
        #p::#write::<#types>(
            <__Return as #split>::split(#returned)
                #taken
                .map_err(|#error| {
                    let #text = (&#p::Describe(&#error)).durable_text();
                    #p::Raised(#error).durable_record(#text)
                })
        )
    }}
}

/// The name of a local variable that cannot meet one of the user's.
fn local(name: &str) -> Ident {
    Ident::new(&format!("__{name}"), Span::mixed_site())
}

fn numbered(name: &str, index: usize) -> Ident {
    local(&format!("{name}_{index}"))
}
