//! The rules of the asynchronous request-reply pattern, for whoever follows it: a 202 says with
//! `Location` where to ask next and with `Retry-After` when. Pure: told the time, and no I/O.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{LOCATION, RETRY_AFTER};
use url::Url;

/// The shortest time between two requests, whatever the service says: it is asked for ever.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest: a service that says a year has lost its clock.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Why a URL is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("it is not an absolute URL")]
    NotAbsolute,
    #[error("only http and https can be asked")]
    Scheme,
    #[error("a URL may not hold a user's name or password")]
    Credentials,
}

/// An absolute URL of http or https without a user's name in it; its fragment is dropped.
pub(crate) fn absolute(url: &str) -> Result<Url, UrlError> {
    let url = Url::parse(url).map_err(|_| UrlError::NotAbsolute)?;
    checked(url)
}

fn checked(mut url: Url) -> Result<Url, UrlError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    url.set_fragment(None);
    Ok(url)
}

/// When to ask again, from `now` on: in whole seconds, rounded up, at least one and at most an hour.
/// `None` if the answer does not say so in a form that is understood.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = seconds(text).or_else(|| until(text, now))?;
    Some(wait.clamp(SHORTEST, LONGEST))
}

/// A number of any length, perhaps with a fraction.
fn seconds(text: &str) -> Option<Duration> {
    let digits = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let seconds: f64 = text.bytes().all(digits).then(|| text.parse().ok())??;
    Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(LONGEST))
}

/// A date in any of the three forms of HTTP; nothing if it has passed.
fn until(text: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(text).ok()?;
    let wait = date.duration_since(now).unwrap_or_default();
    let started = u64::from(wait.subsec_nanos() > 0);
    Some(Duration::from_secs(wait.as_secs().saturating_add(started)))
}

/// Where the answer of `asked` says to go on: absolute, http or https, and not from https to http.
/// `None` if it does not say so, or in a form that is not understood.
pub(crate) fn location(headers: &HeaderMap, asked: &Url) -> Option<Url> {
    let text = headers.get(LOCATION)?.to_str().ok()?;
    let url = checked(asked.join(text).ok()?).ok()?;
    let safe = asked.scheme() == "http" || url.scheme() == "https";
    safe.then_some(url)
}

/// Whether scheme, host and port are the same; a port that is not named is the scheme's.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::{HeaderName, HeaderValue};

    use super::*;

    fn url(text: &str) -> Url {
        absolute(text).expect("a URL")
    }

    fn header(name: HeaderName, value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_bytes(value).expect("a value"))])
    }

    #[test]
    fn when_to_ask_again_is_said_in_seconds_or_as_a_date() {
        // 08:49:37 is whole; it is asked half a second before 08:49:30.
        let now = UNIX_EPOCH + Duration::from_millis(784_111_769_500);
        for (value, expected) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("1.2", Some(2)),
            ("0", Some(1)),
            ("0.0", Some(1)),
            ("3600", Some(3_600)),
            ("3601", Some(3_600)),
            ("1000000000000", Some(3_600)),
            ("99999999999999999999999999999999999999999999", Some(3_600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(8)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(8)),
            ("Sun Nov  6 08:49:37 1994", Some(8)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(1)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(1)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3_600)),
            ("-1", None),
            ("+7", None),
            ("7s", None),
            ("1e3", None),
            ("NaN", None),
            (".", None),
            ("1.2.3", None),
            ("", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ] {
            let wait = retry_after(&header(RETRY_AFTER, value.as_bytes()), now);
            assert_eq!(wait, expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&header(RETRY_AFTER, b"\xff"), now), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn where_to_ask_is_resolved_against_what_was_asked() {
        let asked = "https://a.test:8443/jobs/7?x=1";
        for (value, expected) in [
            ("https://b.test/s", Some("https://b.test/s")),
            ("/s?y=2", Some("https://a.test:8443/s?y=2")),
            ("status", Some("https://a.test:8443/jobs/status")),
            ("../s", Some("https://a.test:8443/s")),
            ("?y=2", Some("https://a.test:8443/jobs/7?y=2")),
            ("//b.test/s", Some("https://b.test/s")),
            ("/s#part", Some("https://a.test:8443/s")),
            ("HTTPS://B.test", Some("https://b.test/")),
            ("http://a.test/s", None),
            ("https://user@b.test/", None),
            ("https://user:word@b.test/", None),
            ("https://", None),
            ("https://[::1/", None),
            ("ftp://b.test/", None),
            ("file:///etc/passwd", None),
            ("javascript:alert(1)", None),
        ] {
            let found = location(&header(LOCATION, value.as_bytes()), &url(asked));
            assert_eq!(found.as_ref().map(Url::as_str), expected, "{value}");
        }
        assert_eq!(location(&header(LOCATION, b"/\xff"), &url(asked)), None);
        assert_eq!(location(&HeaderMap::new(), &url(asked)), None);
        let up = location(
            &header(LOCATION, b"https://a.test/"),
            &url("http://a.test/"),
        );
        assert!(up.is_some());
    }

    #[test]
    fn only_absolute_urls_of_http_without_a_user_are_asked() {
        for (text, expected) in [
            ("http://a.test", Ok("http://a.test/")),
            ("https://a.test/x?y#z", Ok("https://a.test/x?y")),
            ("/x", Err(UrlError::NotAbsolute)),
            ("a.test/x", Err(UrlError::NotAbsolute)),
            ("", Err(UrlError::NotAbsolute)),
            ("http://", Err(UrlError::NotAbsolute)),
            ("file:///x", Err(UrlError::Scheme)),
            ("data:,x", Err(UrlError::Scheme)),
            ("ws://a.test", Err(UrlError::Scheme)),
            ("http://me@a.test", Err(UrlError::Credentials)),
            ("http://:word@a.test", Err(UrlError::Credentials)),
        ] {
            assert_eq!(
                absolute(text).as_ref().map(Url::as_str),
                expected.as_ref().copied(),
                "{text}"
            );
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let original = url("https://a.test/x");
        for (other, same) in [
            ("https://a.test:443/y", true),
            ("https://A.TEST/", true),
            ("https://a.test:8443/", false),
            ("http://a.test:443/", false),
            ("https://b.a.test/", false),
            ("https://a.test./", false),
        ] {
            assert_eq!(same_origin(&original, &url(other)), same, "{other}");
        }
    }
}
