//! The rules, in their order.

use std::time::Duration;

use durable_core::OrchestrationStatus;
use http::HeaderValue;
use http::request::Parts;

use super::actions::{Action, Actions};
use super::hook::{Access, Hook, Verdict};
use super::keys::AdminKeys;
use super::link::{Claims, PREFIX, Signer};
use crate::clock;
use crate::error::ApiError;
use crate::query::Query;

/// The rules of one `HttpApi`.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) signer: Signer,
    pub(crate) keys: AdminKeys,
    pub(crate) anonymous: Actions,
    pub(crate) hook: Option<Hook>,
    pub(crate) link_ttl: Duration,
}

/// Who asks, by what they brought with them.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Somebody with an admin key.
    Admin,
    /// Somebody with a link; the text is its credential.
    Link(Claims, String),
    /// Somebody of whom only rules 5 to 7 know.
    Other,
}

/// What a request is about, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) instance: Option<&'a str>,
    pub(crate) orchestrator: Option<&'a str>,
}

impl Rules {
    /// Rules 1 to 4, as far as they need no instance.
    pub(crate) fn identify(&self, parts: &Parts, query: &Query) -> Result<Caller, ApiError> {
        let Some(credential) = credential(parts, query) else {
            return Ok(Caller::Other);
        };
        if credential.starts_with(PREFIX.as_bytes()) {
            return self.link(&credential);
        }
        if self.keys.contain(&credential) {
            return Ok(Caller::Admin);
        }
        if self.keys.is_empty() {
            return Ok(Caller::Other);
        }
        Err(ApiError::Unauthorized("the key is not valid"))
    }

    fn link(&self, credential: &[u8]) -> Result<Caller, ApiError> {
        let refused = ApiError::Unauthorized("the link is not valid");
        let Ok(code) = std::str::from_utf8(credential) else {
            return Err(refused);
        };
        let claims = self.signer.verify(code).ok_or(refused)?;
        if claims.has_expired(clock::now()) {
            return Err(EXPIRED);
        }
        Ok(Caller::Link(claims, code.to_owned()))
    }

    /// Whether `caller` may do `action`, as far as it can be said without asking the hub.
    pub(crate) async fn check(
        &self,
        caller: &Caller,
        action: Action,
        subject: Subject<'_>,
    ) -> Result<(), ApiError> {
        match caller {
            Caller::Admin => Ok(()),
            Caller::Link(claims, _) if claims.cover(action, subject.instance) => Ok(()),
            Caller::Link(..) => Err(ApiError::Forbidden("the link is not for this")),
            Caller::Other => self.check_other(action, subject).await,
        }
    }

    /// Rules 5 to 7.
    async fn check_other(&self, action: Action, subject: Subject<'_>) -> Result<(), ApiError> {
        if self.anonymous.contains(action) {
            return Ok(());
        }
        let Some(hook) = &self.hook else {
            return Err(ApiError::Unauthorized("a key or a link is needed"));
        };
        let access = Access {
            parts: subject.parts.clone(),
            action,
            instance: subject.instance.map(str::to_owned),
            orchestrator: subject.orchestrator.map(str::to_owned),
        };
        match hook.ask(access).await {
            Verdict::Allow => Ok(()),
            Verdict::Unauthorized => Err(ApiError::Unauthorized("access is not allowed")),
            Verdict::Forbidden => Err(ApiError::Forbidden("access is not allowed")),
            Verdict::NotFound => Err(ApiError::NotFound),
        }
    }

    /// Rule 1, once the instance is known: a link is for one incarnation, and ends some time after
    /// the instance has.
    pub(crate) fn check_found(
        &self,
        caller: &Caller,
        status: &OrchestrationStatus,
    ) -> Result<(), ApiError> {
        let Caller::Link(claims, _) = caller else {
            return Ok(());
        };
        if claims.incarnation != status.incarnation() {
            return Err(ApiError::NotFound);
        }
        let end = status.last_updated_at().checked_add(self.link_ttl);
        if status.runtime_status().is_terminal() && end.is_some_and(|end| end <= clock::now()) {
            return Err(EXPIRED);
        }
        Ok(())
    }
}

const EXPIRED: ApiError = ApiError::Unauthorized("the link has expired");

/// The credential of a request: the header, else the query.
fn credential(parts: &Parts, query: &Query) -> Option<Vec<u8>> {
    let headers: Vec<&[u8]> = parts
        .headers
        .get_all("x-functions-key")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let header = headers.join(&b","[..]);
    if !header.trim_ascii().is_empty() {
        return Some(header);
    }
    query.get("code").map(String::into_bytes)
}
