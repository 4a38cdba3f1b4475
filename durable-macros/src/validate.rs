//! What the attributes refuse, each with one message at the token to change.

use quote::ToTokens;
use syn::{
    Error, GenericArgument, Generics, Lifetime, PathArguments, ReturnType, Safety, Type, TypePath,
    TypeReference,
};

use crate::parse::{Argument, Function, Kind, Known, Role, peel};

/// serde writes and reads tuples of up to this many elements.
const MOST_INPUTS: usize = 16;

/// Why a function cannot be an activity or an orchestrator.
pub(crate) struct Refusal {
    pub(crate) error: Error,
    /// Whether its types could be those of one. If so, they are worth having in what is generated
    /// all the same: a call elsewhere is then checked against them.
    pub(crate) types_are_sound: bool,
}

/// Accepts a function that is not already `mistaken` elsewhere, or gives every reason against it.
pub(crate) fn validate(
    kind: Kind,
    function: &Function,
    mistaken: Option<Error>,
) -> Result<(), Refusal> {
    let mut refusals = Refusals {
        kind,
        error: mistaken,
        types_are_sound: true,
    };
    refusals.sort_of_function(function);
    refusals.generics(&function.sig.generics);
    if refusals.types_are_sound {
        refusals.arguments(&function.arguments);
        refusals.return_type(&function.sig.output);
    }
    let types_are_sound = refusals.types_are_sound;
    refusals.error.map_or(Ok(()), |error| {
        Err(Refusal {
            error,
            types_are_sound,
        })
    })
}

struct Refusals {
    kind: Kind,
    error: Option<Error>,
    types_are_sound: bool,
}

impl Refusals {
    fn refuse(&mut self, at: impl ToTokens, message: impl std::fmt::Display) {
        let error = Error::new_spanned(at, message);
        match &mut self.error {
            Some(first) => first.combine(error),
            None => self.error = Some(error),
        }
    }

    fn refuse_type(&mut self, at: impl ToTokens, message: impl std::fmt::Display) {
        self.types_are_sound = false;
        self.refuse(at, message);
    }

    fn sort_of_function(&mut self, function: &Function) {
        let a = self.kind.a();
        let sig = &function.sig;
        if let Some(token) = &sig.constness {
            self.refuse(token, format!("{a} cannot be a `const fn`"));
        }
        if let Safety::Unsafe(token) = &sig.safety {
            self.refuse(
                token,
                format!("{a} cannot be `unsafe`: the worker calls it and can promise nothing"),
            );
        }
        if let Some(abi) = &sig.abi {
            self.refuse(abi, format!("{a} cannot have an ABI of its own"));
        }
        if let Some(receiver) = sig.receiver() {
            self.refuse(
                receiver.self_token,
                format!("{a} must be a free function: there is no `self` to call it on"),
            );
        }
        if let Some(variadic) = &function.variadic {
            self.refuse(variadic.dots, format!("{a} cannot be variadic"));
        }
        if self.kind == Kind::Orchestrator && sig.asyncness.is_none() {
            self.refuse(sig.fn_token, "orchestrator must be an `async fn`");
        }
    }

    /// A generic function is not also blamed for its types.
    fn generics(&mut self, generics: &Generics) {
        let a = self.kind.a();
        if !generics.params.is_empty() {
            self.refuse_type(
                generics,
                format!("{a} cannot be generic: it is recorded under one name, with one input"),
            );
        }
    }

    fn arguments(&mut self, arguments: &[Argument]) {
        let mut context = false;
        let mut inputs = 0;
        for argument in arguments {
            self.marks(argument);
            self.conditional(argument);
            self.type_of_argument(argument);
            let role = argument.role(self.kind);
            let is_context = self.is_context(argument, role);
            if is_context && context {
                let ty = argument.ty.to_token_stream();
                self.refuse(&argument.ty, format!("there is only one `{ty}`"));
            }
            context |= is_context;
            inputs += usize::from(role == Role::Input);
            if role == Role::Input && inputs == MOST_INPUTS + 1 {
                self.refuse_type(
                    &argument.ty,
                    format!("more than {MOST_INPUTS} inputs; make them one struct"),
                );
            }
        }
    }

    fn is_context(&self, argument: &Argument, role: Role) -> bool {
        match self.kind {
            Kind::Orchestrator => role == Role::Context,
            Kind::Activity => {
                role == Role::Extract && Known::of(&argument.ty) == Some(Known::ActivityContext)
            }
        }
    }

    fn marks(&mut self, argument: &Argument) {
        for mark in &argument.marks {
            let attribute = &mark.attribute;
            if attribute.meta.require_path_only().is_err() {
                self.refuse(attribute, "this mark takes no arguments");
            } else if mark.role == Role::Extract && self.kind == Kind::Orchestrator {
                self.refuse(
                    attribute,
                    "an orchestrator has only its context and inputs; call an activity for the rest",
                );
            }
        }
        if let [_, second, ..] = argument.marks.as_slice() {
            self.refuse(&second.attribute, "an argument has one mark at most");
        }
    }

    fn conditional(&mut self, argument: &Argument) {
        let conditional = argument
            .attrs
            .iter()
            .find(|attr| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr"));
        if let Some(attribute) = conditional {
            let a = self.kind.a();
            self.refuse_type(
                attribute,
                format!("the arguments of {a} cannot be conditional; write two functions"),
            );
        }
    }

    fn type_of_argument(&mut self, argument: &Argument) {
        let ty = &argument.ty;
        let known = Known::of(ty).filter(|_| argument.marks.is_empty());
        match (self.kind, known) {
            (Kind::Activity, Some(Known::OrchestrationContext)) => self.refuse_type(
                ty,
                "an activity has no `OrchestrationContext`; its own is `ActivityContext`",
            ),
            (Kind::Orchestrator, Some(Known::ActivityContext)) => self.refuse_type(
                ty,
                "an orchestrator has no `ActivityContext`; its own is `OrchestrationContext`",
            ),
            (Kind::Orchestrator, Some(Known::State | Known::Resumed | Known::CancellationToken | Known::Progress)) => self.refuse_type(
                ty,
                "only activities have this: an orchestrator may depend on nothing but its history; mark it with `#[input]` if it is an input",
            ),
            _ => {
                let from_context = argument.role(self.kind) != Role::Input;
                self.owned(ty, "the arguments of", from_context);
            }
        }
    }

    fn return_type(&mut self, output: &ReturnType) {
        let ReturnType::Type(_, ty) = output else {
            return;
        };
        if let Type::Never(_) = peel(ty) {
            let a = self.kind.a();
            self.refuse_type(
                ty,
                format!("{a} cannot return `!`, which no caller could name; use `()`"),
            );
        } else {
            self.owned(ty, "the output of", false);
        }
    }

    /// Refuses what is borrowed or not named, however deep in the type. It does not look into
    /// `fn(..)` and `dyn Fn(..)`: the lifetimes there are their own.
    fn owned(&mut self, ty: &Type, what: &str, static_is_owned: bool) {
        let ty = peel(ty);
        if let Type::Reference(reference) = ty {
            if !(static_is_owned && reference.lifetime.as_ref().is_some_and(is_static)) {
                let a = self.kind.a();
                let owned = owned_form(reference);
                self.refuse_type(
                    ty,
                    format!("{what} {a} must own what they hold: use `{owned}`"),
                );
            }
        } else if let Type::ImplTrait(_) = ty {
            let a = self.kind.a();
            self.refuse_type(ty, format!("{what} {a} must be of a type with a name"));
        } else if let Type::Path(path) = ty {
            self.owned_arguments(path, what, static_is_owned);
        } else if let Type::Tuple(tuple) = ty {
            for ty in &tuple.elems {
                self.owned(ty, what, static_is_owned);
            }
        } else if let Type::Array(array) = ty {
            self.owned(&array.elem, what, static_is_owned);
        } else if let Type::Slice(slice) = ty {
            self.owned(&slice.elem, what, static_is_owned);
        }
    }

    fn owned_arguments(&mut self, path: &TypePath, what: &str, static_is_owned: bool) {
        for segment in &path.path.segments {
            let PathArguments::AngleBracketed(generics) = &segment.arguments else {
                continue;
            };
            for argument in &generics.args {
                if let GenericArgument::Type(ty) = argument {
                    self.owned(ty, what, static_is_owned);
                } else if let GenericArgument::Lifetime(lifetime) = argument
                    && !is_static(lifetime)
                {
                    let a = self.kind.a();
                    self.refuse_type(
                        lifetime,
                        format!("{what} {a} must own what they hold: use `'static`"),
                    );
                }
            }
        }
    }
}

fn is_static(lifetime: &Lifetime) -> bool {
    lifetime.ident == "static"
}

/// What to write instead of a reference.
fn owned_form(reference: &TypeReference) -> String {
    let target = peel(&reference.elem);
    if let Type::Slice(slice) = target {
        return format!("Vec<{}>", text(&slice.elem));
    }
    if let Type::TraitObject(_) = target {
        return format!("Box<{}>", text(target));
    }
    match text(target).as_str() {
        "str" => "String".to_owned(),
        "Path" => "PathBuf".to_owned(),
        "std::path::Path" => "std::path::PathBuf".to_owned(),
        other => other.to_owned(),
    }
}

/// A type as one would write it; tokens print with a space between any two.
fn text(ty: &Type) -> String {
    ty.to_token_stream()
        .to_string()
        .replace(" :: ", "::")
        .replace(" < ", "<")
        .replace(" >", ">")
        .replace(" ,", ",")
        .replace("& ", "&")
}
