//! A request on its way: what of it goes on to where an answer sends it. Pure.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::InvalidUri;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use url::Url;

use super::pattern;

/// How many redirects in a row are followed: as browsers and other clients do.
pub(crate) const MAX_REDIRECTS: usize = 10;

/// Opens every function of an app; it is for the request that it was given to.
const FUNCTIONS_KEY: &str = "x-functions-key";
/// Says which requests are the same one, also where it is sent on to; a key by its name only.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Words in the name of a header that is a secret, by habit.
const SECRETS: [&str; 8] = [
    "auth",
    "credential",
    "key",
    "passw",
    "secret",
    "session",
    "signature",
    "token",
];
/// What all headers begin with that say something of the body.
const OF_THE_BODY: &str = "content-";
/// Headers that say how the request is sent, and where, which is not for the caller to say.
const OF_THE_CONNECTION: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A request as it is sent. Its URL and headers may hold secrets: it has no `Debug`.
///
/// What it carries is meant for the origin of the first request. A secret that a redirect has left out does
/// not come back with the next one.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Outgoing {
    pub(crate) fn request(&self) -> Result<Request<Bytes>, InvalidUri> {
        let mut request = Request::new(self.body.clone());
        *request.uri_mut() = self.url.as_str().parse()?;
        request.method_mut().clone_from(&self.method);
        request.headers_mut().clone_from(&self.headers);
        Ok(request)
    }

    /// Turns to where this answer redirects it, by the rules of the Fetch standard. `false` if it does
    /// not, or to nowhere that can be asked: then it is the answer.
    pub(crate) fn redirect<T>(&mut self, answer: &Response<T>) -> bool {
        let looks = matches!(self.method, Method::GET | Method::HEAD);
        let becomes_get = match answer.status() {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            StatusCode::SEE_OTHER => !looks,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => false,
            _ => return false,
        };
        let Some(to) = pattern::location(answer.headers(), &self.url) else {
            return false;
        };
        if becomes_get {
            self.become_get();
        }
        self.turn_to(to);
        true
    }

    /// Of the first request: the question how what it has begun is getting on, asked there, whoever has been
    /// asked since.
    pub(crate) fn poll(&self, at: Url) -> Self {
        let mut poll = self.clone();
        poll.become_get();
        poll.headers.remove(FUNCTIONS_KEY);
        poll.turn_to(at);
        poll
    }

    fn become_get(&mut self) {
        self.method = Method::GET;
        self.body = Bytes::new();
        self.drop_headers(|name, _| name.as_str().starts_with(OF_THE_BODY));
    }

    fn turn_to(&mut self, url: Url) {
        if !pattern::same_origin(&self.url, &url) {
            self.drop_headers(|name, value| is_secret(name) || value.is_sensitive());
        }
        self.url = url;
    }

    fn drop_headers(&mut self, which: impl Fn(&HeaderName, &HeaderValue) -> bool) {
        let all = self.headers.iter();
        let names: Vec<_> = all
            .filter(|(name, value)| which(name, value))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.headers.remove(name);
        }
    }
}

/// The header among these that is not for the caller to say, if there is one.
pub(crate) fn of_the_connection(headers: &HeaderMap) -> Option<&'static HeaderName> {
    OF_THE_CONNECTION
        .iter()
        .find(|name| headers.contains_key(*name))
}

/// Whether a header of this name may be a credential.
fn is_secret(name: &HeaderName) -> bool {
    let sounds_so = || SECRETS.iter().any(|word| name.as_str().contains(word));
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name)
        || name != IDEMPOTENCY_KEY && sounds_so()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(method: &str, headers: &[&'static str]) -> Outgoing {
        let value = HeaderValue::from_static("v");
        let named = |name: &&'static str| (HeaderName::from_static(name), value.clone());
        Outgoing {
            method: method.parse().expect("a method"),
            url: url("https://a.test/x"),
            headers: headers.iter().map(named).collect(),
            body: Bytes::from_static(b"body"),
        }
    }

    fn url(text: &str) -> Url {
        pattern::absolute(text).expect("a URL")
    }

    fn answer(status: u16, location: &str) -> Response<()> {
        let answer = Response::builder().status(status);
        let answer = answer.header("location", location).body(());
        answer.expect("an answer")
    }

    fn names(outgoing: &Outgoing) -> Vec<&str> {
        let mut names: Vec<_> = outgoing.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The table of the Fetch standard ("HTTP-redirect fetch"): what a method becomes.
    #[test]
    fn a_redirect_keeps_the_method_or_makes_it_get() {
        for (method, statuses) in [
            ("GET", ["GET", "GET", "GET", "GET", "GET"]),
            ("HEAD", ["HEAD", "HEAD", "HEAD", "HEAD", "HEAD"]),
            ("POST", ["GET", "GET", "GET", "POST", "POST"]),
            ("PUT", ["PUT", "PUT", "GET", "PUT", "PUT"]),
            ("PATCH", ["PATCH", "PATCH", "GET", "PATCH", "PATCH"]),
            ("DELETE", ["DELETE", "DELETE", "GET", "DELETE", "DELETE"]),
            ("REPORT", ["REPORT", "REPORT", "GET", "REPORT", "REPORT"]),
        ] {
            for (status, expected) in [301, 302, 303, 307, 308].into_iter().zip(statuses) {
                let mut on_its_way = outgoing(method, &["accept", "content-type"]);
                assert!(on_its_way.redirect(&answer(status, "/y")));
                assert_eq!(on_its_way.method, expected, "{status} of {method}");
                assert_eq!(on_its_way.url.as_str(), "https://a.test/y");
                let kept = method == expected;
                assert_eq!(!on_its_way.body.is_empty(), kept, "{status} of {method}");
                assert_eq!(names(&on_its_way).len() == 2, kept, "{status} of {method}");
            }
        }
    }

    #[test]
    fn what_is_no_redirect_changes_nothing() {
        for (status, location) in [
            (200, "/y"),
            (201, "/y"),
            (202, "/y"),
            (300, "/y"),
            (304, "/y"),
            (305, "/y"),
            (306, "/y"),
            (399, "/y"),
            (302, "ftp://a.test/"),
            (303, "http://a.test/from-https"),
        ] {
            let mut on_its_way = outgoing("POST", &["content-type"]);
            assert!(!on_its_way.redirect(&answer(status, location)), "{status}");
            assert_eq!(on_its_way.method, "POST");
            assert_eq!(on_its_way.url.as_str(), "https://a.test/x");
            assert_eq!(names(&on_its_way), ["content-type"]);
            assert!(!on_its_way.body.is_empty());
        }
        let nowhere = Response::builder().status(302).body(());
        assert!(!outgoing("GET", &[]).redirect(&nowhere.expect("an answer")));
    }

    #[test]
    fn what_is_said_of_the_body_goes_with_the_body() {
        let of_the_body = [
            "content-type",
            "content-encoding",
            "content-language",
            "content-location",
            "content-digest",
        ];
        let mut all = of_the_body.to_vec();
        all.extend(["accept", "x-content"]);
        let mut redirected = outgoing("POST", &all);
        assert!(redirected.redirect(&answer(303, "/y")));
        let polled = outgoing("POST", &all).poll(url("https://a.test/y"));
        for left in [redirected, polled] {
            assert_eq!(names(&left), ["accept", "x-content"]);
        }
    }

    #[test]
    fn secrets_stay_with_the_origin_they_were_meant_for() {
        let on_its_way = || {
            let mut on_its_way = outgoing(
                "GET",
                &[
                    "authorization",
                    "cookie",
                    "proxy-authorization",
                    "x-api-key",
                    "x-auth-token",
                    "x-functions-key",
                    "accept",
                    "idempotency-key",
                    "x-trace",
                    "traceparent",
                ],
            );
            let mut marked = HeaderValue::from_static("v");
            marked.set_sensitive(true);
            on_its_way.headers.append("x-mine", marked);
            on_its_way
        };
        let redirected = |to: &str| {
            let mut on_its_way = on_its_way();
            assert!(on_its_way.redirect(&answer(307, to)));
            on_its_way
        };
        let polled = |to: &str| on_its_way().poll(url(to));
        let open = ["accept", "idempotency-key", "traceparent", "x-trace"];
        for elsewhere in [
            redirected("https://b.test/x"),
            redirected("https://a.test:8443/x"),
            polled("https://b.test/x"),
            polled("http://a.test/x"),
        ] {
            assert_eq!(names(&elsewhere), open, "{}", elsewhere.url);
        }
        // At home everything goes along, but a poll takes no key of a function.
        assert_eq!(names(&redirected("https://a.test:443/y")).len(), 11);
        let kept = polled("https://a.test:443/y");
        assert_eq!(names(&kept).len(), 10);
        assert!(!names(&kept).contains(&FUNCTIONS_KEY));
        // Who was away has chosen what is asked at home.
        let mut back = redirected("https://b.test/x");
        assert!(back.redirect(&answer(307, "https://a.test/chosen")));
        assert_eq!(names(&back), open);
    }
}
