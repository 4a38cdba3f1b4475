//! Whether a browser was sent here by another site.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};

/// Which origins are ours.
#[derive(Clone, Debug)]
pub(crate) enum Own {
    /// The one of the public URL.
    Url(Uri),
    /// These hosts, in lower case.
    Hosts(Vec<String>),
    /// Whatever host the request was sent to.
    Asked,
}

/// Whether the request has an `Origin` that is not ours. Programs send none; browsers send one with
/// everything that could change something.
pub(crate) fn is_foreign(parts: &Parts, own: &Own) -> bool {
    let mut origins = parts.headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return false;
    };
    origins.next().is_some() || !is_own(origin, parts, own).unwrap_or(false)
}

fn is_own(origin: &HeaderValue, parts: &Parts, own: &Own) -> Option<bool> {
    let origin: Uri = origin.to_str().ok()?.parse().ok()?;
    let (scheme, authority) = (origin.scheme()?, origin.authority()?);
    if !matches!(origin.path(), "" | "/") || authority.as_str().contains('@') {
        return None;
    }
    Some(match own {
        Own::Url(url) => {
            let same_scheme = url.scheme()? == scheme;
            same_scheme && same_host(authority, url.authority()?, scheme)
        }
        Own::Hosts(hosts) => hosts.contains(&authority.as_str().to_lowercase()),
        Own::Asked => same_host(authority, &asked(parts)?, scheme),
    })
}

fn same_host(one: &Authority, other: &Authority, scheme: &Scheme) -> bool {
    let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

/// The host the request was sent to.
fn asked(parts: &Parts) -> Option<Authority> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok(),
        (None, _) => parts.uri.authority().cloned(),
        (Some(_), Some(_)) => None,
    }
}
