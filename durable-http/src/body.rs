//! Reading a request's body: so much, for so long, and only JSON.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::Body;
use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, SeqAccess, Visitor};

use crate::error::ApiError;

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// A body of any type.
pub(crate) struct RequestBody(Pin<Box<dyn Source>>);

impl RequestBody {
    pub(crate) fn new<B: Body + Send + 'static>(body: B) -> Self {
        Self(Box::pin(body))
    }

    /// The body as JSON text; `None` if there is nothing in it.
    pub(crate) async fn json(
        self,
        headers: &HeaderMap,
        limits: Limits,
    ) -> Result<Option<String>, ApiError> {
        let plain = |encoding: &http::HeaderValue| {
            let encoding = encoding.as_bytes().trim_ascii();
            encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity")
        };
        if !headers.get_all(CONTENT_ENCODING).iter().all(plain) {
            return Err(ApiError::BodyEncoded);
        }
        let bytes = self.read(limits).await?;
        let text = String::from_utf8(bytes)
            .map_err(|_| ApiError::BadRequest("the body is not UTF-8".to_owned()))?;
        if text.is_empty() {
            return Ok(None);
        }
        check(&text).map_err(|error| ApiError::BadRequest(format!("the body: {error}")))?;
        Ok(Some(text))
    }

    async fn read(mut self, limits: Limits) -> Result<Vec<u8>, ApiError> {
        let mut bytes = Vec::new();
        let read = poll_fn(|cx| self.0.as_mut().poll_read(cx, &mut bytes, limits.bytes));
        let read = tokio::time::timeout(limits.time, read);
        read.await.map_err(|_| ApiError::BodyTooSlow)??;
        Ok(bytes)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestBody")
    }
}

/// A [`Body`] without its types.
trait Source: Send {
    /// Reads to the end.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<Result<(), ApiError>>;
}

impl<B: Body + Send> Source for B {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<Result<(), ApiError>> {
        /// Then others have their turn: a body that is always ready would else never be too slow.
        const FRAMES: usize = 64;
        let rest = u64::try_from(limit.saturating_sub(into.len())).unwrap_or(u64::MAX);
        if self.size_hint().lower() > rest {
            return Poll::Ready(Err(ApiError::BodyTooLarge { limit }));
        }
        for _ in 0..FRAMES {
            let data = match ready!(self.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(_)) => {
                    let broken = ApiError::BadRequest("the body broke off".to_owned());
                    return Poll::Ready(Err(broken));
                }
                Some(Ok(frame)) => frame.into_data(),
            };
            // Trailers are of no interest.
            let Ok(data) = data else { continue };
            if data.remaining() > limit.saturating_sub(into.len()) {
                return Poll::Ready(Err(ApiError::BodyTooLarge { limit }));
            }
            into.put(data);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether `text` is JSON that an orchestrator can read: not nested deeper than serde follows.
fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<Followed>(text).map(|_| ())
}

/// Any JSON value, followed into its depth and kept nowhere.
struct Followed;

impl<'de> Deserialize<'de> for Followed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Followed)
    }
}

impl<'de> Visitor<'de> for Followed {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_followed_as_deep_as_an_orchestrator_could_read_it() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for text in [
            "1",
            " {\"a\": [null, true, -1.5e3, \"\\u00e9\"]} ",
            &nested(120),
        ] {
            assert!(check(text).is_ok(), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
        }
        for text in [
            " ",
            "{",
            "[1,]",
            "1 2",
            "'a'",
            "\"\\ud800\"",
            "1e999",
            &nested(200),
            &nested(100_000),
            &"{\"a\":".repeat(100_000),
        ] {
            assert!(check(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }
}
