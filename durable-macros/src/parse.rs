//! Our view of the function an attribute stands on, and of what the attribute is given.
//!
//! The body stays a stream of tokens: nothing in it is needed, and what is not parsed cannot be
//! changed by accident.

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, LitInt, LitStr, Path, PathArguments, Result,
    Signature, Token, Type, Variadic, Visibility,
};

/// Which of the two attributes it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Activity,
    Orchestrator,
}

impl Kind {
    /// The attribute's name.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Orchestrator => "orchestrator",
        }
    }

    /// The trait it implements.
    pub(crate) fn implemented(self) -> Ident {
        match self {
            Self::Activity => Ident::new("Activity", Span::call_site()),
            Self::Orchestrator => Ident::new("Orchestrator", Span::call_site()),
        }
    }

    /// For the beginning of a sentence.
    pub(crate) fn a(self) -> &'static str {
        match self {
            Self::Activity => "an activity",
            Self::Orchestrator => "an orchestrator",
        }
    }
}

/// A function, taken apart as far as the attributes need it.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    /// As written, but without our marks on the arguments, which the compiler does not know.
    pub(crate) sig: Signature,
    /// Not in the signature any more, because the compiler refuses it too.
    pub(crate) variadic: Option<Variadic>,
    pub(crate) body: TokenStream,
    /// Every argument but `self`.
    pub(crate) arguments: Vec<Argument>,
}

pub(crate) struct Argument {
    /// The attributes that are left on it.
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) ty: Type,
}

/// `#[extract]` or `#[input]` on an argument: what it is, whatever its type is called.
pub(crate) struct Mark {
    pub(crate) role: Role,
    pub(crate) attribute: Attribute,
}

/// Where the value of an argument comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The orchestrator's context.
    Context,
    /// The activity's context, by way of `FromActivity`.
    Extract,
    /// What the caller passes.
    Input,
}

/// The types that the attributes know by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    ActivityContext,
    OrchestrationContext,
    State,
    Resumed,
    CancellationToken,
    Progress,
}

impl Function {
    pub(crate) fn parse(kind: Kind, item: TokenStream) -> Result<Self> {
        (|input: ParseStream<'_>| Self::parse_item(kind, input)).parse2(item)
    }

    fn parse_item(kind: Kind, input: ParseStream<'_>) -> Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        if !begins_function(&input.fork()) {
            let message = format!("`#[{}]` goes on a function", kind.attribute());
            return Err(input.error(message));
        }
        let mut sig: Signature = input.parse()?;
        if input.peek(Token![;]) {
            let message = format!("{} must have a body", kind.a());
            return Err(input.error(message));
        }
        let variadic = sig.variadic.take();
        let arguments = sig.inputs.iter_mut().filter_map(Argument::take).collect();
        Ok(Self {
            attrs,
            vis,
            sig,
            variadic,
            body: input.parse()?,
            arguments,
        })
    }
}

/// Whether a function is declared here, also one of a kind that is refused later.
fn begins_function(input: ParseStream<'_>) -> bool {
    let modifiers = || -> Result<()> {
        input.parse::<Option<Token![const]>>()?;
        input.parse::<Option<Token![async]>>()?;
        input.parse::<Option<Token![unsafe]>>()?;
        input.parse::<Option<syn::Abi>>()?;
        Ok(())
    };
    modifiers().is_ok() && input.peek(Token![fn])
}

impl Argument {
    /// Reads an argument, and takes our marks off it.
    fn take(argument: &mut FnArg) -> Option<Self> {
        let FnArg::Typed(argument) = argument else {
            return None;
        };
        let mut marks = Vec::new();
        argument.attrs.retain(|attribute| {
            let role = Mark::role_of(attribute);
            marks.extend(role.map(|role| Mark {
                role,
                attribute: attribute.clone(),
            }));
            role.is_none()
        });
        Some(Self {
            attrs: argument.attrs.clone(),
            marks,
            ty: (*argument.ty).clone(),
        })
    }

    /// What it is: by its mark if it has one, else by the name of its type.
    pub(crate) fn role(&self, kind: Kind) -> Role {
        if let Some(mark) = self.marks.first() {
            return mark.role;
        }
        match (kind, Known::of(&self.ty)) {
            (Kind::Orchestrator, Some(Known::OrchestrationContext)) => Role::Context,
            (Kind::Activity, Some(known)) if known != Known::OrchestrationContext => Role::Extract,
            _ => Role::Input,
        }
    }
}

impl Mark {
    fn role_of(attribute: &Attribute) -> Option<Role> {
        if attribute.path().is_ident("extract") {
            Some(Role::Extract)
        } else if attribute.path().is_ident("input") {
            Some(Role::Input)
        } else {
            None
        }
    }
}

impl Known {
    /// By the last segment of the path. The generic arguments must fit exactly, so that `State`
    /// or `State<A, B>` of the user's own stay inputs.
    pub(crate) fn of(ty: &Type) -> Option<Self> {
        let Type::Path(path) = peel(ty) else {
            return None;
        };
        let last = path.path.segments.last()?;
        match (last.ident.to_string().as_str(), types_in(&last.arguments)?) {
            ("ActivityContext", 0) => Some(Self::ActivityContext),
            ("OrchestrationContext", 0) => Some(Self::OrchestrationContext),
            ("CancellationToken", 0) => Some(Self::CancellationToken),
            ("Progress", 0) => Some(Self::Progress),
            ("State", 1) => Some(Self::State),
            ("Resumed", 1) => Some(Self::Resumed),
            _ => None,
        }
    }
}

/// The type without parentheses and without the invisible group that a `macro_rules!` fragment
/// comes in.
pub(crate) fn peel(ty: &Type) -> &Type {
    if let Type::Group(group) = ty {
        peel(&group.elem)
    } else if let Type::Paren(paren) = ty {
        peel(&paren.elem)
    } else {
        ty
    }
}

/// How many generic arguments there are, if all of them are types.
fn types_in(arguments: &PathArguments) -> Option<usize> {
    match arguments {
        PathArguments::None => Some(0),
        PathArguments::AngleBracketed(generics) => generics
            .args
            .iter()
            .all(|argument| matches!(argument, GenericArgument::Type(_)))
            .then_some(generics.args.len()),
        PathArguments::Parenthesized(_) => None,
    }
}

/// What stands in the attribute's parentheses.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitStr>,
    /// What the generated type is called instead of like the function.
    pub(crate) rename: Option<Ident>,
    /// Where `durable_core` is found.
    pub(crate) root: Option<Path>,
    /// Why the body may do what would come out otherwise at replay.
    pub(crate) allow_nondeterminism: Option<LitStr>,
    /// The most attempts at it that run at once.
    pub(crate) max_concurrent: Option<usize>,
}

impl Options {
    pub(crate) fn parse(kind: Kind, options: TokenStream) -> Result<Self> {
        (|input: ParseStream<'_>| Self::parse_list(kind, input)).parse2(options)
    }

    fn parse_list(kind: Kind, input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            options.parse_one(kind, input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }

    fn parse_one(&mut self, kind: Kind, input: ParseStream<'_>) -> Result<()> {
        let key = input.call(Ident::parse_any)?;
        match (key.to_string().as_str(), kind) {
            ("name", _) => set(&mut self.name, &key, input, parse_text),
            ("version", Kind::Orchestrator) => set(&mut self.version, &key, input, parse_text),
            ("type", _) => set(&mut self.rename, &key, input, Ident::parse),
            ("crate", _) => set(&mut self.root, &key, input, Path::parse_mod_style),
            ("allow_nondeterminism", Kind::Orchestrator) => {
                set(&mut self.allow_nondeterminism, &key, input, parse_text)
            }
            ("max_concurrent", Kind::Activity) => {
                set(&mut self.max_concurrent, &key, input, parse_count)
            }
            (unknown, Kind::Activity) => Err(Error::new(
                key.span(),
                format!(
                    "no option `{unknown}`; an activity has `name`, `type`, `crate` and `max_concurrent`"
                ),
            )),
            (unknown, Kind::Orchestrator) => Err(Error::new(
                key.span(),
                format!(
                    "no option `{unknown}`; an orchestrator has `name`, `version`, `type`, `crate` and `allow_nondeterminism`"
                ),
            )),
        }
    }
}

/// Reads `= value` into an option that is not there yet.
fn set<T>(
    option: &mut Option<T>,
    key: &Ident,
    input: ParseStream<'_>,
    parse: impl FnOnce(ParseStream<'_>) -> Result<T>,
) -> Result<()> {
    if option.is_some() {
        let message = format!("`{key}` is given twice");
        return Err(Error::new(key.span(), message));
    }
    input.parse::<Token![=]>()?;
    *option = Some(parse(input)?);
    Ok(())
}

/// A number of at least 1.
fn parse_count(input: ParseStream<'_>) -> Result<usize> {
    let number: LitInt = input.parse()?;
    match number.base10_parse()? {
        0 => Err(Error::new(number.span(), "this must be at least 1")),
        count => Ok(count),
    }
}

/// A text that can stand in history, in a log line and in a URL query.
fn parse_text(input: ParseStream<'_>) -> Result<LitStr> {
    let text: LitStr = input.parse()?;
    let value = text.value();
    if value.is_empty() {
        Err(Error::new(text.span(), "this must not be empty"))
    } else if value.chars().any(char::is_control) {
        Err(Error::new(
            text.span(),
            "this must not contain control characters",
        ))
    } else {
        Ok(text)
    }
}
