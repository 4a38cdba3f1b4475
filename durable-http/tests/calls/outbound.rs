use durable_http::{
    HttpCallError, HttpCalls, HttpClient, HttpRequest, InvalidNetwork, OutboundPolicy,
};

use super::stub::{Stub, error, made};

/// This machine, in every way a URL can say it, and the neighbours that a program may have.
const REFUSED: [&str; 25] = [
    "127.0.0.1",
    "127.1",
    "127.0.0.2",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "１２７.0.0.1",
    "10.0.0.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "100.100.100.200",
];

#[tokio::test]
async fn this_machine_and_its_network_are_not_reached() {
    let stub = Stub::always(200, &[]).await;
    for host in REFUSED {
        let request = HttpRequest::get(format!("http://{host}:{}/", stub.port));
        let error = error(HttpCalls::default(), request).await;
        assert!(
            matches!(error, HttpCallError::Refused { .. }),
            "{host}: {error:?}"
        );
    }
    assert!(stub.seen().is_empty(), "{:?}", stub.lines());
}

#[tokio::test]
async fn a_worker_that_is_given_nothing_calls_public_addresses_only() {
    let stub = Stub::always(200, &[]).await;
    let hub = durable_core::testing::TestHub::builder();
    let hub = hub.register::<durable_http::HttpActivity>();
    let hub = hub
        .register::<super::stub::ask>()
        .start()
        .await
        .expect("a hub");
    let request = HttpRequest::get(stub.at("/"));
    let start = hub
        .client()
        .start_orchestration::<super::stub::ask>(request);
    let (_, error) = start
        .await
        .expect("a start")
        .wait_for_completion()
        .await
        .expect("an end");
    assert!(format!("{error:?}").contains("Refused"), "{error:?}");
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn what_is_allowed_is_reached_and_nothing_else() {
    let stub = Stub::always(200, &[]).await;
    let public = OutboundPolicy::public;
    let network = |network: &str| public().allow_network(network).expect("a network");
    let cases: [(OutboundPolicy, &[&str], &[&str]); 5] = [
        (
            public().allow_host("localhost"),
            &["localhost", "LocalHost"],
            &["127.0.0.1", "[::1]"],
        ),
        (
            public().allow_host("127.0.0.1"),
            &["127.0.0.1", "2130706433"],
            &["127.0.0.2", "localhost"],
        ),
        (
            network("127.0.0.0/8"),
            &["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"],
            &["10.0.0.1"],
        ),
        (network("127.0.0.1"), &["127.0.0.1"], &["127.0.0.2"]),
        (network("10.0.0.0/8"), &[], &["127.0.0.1", "localhost"]),
    ];
    for (policy, reached, refused) in cases {
        let calls = HttpCalls::new(HttpClient::new(policy.clone()));
        let ask = |host: &&str| HttpRequest::get(format!("http://{host}:{}/", stub.port));
        for host in reached {
            let ((answer, error), _) = made(calls.clone(), ask(host)).await;
            assert!(answer.is_some(), "{host}: {error:?} {policy:?}");
        }
        let before = stub.seen().len();
        for host in refused {
            let error = error(calls.clone(), ask(host)).await;
            assert!(
                matches!(error, HttpCallError::Refused { .. }),
                "{host}: {error:?}"
            );
        }
        assert_eq!(stub.seen().len(), before);
    }
}

#[test]
fn what_is_no_network_is_not_allowed() {
    for text in [
        "",
        "10.0.0.0/33",
        "10.0.0/8",
        "localhost",
        "10.0.0.0/-1",
        "::/129",
    ] {
        let refused = OutboundPolicy::public().allow_network(text);
        let refused: Result<_, InvalidNetwork> = refused;
        let error = refused.expect_err(text).to_string();
        assert!(error.contains(&format!("`{text}`")), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_url_of_http_is_not_sent() {
    for url in [
        "",
        "/x",
        "example.com",
        "http://",
        "file:///etc/passwd",
        "ftp://a.test/",
        "gopher://a.test/",
        "http://me@a.test/",
        "http://me:hush@a.test/",
        "http://:hush@a.test/",
        "http://a.test@127.0.0.1/",
        "http://a b/",
        "http://a.test:99999/",
        "data:,x",
    ] {
        let error = error(HttpCalls::default(), HttpRequest::get(url)).await;
        assert!(
            matches!(error, HttpCallError::Invalid(_)),
            "{url}: {error:?}"
        );
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}
