//! What is answered.

use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::HttpCallError;
use super::fields::Fields;

/// The answer to a [`call_http`](crate::CallHttp::call_http): status, headers and text.
///
/// It is recorded in the instance's history. A body in UTF-8 is text, and so is one that says it is
/// ISO-8859-1; any other is an error. Values of headers that are not UTF-8 have it replaced.
///
/// ```
/// use durable_http::HttpResponse;
///
/// // As a test double answers.
/// let answer = HttpResponse::new(200).header("etag", "\"8\"").content("{\"paid\":true}");
/// assert!(answer.is_success());
/// assert_eq!(answer.header_value("ETag"), Some("\"8\""));
/// assert_eq!(answer.json::<serde_json::Value>()?["paid"], true);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    status_code: u16,
    #[serde(default)]
    headers: Fields,
    #[serde(default)]
    content: Option<String>,
}

impl HttpResponse {
    /// An answer without headers or content, for test doubles.
    pub fn new(status: u16) -> Self {
        Self {
            status_code: status,
            headers: Fields::default(),
            content: None,
        }
    }

    /// With a header; one that is there already gets a further value.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.headers.add(name.as_ref(), value.into());
        self
    }

    /// With this content.
    #[must_use]
    pub fn content(mut self, text: impl Into<String>) -> Self {
        self.content = Some(text.into());
        self
    }

    /// The status, from 100 to 999.
    pub fn status(&self) -> u16 {
        self.status_code
    }

    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status_code)
    }

    /// The first value of a header, its name in any letter case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// All headers, by name (in lower case), each value for itself.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter()
    }

    /// The content; empty if there is none.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default()
    }

    /// The content without a copy.
    pub fn into_content(self) -> String {
        self.content.unwrap_or_default()
    }

    /// The content as what JSON says.
    ///
    /// # Errors
    ///
    /// If it is not JSON, or of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.text())
    }

    pub(super) fn of(answer: Response<Bytes>) -> Result<Self, HttpCallError> {
        let (parts, body) = answer.into_parts();
        let status_code = parts.status.as_u16();
        let text = match String::from_utf8(body.into()) {
            Ok(text) => text,
            Err(other) if is_latin1(&parts.headers) => {
                other.into_bytes().into_iter().map(char::from).collect()
            }
            Err(_) => {
                return Err(HttpCallError::NotText {
                    status: status_code,
                });
            }
        };
        Ok(Self {
            status_code,
            headers: Fields::from_headers(&parts.headers),
            content: Some(text),
        })
    }
}

fn is_latin1(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .map(|kind| kind.as_bytes().to_ascii_lowercase());
    let kind = kind.unwrap_or_default();
    let says = b"iso-8859-1";
    kind.windows(says.len()).any(|part| part == says)
}

/// Without the values of headers and the content, which may be anybody's secrets.
impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpResponse")
            .field("status", &self.status_code)
            .field("headers", &names)
            .field("content", &self.content.as_ref().map(String::len))
            .finish()
    }
}
