//! Over TLS, with certificates that are as they must be, and others.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::serve::Listener;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use durable_http::client::{Client, ClientError, poll_until_complete};
use durable_http::{
    ClientCredentials, HttpCallError, HttpCalls, HttpClient, HttpRequest, OutboundPolicy,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::server::TlsStream;

use super::stub::{Stub, error, made, reply};

/// Who issues certificates.
struct Authority {
    root: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        Self::named("a company")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a certificate");
        Self {
            root: root.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    fn pem(&self) -> String {
        let text = STANDARD.encode(&self.root);
        let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
        let lines = lines.collect::<Vec<_>>().join("\n");
        format!("of a test\n-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
    }

    /// For this name or address, in these years.
    fn issue(&self, name: &str, years: (i32, i32)) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        (params.not_before, params.not_after) =
            (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let issued = params.signed_by(&key, &self.issuer);
        let chain = vec![issued.expect("a certificate").der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key")
    }

    /// A server that says who it is with this, and what of its connections came to nothing.
    async fn serve(&self, name: &str, years: (i32, i32)) -> (Stub, Arc<Connections>) {
        self.serve_with(name, years, "").await
    }

    /// One that redirects everything but `/` to `location`.
    async fn serve_with(
        &self,
        name: &str,
        years: (i32, i32),
        location: &str,
    ) -> (Stub, Arc<Connections>) {
        let location = location.to_owned();
        let connections = Arc::<Connections>::default();
        let tls = Tls {
            tcp: TcpListener::bind("127.0.0.1:0").await.expect("a port"),
            acceptor: TlsAcceptor::from(Arc::new(self.issue(name, years))),
            connections: Arc::clone(&connections),
        };
        let port = tls.tcp.local_addr().expect("an address").port();
        let answer = move |seen: &super::stub::Seen, _| match seen.path.as_str() {
            "/redirected" => reply(307, &[("location", &location)], ""),
            "/accepted" => reply(202, &[("location", &location)], ""),
            "/token" => reply(200, &[], r#"{"access_token":"t","expires_in":60}"#),
            _ => reply(200, &[], "over TLS"),
        };
        (Stub::on(tls, "https", port, answer), connections)
    }
}

#[derive(Default)]
struct Connections {
    made: AtomicUsize,
    given_up: Mutex<Vec<String>>,
}

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    connections: Arc<Connections>,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, from) = self.tcp.accept().await.expect("a connection");
            self.connections.made.fetch_add(1, Ordering::SeqCst);
            match self.acceptor.accept(stream).await {
                Ok(stream) => return (stream, from),
                Err(error) => {
                    let mut given_up = self.connections.given_up.lock().expect("no panic");
                    given_up.push(error.to_string());
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// As long as this test is of use.
const NOW: (i32, i32) = (2020, 4000);

fn everything() -> HttpClient {
    HttpClient::new(OutboundPolicy::everything())
}

fn trusting(authority: &Authority) -> HttpCalls {
    HttpCalls::new(everything().trust(&authority.root).expect("a root"))
}

#[tokio::test]
async fn a_service_whose_root_is_trusted_is_called() {
    let (other, authority) = (Authority::new(), Authority::new());
    let bundle = other.pem() + &authority.pem();
    for trusted in [authority.root.clone(), bundle.into_bytes()] {
        for (certified, host) in [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")] {
            let (stub, _) = authority.serve(certified, NOW).await;
            let client = everything().trust(&trusted).expect("a root");
            let request = HttpRequest::get(format!("https://{host}:{}/", stub.port));
            let ((answer, error), _) = made(HttpCalls::new(client), request).await;
            let answer = answer.unwrap_or_else(|| panic!("{error:?}"));
            assert_eq!(answer.text(), "over TLS");
            // The typed client, too.
            let client = Client::builder(&stub.url).trust(trusted.clone()).build();
            let poll = poll_until_complete(format!("https://{host}:{}/", stub.port));
            let answer = poll.via(&client.expect("a client")).await;
            assert_eq!(&answer.expect("an answer").body()[..], b"over TLS");
            assert_eq!(stub.seen().len(), 2);
        }
    }
}

/// Whom it may be is not left open: nothing was sent, and what is wrong is said in words.
#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_an_error_of_its_own() {
    let (authority, stranger) = (Authority::new(), Authority::named("another"));
    let namesake = Authority::new();
    for (issuer, name, years, expected) in [
        (
            &namesake,
            "localhost",
            NOW,
            "it was not signed by whom it names",
        ),
        (
            &authority,
            "other.test",
            NOW,
            "it is not for this name, but for DnsName(\"other.test\")",
        ),
        (
            &stranger,
            "localhost",
            NOW,
            "nobody who is trusted has issued it",
        ),
        (&authority, "localhost", (2020, 2021), "it has expired"),
        (&authority, "localhost", (3999, 4000), "it is not valid yet"),
    ] {
        let (stub, connections) = issuer.serve(name, years).await;
        let url = format!("https://localhost:{}/", stub.port);
        let request = HttpRequest::post(&url)
            .header("authorization", "hush")
            .content("hush");
        let calls = trusting(&authority).token_source(
            "mine",
            durable_http::AccessToken::new("hush").expect("a token"),
        );
        let error = error(calls, request.token_source("mine", "")).await;
        assert_eq!(error, HttpCallError::Untrusted(expected.to_owned()));
        let client = Client::builder(&url).trust(authority.root.clone()).build();
        let poll = poll_until_complete(&url).via(&client.expect("a client"));
        let error = poll.await.expect_err(expected);
        let message = expected.to_owned();
        assert_eq!(error, ClientError::Untrusted { message });
        // Each of them has looked once.
        assert_eq!(connections.made.load(Ordering::SeqCst), 2, "{expected}");
        let given_up = connections.given_up.lock().expect("no panic").clone();
        assert!(
            stub.seen().is_empty() && given_up.len() <= 2,
            "{given_up:?}"
        );
    }
    // Without that root, this machine knows nobody who has issued it.
    let (stub, _) = authority.serve("127.0.0.1", NOW).await;
    let untrusted = error(HttpCalls::new(everything()), HttpRequest::get(stub.at("/"))).await;
    let text = untrusted.to_string();
    let expected = "the service's certificate is not accepted: nobody who is trusted has issued it";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn the_next_attempt_looks_at_the_certificate_again() {
    let (authority, stranger) = (Authority::new(), Authority::named("another"));
    let (stub, connections) = stranger.serve("127.0.0.1", NOW).await;
    let policy = durable_core::RetryPolicy::fixed(3, std::time::Duration::from_secs(60));
    let request = HttpRequest::get(stub.at("/")).retry(policy);
    let error = error(trusting(&authority), request).await;
    assert!(matches!(error, HttpCallError::Untrusted(_)), "{error:?}");
    assert_eq!(connections.made.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn nothing_goes_from_https_to_http() {
    let plain = Stub::always(200, &[]).await;
    let authority = Authority::new();
    let location = plain.at("/");
    let (stub, _) = authority.serve_with("127.0.0.1", NOW, &location).await;
    for (path, status) in [("/redirected", 307), ("/accepted", 202)] {
        let request = HttpRequest::get(stub.at(path)).header("authorization", "hush");
        let ((answer, error), _) = made(trusting(&authority), request).await;
        let answer = answer.unwrap_or_else(|| panic!("{error:?}"));
        // It is the answer, for the orchestrator to judge.
        assert_eq!(
            (answer.status(), answer.header_value("location")),
            (status, Some(&*location))
        );
    }
    assert!(plain.seen().is_empty(), "{:?}", plain.lines());
}

#[tokio::test]
async fn secrets_stay_with_their_origin_over_tls_too() {
    let authority = Authority::new();
    let (other, _) = authority.serve("127.0.0.1", NOW).await;
    let (home, _) = authority.serve_with("127.0.0.1", NOW, &other.at("/")).await;
    for path in ["/redirected", "/accepted"] {
        let request = HttpRequest::get(home.at(path)).header("cookie", "hush");
        made(trusting(&authority), request.header("x-mine", "1")).await;
    }
    assert_eq!(other.seen().len(), 2);
    for seen in other.seen() {
        assert_eq!(
            (seen.header("cookie"), seen.header("x-mine")),
            (None, Some("1"))
        );
    }
}

#[tokio::test]
async fn the_policy_is_asked_before_a_connection_over_tls() {
    let authority = Authority::new();
    let (stub, connections) = authority.serve("localhost", NOW).await;
    let request = || HttpRequest::get(format!("https://localhost:{}/", stub.port));
    let ask = async |policy: OutboundPolicy| {
        let client = HttpClient::new(policy).trust(&authority.root);
        made(HttpCalls::new(client.expect("a root")), request())
            .await
            .0
    };
    let (_, refused) = ask(OutboundPolicy::public()).await;
    let host = "localhost".to_owned();
    assert_eq!(
        refused,
        Some(durable_core::ActivityError::Application(
            HttpCallError::Refused { host }
        ))
    );
    assert_eq!(connections.made.load(Ordering::SeqCst), 0);
    let (answer, error) = ask(OutboundPolicy::public().allow_host("localhost")).await;
    assert_eq!(answer.map(|answer| answer.status()), Some(200), "{error:?}");
}

#[tokio::test]
async fn a_token_server_with_a_root_of_its_own_is_asked() {
    let authority = Authority::new();
    let (stub, _) = authority.serve("127.0.0.1", NOW).await;
    let source = ClientCredentials::new(stub.at("/token"), "me", "secret");
    for (source, known) in [
        (source.clone(), false),
        (source.trust(&authority.root).expect("a root"), true),
    ] {
        let calls = trusting(&authority).token_source("mine", source);
        let request = HttpRequest::get(stub.at("/")).token_source("mine", "");
        let (answer, error) = made(calls, request).await.0;
        assert_eq!(answer.is_some(), known, "{error:?}");
        let said = format!("{error:?}").contains("nobody who is trusted");
        assert_eq!(said, !known, "{error:?}");
    }
    let last = stub.seen().pop().expect("a request");
    assert_eq!(last.header("authorization"), Some("Bearer t"));
}

#[test]
fn what_is_no_certificate_is_not_trusted() {
    let pem = Authority::new().pem();
    let broken = pem.replace("END CERTIFICATE", "END");
    let other = pem.replace("CERTIFICATE", "PRIVATE KEY");
    let garbled = pem.replacen("\nM", "\nA", 1);
    for bytes in [
        "",
        "a root",
        &broken,
        &other,
        &garbled,
        &(pem.clone() + &garbled),
    ] {
        let refused = everything().trust(bytes).expect_err(bytes);
        let text = refused.to_string();
        assert!(
            text.starts_with("it is not a certificate, in PEM or DER"),
            "{text}"
        );
        let error = Client::builder("https://a.test").trust(bytes).build();
        let error = error.expect_err(bytes);
        assert!(matches!(error, ClientError::Invalid { .. }), "{error:?}");
    }
}
