//! The URLs of one instance: made of where the API is, or handed out by it.

use std::borrow::Cow;

use http::Uri;
use http::uri::Scheme;

use super::error::ClientError;
use super::models::Links;
use crate::links::path_segment;

pub(super) const NOT_A_URL: ClientError = ClientError::Invalid {
    what: "it is not an absolute URL of http or https without a user's name in it",
};

/// Where the API is.
#[derive(Clone)]
pub(super) struct Base {
    /// `https://host:port`
    origin: String,
    /// Without a slash at its end.
    path: String,
    /// What every URL has in its query.
    query: String,
}

impl Base {
    pub(super) fn parse(url: &str) -> Result<Self, ClientError> {
        let uri = parse(url.trim())?;
        let host = |uri: &Uri| Some(format!("{}://{}", uri.scheme()?, uri.authority()?));
        Ok(Self {
            origin: host(&uri).ok_or(NOT_A_URL)?,
            path: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
        })
    }

    /// The URL that stands for the API in what is logged: without its query.
    pub(super) fn shown(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }

    /// `path` under the base, with these pairs in its query.
    pub(super) fn url(&self, path: &str, pairs: &Pairs) -> Result<Uri, ClientError> {
        let url = format!("{}{}{path}", self.origin, self.path);
        parse(&pairs.added_to(&with(url, &self.query)))
    }

    /// A reference as it stands in an answer: absolute, or from the root.
    pub(super) fn resolve<'l>(&self, link: &'l str) -> Cow<'l, str> {
        if link.starts_with('/') && !link.starts_with("//") {
            format!("{}{link}", self.origin).into()
        } else {
            link.into()
        }
    }
}

fn parse(url: &str) -> Result<Uri, ClientError> {
    let uri: Uri = url.parse().map_err(|_| NOT_A_URL)?;
    let web = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
    let plain = uri
        .authority()
        .is_some_and(|host| !host.as_str().contains('@'));
    if web && plain {
        Ok(uri)
    } else {
        Err(NOT_A_URL)
    }
}

fn with(url: String, query: &str) -> String {
    match query {
        "" => url,
        query if url.contains('?') => format!("{url}&{query}"),
        query => format!("{url}?{query}"),
    }
}

/// Pairs of a query.
#[derive(Clone, Debug, Default)]
pub(super) struct Pairs(Vec<(&'static str, String)>);

impl Pairs {
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    pub(super) fn and(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn added_to(&self, url: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.0);
        with(url.to_owned(), &query.finish())
    }
}

/// What is asked of an instance.
#[derive(Clone, Debug)]
pub(super) enum Verb<'a> {
    Status,
    Events,
    Raise(&'a str),
    Terminate(&'a str),
    Suspend(&'a str),
    Resume(&'a str),
    Rewind(&'a str),
    Restart,
    Purge,
    Retry,
}

/// How an instance is reached.
#[derive(Clone)]
pub(super) enum Target {
    /// By its id.
    Id(String),
    /// By what a service has handed out.
    Links(Box<Links>),
}

impl Target {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Links(links) => links.id(),
        }
    }

    pub(super) fn url(
        &self,
        base: &Base,
        verb: &Verb<'_>,
        pairs: Pairs,
    ) -> Result<Uri, ClientError> {
        match self {
            Self::Id(id) => by_id(base, id, verb, pairs),
            Self::Links(links) => by_link(base, links, verb, &pairs),
        }
    }
}

fn by_id(base: &Base, id: &str, verb: &Verb<'_>, pairs: Pairs) -> Result<Uri, ClientError> {
    if id.is_empty() || id == "." || id == ".." {
        // The first would be all of them.
        let what = "an instance has an id, which is not `.` or `..`";
        return Err(ClientError::Invalid { what });
    }
    let (rest, reason) = match verb {
        Verb::Status | Verb::Purge => (Cow::from(""), None),
        Verb::Events => ("/events".into(), None),
        Verb::Raise(event) => (
            format!("/raiseEvent/{}", event_segment(event)?).into(),
            None,
        ),
        Verb::Terminate(reason) => ("/terminate".into(), Some(*reason)),
        Verb::Suspend(reason) => ("/suspend".into(), Some(*reason)),
        Verb::Resume(reason) => ("/resume".into(), Some(*reason)),
        Verb::Rewind(reason) => ("/rewind".into(), Some(*reason)),
        Verb::Restart => ("/restart".into(), None),
        Verb::Retry => ("/retry".into(), None),
    };
    let reason = reason.filter(|reason| !reason.is_empty());
    let path = format!("/instances/{}{rest}", path_segment(id));
    base.url(&path, &pairs.and("reason", reason))
}

fn by_link(base: &Base, links: &Links, verb: &Verb<'_>, pairs: &Pairs) -> Result<Uri, ClientError> {
    let encoded = |text: &str| path_segment(text).to_string();
    let (link, text) = match verb {
        Verb::Status | Verb::Events => (&links.status_query_get_uri, None),
        Verb::Raise(event) => {
            let event = event_segment(event)?;
            (&links.send_event_post_uri, Some(("{eventName}", event)))
        }
        Verb::Terminate(reason) => (&links.terminate_post_uri, Some(("{text}", encoded(reason)))),
        Verb::Suspend(reason) => (&links.suspend_post_uri, Some(("{text}", encoded(reason)))),
        Verb::Resume(reason) => (&links.resume_post_uri, Some(("{text}", encoded(reason)))),
        Verb::Rewind(reason) => (&links.rewind_post_uri, Some(("{text}", encoded(reason)))),
        Verb::Restart => (&links.restart_post_uri, None),
        Verb::Purge => (&links.purge_history_delete_uri, None),
        // Services hand out none for this.
        Verb::Retry => (&None, None),
    };
    let link = base.resolve(link.as_deref().ok_or(ClientError::NoLink)?);
    let link = match text {
        Some((place, text)) => link.replace(place, &text).into(),
        None => link,
    };
    let link = if matches!(verb, Verb::Events) {
        let (path, query) = link.split_once('?').unwrap_or((&link, ""));
        with(format!("{path}/events"), query).into()
    } else {
        link
    };
    parse(&pairs.added_to(&link))
}

fn event_segment(event: &str) -> Result<String, ClientError> {
    if event.is_empty() {
        let what = "an event has a name";
        return Err(ClientError::Invalid { what });
    }
    Ok(path_segment(event).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERBS: [Verb<'_>; 10] = [
        Verb::Status,
        Verb::Events,
        Verb::Raise("a/b?"),
        Verb::Terminate("it & that"),
        Verb::Suspend(""),
        Verb::Resume("ok"),
        Verb::Rewind("é"),
        Verb::Restart,
        Verb::Purge,
        Verb::Retry,
    ];

    #[test]
    fn an_instance_of_an_id_is_under_the_base() {
        let base = Base::parse("https://api.test:8443/base/?taskHub=h").expect("a URL");
        let target = Target::Id("a/é ?".to_owned());
        let instance = "https://api.test:8443/base/instances/a%2F%C3%A9%20%3F";
        for (verb, expected) in VERBS.iter().zip([
            "?taskHub=h",
            "/events?taskHub=h",
            "/raiseEvent/a%2Fb%3F?taskHub=h",
            "/terminate?taskHub=h&reason=it+%26+that",
            "/suspend?taskHub=h",
            "/resume?taskHub=h&reason=ok",
            "/rewind?taskHub=h&reason=%C3%A9",
            "/restart?taskHub=h",
            "?taskHub=h",
            "/retry?taskHub=h",
        ]) {
            let url = target.url(&base, verb, Pairs::default()).expect("a URL");
            assert_eq!(url.to_string(), format!("{instance}{expected}"));
        }
    }

    #[test]
    fn an_instance_of_links_is_where_they_lead() {
        let links = r#"{
            "id": "a",
            "statusQueryGetUri": "/i/a?code=s",
            "sendEventPostUri": "https://b.test/i/a/raiseEvent/{eventName}?code=e",
            "terminatePostUri": "/i/a/terminate?reason={text}&code=t",
            "suspendPostUri": "/i/a/suspend?reason={text}&code=u",
            "resumePostUri": "/i/a/resume?reason={text}&code=r",
            "rewindPostUri": "/i/a/rewind?reason={text}&code=w",
            "restartPostUri": "/i/a/restart",
            "purgeHistoryDeleteUri": "/i/a?code=p"}"#;
        let links: Links = serde_json::from_str(links).expect("links");
        let base = Base::parse("https://api.test/base?taskHub=h").expect("a URL");
        let target = Target::Links(Box::new(links));
        for (verb, expected) in VERBS.iter().zip([
            "https://api.test/i/a?code=s&x=1",
            "https://api.test/i/a/events?code=s&x=1",
            "https://b.test/i/a/raiseEvent/a%2Fb%3F?code=e&x=1",
            "https://api.test/i/a/terminate?reason=it%20%26%20that&code=t&x=1",
            "https://api.test/i/a/suspend?reason=&code=u&x=1",
            "https://api.test/i/a/resume?reason=ok&code=r&x=1",
            "https://api.test/i/a/rewind?reason=%C3%A9&code=w&x=1",
            "https://api.test/i/a/restart?x=1",
            "https://api.test/i/a?code=p&x=1",
        ]) {
            let url = target.url(&base, verb, Pairs::default().with("x", "1"));
            assert_eq!(url.expect("a URL").to_string(), expected);
        }
        let least: Links = serde_json::from_str(r#"{"id": "a"}"#).expect("links");
        let least = Target::Links(Box::new(least));
        for verb in &VERBS {
            let url = least.url(&base, verb, Pairs::default());
            assert_eq!(url, Err(ClientError::NoLink), "{verb:?}");
        }
    }

    #[test]
    fn links_lead_nowhere_but_to_the_web() {
        let base = Base::parse("https://api.test").expect("a URL");
        for link in [
            "ftp://b.test/",
            "//b.test/x",
            "x",
            "",
            "http://me@b.test/",
            "http://",
            "/a b",
        ] {
            let links = format!(r#"{{"id": "a", "statusQueryGetUri": "{link}"}}"#);
            let links = serde_json::from_str(&links).expect("links");
            let target = Target::Links(Box::new(links));
            let url = target.url(&base, &Verb::Status, Pairs::default());
            assert_eq!(url, Err(NOT_A_URL), "{link}");
        }
    }

    #[test]
    fn what_is_no_id_or_name_is_not_asked_for() {
        let base = Base::parse("http://api.test").expect("a URL");
        let asked = |id: &str, verb| Target::Id(id.to_owned()).url(&base, &verb, Pairs::default());
        for id in ["", ".", ".."] {
            assert!(
                matches!(asked(id, Verb::Purge), Err(ClientError::Invalid { .. })),
                "{id}"
            );
        }
        assert!(matches!(
            asked("a", Verb::Raise("")),
            Err(ClientError::Invalid { .. })
        ));
        let odd = asked("...", Verb::Raise("..")).expect("a URL");
        assert_eq!(odd.path(), "/instances/.../raiseEvent/..");
    }

    #[test]
    fn a_base_is_a_url_of_the_web() {
        for (url, expected) in [
            ("http://a.test", Some("http://a.test")),
            ("http://a.test/", Some("http://a.test")),
            ("https://a.test:1/b//", Some("https://a.test:1/b")),
            (" https://[::1]:8/b?code=secret ", Some("https://[::1]:8/b")),
            ("a.test", None),
            ("/b", None),
            ("", None),
            ("ws://a.test", None),
            ("https://me:word@a.test", None),
            ("https://a b", None),
            ("https://é.test", None),
        ] {
            let shown = Base::parse(url).ok().map(|base| base.shown());
            assert_eq!(shown.as_deref(), expected, "{url}");
        }
    }
}
