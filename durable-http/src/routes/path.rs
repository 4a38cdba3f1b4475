//! Paths: split first, then each segment decoded once.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::builder::is_path;

/// The path that the management API is mounted under, without a slash at its end.
#[derive(Clone, Debug)]
pub(crate) struct BasePath {
    text: String,
    segments: Vec<String>,
}

impl BasePath {
    /// `None` if it cannot be a path in a URL.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let text = path.trim_end_matches('/');
        if !text.is_empty() && !is_path(text) {
            return None;
        }
        let decoded = split(text).into_iter().map(decode);
        let segments = decoded.map(|segment| segment.map(Cow::into_owned));
        let segments = segments.collect::<Option<_>>()?;
        Some(Self {
            text: text.to_owned(),
            segments,
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// What follows the base path, if the path is under it.
    pub(crate) fn strip<'a, 'p>(&self, segments: &'a [&'p str]) -> Option<&'a [&'p str]> {
        let (first, rest) = segments.split_at_checked(self.segments.len())?;
        let mut pairs = first.iter().zip(&self.segments);
        let same = pairs
            .all(|(given, own)| decode(given).is_some_and(|given| given.eq_ignore_ascii_case(own)));
        let slashes = rest.iter().take_while(|segment| segment.is_empty()).count();
        same.then_some(&rest[slashes..])
    }
}

/// The segments as they stand in the URL. Slashes at either end do not count.
pub(super) fn split(path: &str) -> Vec<&str> {
    match path.trim_matches('/') {
        "" => Vec::new(),
        path => path.split('/').collect(),
    }
}

/// A segment's text; `None` if it is not encoded well, not UTF-8, or has a control character.
pub(super) fn decode(segment: &str) -> Option<Cow<'_, str>> {
    let mut escapes = segment.split('%').skip(1);
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !escapes.all(is_escape) {
        return None;
    }
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_decoded_once_or_refused() {
        for (segment, expected) in [
            ("a", Some("a")),
            ("%2F", Some("/")),
            ("%252F", Some("%2F")),
            ("a+b", Some("a+b")),
            ("%2e%2E", Some("..")),
            ("%C3%A9", Some("é")),
            ("%F0%9F%A6%80", Some("🦀")),
            ("%", None),
            ("%2", None),
            ("%2g", None),
            ("%%", None),
            ("%00", None),
            ("%0d%0a", None),
            ("%7F", None),
            ("%C2%85", None),
            ("%ff", None),
            ("%C0%AF", None),
            ("%ED%A0%80", None),
        ] {
            assert_eq!(decode(segment).as_deref(), expected, "{segment}");
        }
    }

    #[test]
    fn a_base_path_is_stripped_whatever_its_case() {
        let base = BasePath::parse("/Runtime/hooks/").expect("a path");
        assert_eq!(base.as_str(), "/Runtime/hooks");
        let strip = |path| base.strip(&split(path)).map(<[_]>::len);
        assert_eq!(strip("/runtime/HOOKS/instances/%zz"), Some(2));
        assert_eq!(strip("/runtime/hooks"), Some(0));
        assert_eq!(strip("/runtime"), None);
        assert_eq!(strip("/runtime/other/x"), None);
    }

    #[test]
    fn what_cannot_be_in_a_url_is_no_base_path() {
        for path in [
            "runtime",
            "/a b",
            "/a?b",
            "/a#b",
            "/é",
            "/%zz",
            "https://host/a",
        ] {
            assert!(BasePath::parse(path).is_none(), "{path}");
        }
        for path in ["", "/", "/a", "/a/b/", "/a%20b"] {
            assert!(BasePath::parse(path).is_some(), "{path}");
        }
    }
}
