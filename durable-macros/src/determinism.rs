//! What an orchestrator's body must not do, because it would come out otherwise at replay.
//!
//! It is looked for in the tokens as they are written, also inside macro calls, which a parser does
//! not enter: `join!(..)` is where such a call is likely to stand. Only names that are hardly
//! anything else are refused: a helper of the user's own is not looked into, and may be called
//! `sleep`.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::Error;

/// Paths that are refused.
struct Rule {
    /// Where the names live. What is written may begin at any of these segments, as after an
    /// import, but not behind the one at `from`.
    parents: &'static [&'static str],
    from: usize,
    names: &'static [&'static str],
    instead: &'static str,
}

const CLOCK: &str = "the clock has moved on at replay; use `ctx.now()`";
const TIMER: &str = "this timer is gone when the process is; use `ctx.create_timer(..)`";
const SPAWN: &str = "nothing records when this ends; use `ctx.call_activity::<..>(..)`, and `join!` to do several things at once";
const THREAD: &str = "this blocks the thread that orchestrators run on; use `ctx.create_timer(..)`";
const RANDOM: &str = "this is another number at replay; use `ctx.random_u64()`";
const UUID: &str = "this is another id at replay; use `ctx.new_uuid()`";
const OUTSIDE: &str =
    "the world has changed at replay; do this in an activity: `ctx.call_activity::<..>(..)`";
const MAP: &str = "`StreamMap` polls in random order; use `FuturesUnordered`";
const WATCH: &str = "`watch` wakes in random order; use `Notify` or `mpsc`";
const RACE: &str = "`race` polls in random order; use `tokio::select!` that begins with `biased;`";
const SELECT: &str = "`select!` polls its branches in random order; begin it with `biased;`";
const SELECT_OF_FUTURES: &str =
    "`select!` polls its branches in random order; use `select_biased!`";

const FILES: &[&str] = &[
    "canonicalize",
    "copy",
    "create_dir",
    "create_dir_all",
    "exists",
    "File",
    "hard_link",
    "metadata",
    "OpenOptions",
    "read",
    "read_dir",
    "read_link",
    "read_to_string",
    "remove_dir",
    "remove_dir_all",
    "remove_file",
    "rename",
    "symlink_metadata",
    "write",
];

const RULES: &[Rule] = &[
    rule(&["std", "time", "SystemTime"], 2, &["now"], CLOCK),
    rule(&["std", "time", "Instant"], 2, &["now"], CLOCK),
    rule(&["tokio", "time", "Instant"], 2, &["now"], CLOCK),
    rule(&["chrono", "Utc"], 1, &["now"], CLOCK),
    rule(
        &["tokio", "time"],
        1,
        &[
            "interval",
            "interval_at",
            "sleep",
            "sleep_until",
            "timeout",
            "timeout_at",
        ],
        TIMER,
    ),
    rule(&["tokio"], 0, &["spawn"], SPAWN),
    rule(
        &["tokio", "task"],
        0,
        &["spawn", "spawn_blocking", "spawn_local", "JoinSet"],
        SPAWN,
    ),
    rule(&["std", "thread"], 1, &["sleep"], THREAD),
    rule(&["std", "thread"], 1, &["spawn", "scope"], SPAWN),
    rule(
        &["rand"],
        0,
        &[
            "fill",
            "random",
            "random_bool",
            "random_iter",
            "random_range",
            "rng",
            "thread_rng",
        ],
        RANDOM,
    ),
    rule(&["uuid", "Uuid"], 1, &["new_v4", "now_v7"], UUID),
    rule(
        &["std", "env"],
        1,
        &["args", "current_dir", "var", "var_os", "vars", "vars_os"],
        OUTSIDE,
    ),
    rule(&["std", "fs"], 1, FILES, OUTSIDE),
    rule(&["tokio", "fs"], 1, FILES, OUTSIDE),
    rule(
        &["reqwest"],
        0,
        &["blocking", "Client", "ClientBuilder", "get"],
        OUTSIDE,
    ),
    rule(
        &["tokio_stream", "StreamMap"],
        1,
        &["new", "with_capacity"],
        MAP,
    ),
    rule(&["tokio", "sync", "watch"], 2, &["channel"], WATCH),
    rule(&["futures_lite", "future"], 0, &["race"], RACE),
];

const fn rule(
    parents: &'static [&'static str],
    from: usize,
    names: &'static [&'static str],
    instead: &'static str,
) -> Rule {
    Rule {
        parents,
        from,
        names,
        instead,
    }
}

impl Rule {
    fn refuses(&self, path: &[String]) -> bool {
        (0..=self.from).any(|from| {
            let parents = &self.parents[from..];
            path.len() > parents.len()
                && path.iter().zip(parents).all(|(is, should)| is == should)
                && self.names.contains(&path[parents.len()].as_str())
        })
    }
}

/// Every place in the body that is refused.
pub(crate) fn check(body: &TokenStream) -> Option<Error> {
    let mut walk = Walk { error: None };
    walk.tokens(body.clone());
    walk.error
}

struct Walk {
    error: Option<Error>,
}

impl Walk {
    fn refuse(&mut self, at: impl ToTokens, message: &str) {
        let error = Error::new_spanned(at, message);
        match &mut self.error {
            Some(first) => first.combine(error),
            None => self.error = Some(error),
        }
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        let mut before = None;
        while let [first, after @ ..] = rest {
            let path = Path::at_start_of(rest);
            rest = if path.segments.is_empty() {
                if let TokenTree::Group(group) = first {
                    self.tokens(group.stream());
                }
                before = Some(first);
                after
            } else {
                let is_member = before.is_some_and(|token| is_punct(token, '.'));
                before = path.tokens.last();
                self.path(&path, is_member, &rest[path.tokens.len()..])
            };
        }
    }

    /// Judges a path, and returns what is left to look at after it.
    fn path<'a>(
        &mut self,
        path: &Path<'_>,
        is_member: bool,
        after: &'a [TokenTree],
    ) -> &'a [TokenTree] {
        if is_member {
            return skip_recorded_step(path, after);
        }
        if let [name] = path.segments.as_slice()
            && name == "fn"
        {
            return skip_function(after);
        }
        if let Some(rule) = RULES.iter().find(|rule| rule.refuses(&path.segments)) {
            self.refuse(path, rule.instead);
        }
        if let [bang, TokenTree::Group(branches), ..] = after
            && is_punct(bang, '!')
            && path.segments.last().is_some_and(|name| name == "select")
            && !begins_biased(branches)
        {
            let of_futures = path.segments[0].starts_with("futures");
            self.refuse(
                path,
                if of_futures {
                    SELECT_OF_FUTURES
                } else {
                    SELECT
                },
            );
        }
        after
    }
}

/// What is done inside `ctx.run("name", || ..)` is recorded, and may be anything.
fn skip_recorded_step<'a>(method: &Path<'_>, after: &'a [TokenTree]) -> &'a [TokenTree] {
    match after {
        [TokenTree::Group(arguments), rest @ ..]
            if method.segments == ["run"] && arguments.delimiter() == Delimiter::Parenthesis =>
        {
            rest
        }
        _ => after,
    }
}

/// A function inside the body is another function: maybe an activity.
fn skip_function(after: &[TokenTree]) -> &[TokenTree] {
    let is_body = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
    let is_named = matches!(after.first(), Some(TokenTree::Ident(_)));
    match after.iter().position(is_body) {
        Some(body) if is_named => &after[body + 1..],
        _ => after,
    }
}

fn begins_biased(branches: &Group) -> bool {
    let mut tokens = branches.stream().into_iter();
    let is_biased = matches!(tokens.next(), Some(TokenTree::Ident(ident)) if ident == "biased");
    is_biased && tokens.next().is_some_and(|token| is_punct(&token, ';'))
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Identifiers with `::` between them, as they are written.
struct Path<'a> {
    tokens: &'a [TokenTree],
    segments: Vec<String>,
}

impl<'a> Path<'a> {
    fn at_start_of(tokens: &'a [TokenTree]) -> Self {
        let mut segments = Vec::new();
        let mut length = 0;
        while let Some(TokenTree::Ident(segment)) = tokens.get(length) {
            segments.push(segment.to_string());
            length += 1;
            let [first, second, TokenTree::Ident(_), ..] = &tokens[length..] else {
                break;
            };
            if !(is_punct(first, ':') && is_punct(second, ':')) {
                break;
            }
            length += 2;
        }
        Self {
            tokens: &tokens[..length],
            segments,
        }
    }
}

impl ToTokens for Path<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let path = self.tokens;
        tokens.extend(quote!(#(#path)*));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &[&str]) {
        let tokens: TokenStream = body.parse().expect("these are tokens");
        let messages: Vec<String> = super::check(&tokens)
            .into_iter()
            .flatten()
            .map(|error| error.to_string())
            .collect();
        assert_eq!(messages, expected, "{body}");
    }

    #[test]
    fn what_comes_out_otherwise_at_replay_is_refused() {
        check("let at = SystemTime::now();", &[CLOCK]);
        check("std::time::SystemTime::now()", &[CLOCK]);
        check("::std::time::Instant::now()", &[CLOCK]);
        check("time::Instant::now()", &[CLOCK]);
        check("chrono::Utc::now()", &[CLOCK]);
        check("tokio::time::sleep(second).await", &[TIMER]);
        check("time::timeout(second, call)", &[TIMER]);
        check("tokio::spawn(async {})", &[SPAWN]);
        check("tokio::task::spawn_blocking(|| 1)", &[SPAWN]);
        check("let mut set = tokio::task::JoinSet::new();", &[SPAWN]);
        check("std::thread::spawn(|| 1)", &[SPAWN]);
        check("thread::sleep(second)", &[THREAD]);
        check("rand::random::<u8>()", &[RANDOM]);
        check("Uuid::new_v4()", &[UUID]);
        check("env::var(\"HOME\")", &[OUTSIDE]);
        check("std::fs::read(path)", &[OUTSIDE]);
        check("tokio::fs::File::open(path)", &[OUTSIDE]);
        check("reqwest::get(url)", &[OUTSIDE]);
        check("StreamMap::new()", &[MAP]);
        check("tokio::sync::watch::channel(1)", &[WATCH]);
        check("futures_lite::future::race(a, b)", &[RACE]);
    }

    #[test]
    fn it_is_found_however_deep() {
        check("{ [f(|| vec![SystemTime::now()])] }", &[CLOCK]);
        check("tokio::join!(a, async { Uuid::new_v4() })", &[UUID]);
        check("call(SystemTime::now).await", &[CLOCK]);
        check("SystemTime::now(); tokio::spawn(a)", &[CLOCK, SPAWN]);
        check(
            "select! { biased; _ = tokio::time::sleep(x) => {} }",
            &[TIMER],
        );
    }

    #[test]
    fn select_must_begin_with_biased() {
        check("tokio::select! { a = b => {} }", &[SELECT]);
        check("select!(a = b => {})", &[SELECT]);
        check("futures::select! { a = b => {} }", &[SELECT_OF_FUTURES]);
        check(
            "futures_util::select! { a = b => {} }",
            &[SELECT_OF_FUTURES],
        );
        check("tokio::select! { biased; a = b => {} }", &[]);
        check("select_biased! { a = b => {} }", &[]);
        check("select(a, b).await", &[]);
        check("futures::future::select(a, b).await", &[]);
        check("if select != other { a }", &[]);
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        check("let now = ctx.now();", &[]);
        check("self.fs.read()", &[]);
        check("sleep(second).await; spawn(task)", &[]);
        check("tokio::time::Duration::from_secs(1)", &[]);
        check("crate::time::sleep(second)", &[]);
        check("our::fs::read(path)", &[]);
        check("task::spawn(order)", &[]);
        check("rand::rngs::StdRng::seed_from_u64(ctx.random_u64())", &[]);
        check("std::env::consts::OS; env!(\"CARGO_PKG_NAME\")", &[]);
        check("reqwest::StatusCode::OK; Uuid::new_v5(&space, name)", &[]);
        check("let text = \"SystemTime::now()\"; // tokio::spawn", &[]);
        check("SystemTime::UNIX_EPOCH; Instant { now: 1 }", &[]);
        check("Clock::now(); watch.channel(); MySystemTime::now()", &[]);
    }

    #[test]
    fn recorded_steps_and_other_functions_may_do_anything() {
        check("ctx.run(\"at\", || async { SystemTime::now() }).await", &[]);
        check("ctx.run(\"at\", f).await; Uuid::new_v4()", &[UUID]);
        check("async fn step(a: u8) -> u8 { fs::read(a) } step(1)", &[]);
        check("fn step() {} Uuid::new_v4()", &[UUID]);
        check("let f: fn(u8) -> u8 = g; { Uuid::new_v4() }", &[UUID]);
    }
}
