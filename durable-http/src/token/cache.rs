//! Tokens that were fetched, until shortly before they expire.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{AccessToken, Bearer, TokenError, TokenSource};
use crate::call::{HttpCallError, TokenName};
use crate::clock;

/// The resources of which tokens are kept. An orchestrator's input may name any.
const MAX_KEPT: usize = 1_024;
/// How long a source may take.
const FETCH: Duration = Duration::from_secs(30);
/// So long before its end a token is not used any more: a request takes a while to arrive.
const EARLY: Duration = Duration::from_secs(5 * 60);

/// The sources of a worker, and what came of them. Clones share what was fetched.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    sources: BTreeMap<String, Arc<dyn TokenSource>>,
    kept: Arc<Mutex<BTreeMap<TokenName, Slot>>>,
}

/// Locked while its token is fetched, so that everybody else waits for that one.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    bearer: Bearer,
    /// For ever, if it does not say.
    until: Option<Instant>,
}

impl Tokens {
    pub(crate) fn add(&mut self, name: String, source: impl TokenSource) {
        self.sources.insert(name, Arc::new(source));
        // What is there may be of another source of this name.
        self.kept = Arc::default();
    }

    /// A token that is none that was `refused`.
    pub(crate) async fn get(
        &self,
        name: &TokenName,
        refused: Option<&Bearer>,
    ) -> Result<Bearer, HttpCallError> {
        let missing = || HttpCallError::NoTokenSource(name.kind.clone());
        let source = self.sources.get(&name.kind).ok_or_else(missing)?;
        let slot = self.slot(name);
        let mut kept = slot.lock().await;
        if let Some(kept) = &*kept
            && kept.until.is_none_or(|until| clock::monotonic() < until)
            && Some(&kept.bearer) != refused
        {
            return Ok(kept.bearer.clone());
        }
        *kept = None;
        let fetched = tokio::time::timeout(FETCH, source.fetch(&name.resource)).await;
        let late = |_| Err(TokenError::new("it takes too long"));
        let token = fetched
            .unwrap_or_else(late)
            .map_err(|error| HttpCallError::Token {
                source_name: name.kind.clone(),
                message: error.to_string(),
            })?;
        let fresh = Kept::from(token);
        let bearer = fresh.bearer.clone();
        *kept = Some(fresh);
        Ok(bearer)
    }

    fn slot(&self, name: &TokenName) -> Slot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT && !kept.contains_key(name) {
            kept.clear();
        }
        Arc::clone(kept.entry(name.clone()).or_default())
    }
}

impl From<AccessToken> for Kept {
    fn from(token: AccessToken) -> Self {
        let until = token.lifetime.and_then(|lifetime| {
            let used = lifetime.saturating_sub(EARLY.min(lifetime / 5));
            // One that outlives the clock is good for ever.
            clock::monotonic().checked_add(used)
        });
        Self {
            bearer: token.bearer,
            until,
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.sources.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::TokenAnswer;
    use super::*;

    /// Counts what it is asked, and takes a while.
    #[derive(Clone, Default)]
    struct Counting {
        asked: Arc<AtomicU32>,
        lifetime: Option<Duration>,
    }

    impl TokenSource for Counting {
        fn fetch<'a>(&'a self, resource: &'a str) -> TokenAnswer<'a> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let nth = self.asked.fetch_add(1, Ordering::SeqCst);
                let token = AccessToken::new(format!("{resource} {nth}"))?;
                Ok(match self.lifetime {
                    Some(lifetime) => token.expires_in(lifetime),
                    None => token,
                })
            })
        }
    }

    fn tokens(lifetime: Option<u64>) -> (Tokens, Counting) {
        let counting = Counting {
            lifetime: lifetime.map(Duration::from_secs),
            ..Counting::default()
        };
        let mut tokens = Tokens::default();
        tokens.add("counting".to_owned(), counting.clone());
        (tokens, counting)
    }

    fn name(resource: &str) -> TokenName {
        TokenName {
            kind: "counting".to_owned(),
            resource: resource.to_owned(),
        }
    }

    async fn get(tokens: &Tokens, resource: &str) -> String {
        let bearer = tokens.get(&name(resource), None).await.expect("a token");
        bearer.header().to_str().expect("text").to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_it_expires() {
        // Refreshed so many seconds before: five minutes, or a fifth if that is less.
        for (lifetime, early) in [(3_600, 300), (600, 120), (10, 2)] {
            let (tokens, _) = tokens(Some(lifetime));
            assert_eq!(get(&tokens, "a").await, "Bearer a 0");
            tokio::time::advance(Duration::from_secs(lifetime - early - 1)).await;
            assert_eq!(get(&tokens, "a").await, "Bearer a 0", "{lifetime}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(get(&tokens, "a").await, "Bearer a 1", "{lifetime}");
        }
        let (tokens, _) = tokens(None);
        assert_eq!(get(&tokens, "a").await, "Bearer a 0");
        tokio::time::advance(Duration::from_secs(1 << 30)).await;
        assert_eq!(get(&tokens, "a").await, "Bearer a 0");
        assert_eq!(get(&tokens, "b").await, "Bearer b 1");
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_want_one_token_fetch_it_once() {
        let (tokens, counting) = tokens(Some(600));
        let all = (0..50).map(|_| get(&tokens, "a"));
        let all = futures_util::future::join_all(all).await;
        assert!(all.iter().all(|token| token == "Bearer a 0"), "{all:?}");
        assert_eq!(counting.asked.load(Ordering::SeqCst), 1);

        // All of them are told that it is not good.
        let (name, old) = (name("a"), get(&tokens, "a").await);
        let refused = tokens.get(&name, None).await.expect("a token");
        let all = (0..50).map(|_| tokens.get(&name, Some(&refused)));
        let all = futures_util::future::join_all(all).await;
        assert!(
            all.iter().flatten().all(|token| token.header() != old),
            "{old}"
        );
        assert_eq!(counting.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_gives_up_leaves_the_fetch_to_the_next() {
        let (tokens, counting) = tokens(Some(600));
        let impatient = tokio::time::timeout(Duration::from_millis(5), get(&tokens, "a")).await;
        assert!(impatient.is_err());
        assert_eq!(get(&tokens, "a").await, "Bearer a 0");
        assert_eq!(counting.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_fails_or_hangs_is_an_error_and_asked_again() {
        struct Broken(AtomicU32);
        impl TokenSource for Broken {
            fn fetch<'a>(&'a self, _: &'a str) -> TokenAnswer<'a> {
                Box::pin(async {
                    match self.0.fetch_add(1, Ordering::SeqCst) {
                        0 => Err(TokenError::new("not now")),
                        1 => std::future::pending().await,
                        _ => AccessToken::new("at last"),
                    }
                })
            }
        }
        let mut tokens = Tokens::default();
        tokens.add("counting".to_owned(), Broken(AtomicU32::new(0)));
        for message in ["not now", "it takes too long"] {
            let error = tokens.get(&name("a"), None).await.err();
            let expected = HttpCallError::Token {
                source_name: "counting".to_owned(),
                message: message.to_owned(),
            };
            assert_eq!(error, Some(expected));
        }
        assert_eq!(get(&tokens, "a").await, "Bearer at last");
        let unknown = TokenName {
            kind: "other".to_owned(),
            resource: String::new(),
        };
        let error = tokens.get(&unknown, None).await.err();
        assert_eq!(
            error,
            Some(HttpCallError::NoTokenSource("other".to_owned()))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn any_number_of_resources_is_bounded() {
        let (tokens, _) = tokens(None);
        for n in 0..3 * MAX_KEPT {
            get(&tokens, &n.to_string()).await;
            assert!(tokens.kept.lock().expect("no panic").len() <= MAX_KEPT);
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let (mut tokens, _) = tokens(None);
        let token = AccessToken::new("hush").expect("a token");
        tokens.add("fixed".to_owned(), token.clone());
        let shown = format!("{token:?} {tokens:?} {:?}", token.bearer.0);
        assert!(!shown.contains("hush"), "{shown}");
        assert!(AccessToken::new("a\nb").is_err());
    }
}
