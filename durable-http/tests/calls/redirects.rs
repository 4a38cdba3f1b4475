use durable_http::{HttpCallError, HttpCalls, HttpClient, HttpRequest, OutboundPolicy};

use super::stub::{Stub, answer, calls, error, reply};

#[tokio::test]
async fn a_redirect_keeps_or_changes_the_method_as_browsers_do() {
    for (status, method, expected) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (301, "GET", "GET"),
    ] {
        let stub = Stub::new(move |seen, _| match seen.path.as_str() {
            "/a" => reply(status, &[("location", "b")], ""),
            _ => reply(200, &[], ""),
        })
        .await;
        let mut request = HttpRequest::new(method, stub.at("/a"));
        let with_content = method == "POST" || method == "PUT";
        if with_content {
            request = request.content("text");
        }
        answer(request).await;
        let seen = &stub.seen()[1];
        assert_eq!(seen.line(), format!("{expected} /b"), "{status} {method}");
        let kept = with_content && expected == method;
        assert_eq!(
            seen.body,
            if kept { "text" } else { "" },
            "{status} {method}"
        );
        assert_eq!(
            seen.header("content-type").is_some(),
            kept,
            "{status} {method}"
        );
    }
}

#[tokio::test]
async fn ten_redirects_are_followed() {
    for (redirects, fits) in [(10, true), (11, false), (1_000, false)] {
        let stub = Stub::new(move |_, nth| match nth {
            nth if nth < redirects => reply(302, &[("location", "/again")], ""),
            _ => reply(200, &[], "there"),
        })
        .await;
        let request = HttpRequest::get(stub.at("/a"));
        if fits {
            assert_eq!(answer(request).await.text(), "there");
        } else {
            let error = error(calls(), request).await;
            assert_eq!(error, HttpCallError::TooManyRedirects { limit: 10 });
            assert_eq!(stub.seen().len(), 11);
        }
    }
}

#[tokio::test]
async fn a_redirect_that_cannot_be_followed_is_the_answer() {
    let cases: [(u16, &'static [(&str, &str)]); 4] = [
        (302, &[]),
        (302, &[("location", "gopher://a.test/")]),
        (304, &[("location", "/b")]),
        (300, &[("location", "/b")]),
    ];
    for (status, headers) in cases {
        let stub = Stub::always(status, headers).await;
        assert_eq!(
            answer(HttpRequest::get(stub.at("/a"))).await.status(),
            status
        );
        assert_eq!(stub.seen().len(), 1);
    }
}

#[tokio::test]
async fn secrets_are_not_redirected_to_another_origin_and_back() {
    // home -> away -> home: whoever is away has chosen what is asked there.
    let away = Stub::new(|seen, _| {
        let back = seen.path.split_once('?').expect("a query").1.to_owned();
        reply(307, &[("location", &back)], "")
    })
    .await;
    let out = away.at("/out");
    let home = Stub::new(move |seen, _| match seen.path.as_str() {
        "/a" => reply(307, &[("location", "/b")], ""),
        "/b" => {
            let back = format!("{out}?http://{}/c", seen.header("host").expect("a host"));
            reply(307, &[("location", &back)], "")
        }
        _ => reply(200, &[], ""),
    })
    .await;
    let request = HttpRequest::get(home.at("/a"))
        .header("authorization", "secret")
        .header("x-functions-key", "secret")
        .header("x-mine", "1");
    answer(request).await;
    let [a, b, c] = &home.seen()[..] else {
        panic!("{:?}", home.lines());
    };
    for (seen, expected) in [(a, true), (b, true), (&away.seen()[0], false), (c, false)] {
        assert_eq!(seen.header("authorization").is_some(), expected, "{seen:?}");
        assert_eq!(
            seen.header("x-functions-key").is_some(),
            expected,
            "{seen:?}"
        );
        assert_eq!(seen.header("x-mine"), Some("1"));
    }
}

#[tokio::test]
async fn every_hop_is_looked_at() {
    let hidden = Stub::always(200, &[]).await;
    let location = hidden.at("/");
    let open = Stub::new(move |_, _| reply(302, &[("location", &location)], "")).await;
    let policy = OutboundPolicy::public().allow_host("LocalHost.");
    let calls = HttpCalls::new(HttpClient::new(policy));
    let request = HttpRequest::get(format!("http://localhost:{}/", open.port));
    let host = "127.0.0.1".to_owned();
    assert_eq!(error(calls, request).await, HttpCallError::Refused { host });
    assert_eq!((open.seen().len(), hidden.seen().len()), (1, 0));
}
