//! Versions of orchestrators: how they compare, and which of them a worker takes.

use std::cmp::Ordering;

/// Which instances a worker takes, by their version and [its own](crate::WorkerBuilder::version).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionMatch {
    /// Those of every version. Default.
    #[default]
    None,
    /// Those of exactly the worker's version.
    Strict,
    /// Those of the worker's version or an older one, as [`compare_versions`] has it.
    CurrentOrOlder,
}

/// What becomes of an instance whose version the worker does not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionMismatch {
    /// It stays as it is, with a [`Problem`](crate::Problem), until a worker starts that takes it.
    /// Default.
    #[default]
    Reject,
    /// One that has not begun fails. One that is under way is left, as with `Reject`.
    Fail,
}

/// Compares two versions: the parts between dots as numbers where they are, which are older than
/// text. No version is older than any other, and `1.2` is older than `1.2.0`.
///
/// ```
/// use durable_core::compare_versions;
/// use std::cmp::Ordering;
///
/// assert_eq!(compare_versions("1.9", "1.10"), Ordering::Less);
/// assert_eq!(compare_versions("", "0"), Ordering::Less);
/// assert_eq!(compare_versions("2.0", "2.0"), Ordering::Equal);
/// assert_eq!(compare_versions("2.0-beta", "2.0-alpha"), Ordering::Greater);
/// ```
#[must_use]
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    if a.is_empty() || b.is_empty() {
        return a.len().cmp(&b.len());
    }
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let parts = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => compare_parts(a, b),
        };
        if parts.is_ne() {
            return parts;
        }
    }
}

fn compare_parts(a: &str, b: &str) -> Ordering {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match (is_number(a), is_number(b)) {
        (true, true) => {}
        (true, false) => return Ordering::Less,
        (false, true) => return Ordering::Greater,
        (false, false) => return a.cmp(b),
    }
    // Of any length: without leading zeros the longer number is the larger.
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// What a worker has been told of versions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versioning {
    pub(crate) version: String,
    pub(crate) matching: VersionMatch,
    pub(crate) mismatch: VersionMismatch,
}

impl Versioning {
    /// Whether an instance of this version is taken.
    pub(crate) fn takes(&self, version: &str) -> bool {
        match self.matching {
            VersionMatch::None => true,
            VersionMatch::Strict => version == self.version,
            VersionMatch::CurrentOrOlder => compare_versions(version, &self.version).is_le(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_versions_is_total() {
        let rising = [
            "",
            "0",
            "1",
            "1.0",
            "1.0.0",
            "1.2",
            "1.9",
            "1.10",
            "1.10a",
            "2",
            "10",
            "99999999999999999999999",
            "v1",
            "v2",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                assert_eq!(compare_versions(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare_versions("1.02", "1.2"), Ordering::Equal);
    }

    #[test]
    fn a_worker_takes_what_matches() {
        for (matching, version, expected) in [
            (VersionMatch::None, "9", true),
            (VersionMatch::Strict, "2.0", true),
            (VersionMatch::Strict, "2", false),
            (VersionMatch::Strict, "", false),
            (VersionMatch::CurrentOrOlder, "1.9", true),
            (VersionMatch::CurrentOrOlder, "2.0", true),
            (VersionMatch::CurrentOrOlder, "", true),
            (VersionMatch::CurrentOrOlder, "2.1", false),
        ] {
            let versioning = Versioning {
                version: "2.0".to_owned(),
                matching,
                mismatch: VersionMismatch::Reject,
            };
            assert_eq!(
                versioning.takes(version),
                expected,
                "{matching:?} {version}"
            );
        }
    }
}
