//! Asking an endpoint for a token, and what it answers.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde::Deserialize;

use super::{AccessToken, TokenError};
use crate::clock;
use crate::outbound::pattern;
use crate::outbound::transport::{Transport, TransportError, read};
use crate::outbound::trust::InvalidCertificate;

/// The largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a token is good for that does not say.
const UNSAID: Duration = Duration::from_secs(5 * 60);

/// A client for endpoints that whoever runs the program has set: they may be anywhere.
#[derive(Clone, Debug)]
pub(super) struct Endpoints(Transport);

impl Endpoints {
    pub(super) fn new() -> Self {
        Self(Transport::anywhere())
    }

    /// Ones that accept what these have issued, too.
    pub(super) fn trust(self, certificates: &[u8]) -> Result<Self, InvalidCertificate> {
        self.0.trust(certificates).map(Self)
    }

    pub(super) async fn ask(&self, request: Request<Bytes>) -> Result<AccessToken, TokenError> {
        let broken = |error: TransportError| TokenError::new(error.to_string());
        let answer = self.0.send(request.map(Full::new)).await;
        let (parts, body) = answer.map_err(broken)?.into_parts();
        let body = read(body, MAX_ANSWER).await.map_err(broken)?;
        if parts.status == StatusCode::OK {
            return granted(&body);
        }
        // Of its text only the code: the rest may repeat what was sent.
        let code = serde_json::from_slice::<Refusal>(&body).ok();
        let code = code
            .map(|refusal| refusal.error)
            .filter(|code| is_code(code));
        let code = code.map_or_else(String::new, |code| format!(": {code}"));
        let status = parts.status.as_u16();
        Err(TokenError::new(format!(
            "its endpoint answers {status}{code}"
        )))
    }
}

/// An endpoint with its query, as it can be asked.
pub(super) fn endpoint(base: &str, query: &[(&str, &str)]) -> Result<http::Uri, TokenError> {
    let wrong = |what: &str| TokenError::new(format!("its endpoint: {what}"));
    let mut url = pattern::absolute(base).map_err(|error| wrong(&error.to_string()))?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let uri = url.as_str().parse();
    uri.map_err(|_| wrong("it cannot be asked"))
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

fn is_code(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// A token as endpoints write it: the numbers are texts where Azure answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<Seconds>,
    /// Since 1970.
    expires_on: Option<Seconds>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn duration(&self) -> Option<Duration> {
        match self {
            Self::Number(seconds) => Some(Duration::from_secs(*seconds)),
            Self::Text(text) => text.parse().ok().map(Duration::from_secs),
        }
    }
}

fn granted(body: &[u8]) -> Result<AccessToken, TokenError> {
    // Not what serde says of it: that may quote the token.
    let no_token = |_| TokenError::new("its endpoint answers without a token");
    let granted: Granted = serde_json::from_slice(body).map_err(no_token)?;
    let from_now = granted.expires_in.as_ref().and_then(Seconds::duration);
    let lifetime = from_now.or_else(|| {
        let end = UNIX_EPOCH.checked_add(granted.expires_on.as_ref()?.duration()?)?;
        Some(end.duration_since(clock::now()).unwrap_or_default())
    });
    let token = AccessToken::new(granted.access_token)?;
    Ok(token.expires_in(lifetime.unwrap_or(UNSAID)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_endpoints_write_it() {
        for (body, lifetime) in [
            (
                r#"{"access_token":"t","token_type":"Bearer","expires_in":3599}"#,
                Some(3_599),
            ),
            (
                r#"{"access_token":"t","expires_in":"86399","expires_on":"1"}"#,
                Some(86_399),
            ),
            (r#"{"access_token":"t"}"#, Some(300)),
            (r#"{"access_token":"t","expires_in":"soon"}"#, Some(300)),
            // It has passed.
            (r#"{"access_token":"t","expires_on":1}"#, Some(0)),
            (r#"{"access_token":"a\nb"}"#, None),
            (r#"{"token":"t"}"#, None),
            ("", None),
        ] {
            let token = granted(body.as_bytes()).ok();
            let found = token.and_then(|token| token.lifetime);
            assert_eq!(found, lifetime.map(Duration::from_secs), "{body}");
        }
        let later = clock::now() + Duration::from_secs(1_000);
        let later = later
            .duration_since(UNIX_EPOCH)
            .expect("it is later")
            .as_secs();
        let body = format!(r#"{{"access_token":"t","expires_on":"{later}"}}"#);
        let lifetime = granted(body.as_bytes()).expect("a token").lifetime;
        let lifetime = lifetime.expect("it says so").as_secs();
        assert!((900..=1_000).contains(&lifetime), "{lifetime}");
    }

    #[test]
    fn an_endpoint_keeps_its_own_query() {
        let uri = endpoint("http://a.test/t?x=1", &[("resource", "https://b.test/&")]);
        let uri = uri.expect("an endpoint").to_string();
        assert_eq!(
            uri,
            "http://a.test/t?x=1&resource=https%3A%2F%2Fb.test%2F%26"
        );
        assert!(endpoint("a.test", &[]).is_err());
    }
}
