//! Paths: what is a route, what is an id, and what is neither.

use http::{Method, StatusCode};

use crate::world::{KEY, world};

const BASE: &str = "/runtime/webhooks/durabletask";

#[tokio::test]
async fn paths_lead_to_a_route_or_to_404_or_are_refused() {
    let world = world().await;
    for id in ["e", "a/b", "%2F", "a;b", "a\\b", "é", "..."] {
        world.ended(id, "1").await;
    }
    for (path, status) in [
        ("/instances/e", 200),
        ("/instances/e/", 200),
        ("//instances/e//", 200),
        ("/INSTANCES/e", 200),
        ("/%69nstances/e", 200),
        ("/instances/%65", 200),
        ("/instances/E", 404),
        ("/instances/a%2Fb", 200),
        ("/instances/a%2fb", 200),
        ("/instances/a%252Fb", 404),
        ("/instances/%252F", 200),
        ("/instances/%2F", 404),
        ("/instances/a/b", 404),
        ("/instances/a;b", 200),
        ("/instances/a%3Bb", 200),
        ("/instances/a%5Cb", 200),
        ("/instances/%C3%A9", 200),
        ("/instances/e%CC%81", 404),
        ("/instances/...", 200),
        ("/instances//e", 404),
        ("/instances", 200),
        ("/instances/", 200),
        ("/", 404),
        ("/instances/.", 404),
        ("/instances/..", 404),
        ("/instances/%2e%2e", 404),
        ("/instances/../instances/e", 404),
        ("/instances/./e", 404),
        ("/instances/x/../e", 404),
        ("/instances/e/.", 404),
        ("/instances/e/terminate/..", 404),
        ("/instances/e%00", 400),
        ("/instances/e%0d%0aset-cookie:x", 400),
        ("/instances/%C0%AF", 400),
        ("/instances/%ff", 400),
        ("/instances/%", 400),
        ("/instances/%zz", 400),
        ("/instances/e%2", 400),
        ("/instances/%u0065", 400),
        ("/instances/%ED%A0%80", 400),
        ("/instances/e/raiseEvent", 404),
        ("/instances/e/unknown", 404),
        ("/makeprimary", 404),
        ("/entities/counter", 404),
        ("/orchestrators/echo", 404),
        ("*", 404),
    ] {
        let reply = world.admin(Method::GET, path, "").await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.text);
        if path.starts_with('/') {
            let based = format!("{BASE}{path}");
            let reply = world.admin(Method::GET, &based, "").await;
            assert_eq!(reply.status.as_u16(), status, "{based}: {}", reply.text);
        }
    }
    for path in [
        "/runtime/webhooks/instances/e",
        "/runtime/webhooks/durabletaskinstances/e",
        "/runtime/webhooks/durabletask/runtime/webhooks/durabletask/instances/e",
    ] {
        assert_eq!(
            world.admin(Method::GET, path, "").await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let upper = "/RUNTIME/webhooks/DurableTask/instances/e";
    assert_eq!(
        world.admin(Method::GET, upper, "").await.status,
        StatusCode::OK
    );
    let absolute = "http://evil.test/instances/e";
    assert_eq!(
        world.admin(Method::GET, absolute, "").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_wrong_method_is_404_and_no_header_changes_the_method() {
    let world = world().await;
    world.waiting("w").await;
    let routes = [
        ("/orchestrators/echo", "POST"),
        ("/orchestrators/echo/x", "POST"),
        ("/instances", "GET HEAD DELETE"),
        ("/instances/w", "GET HEAD DELETE"),
        ("/instances/w/raiseEvent/go", "POST"),
        ("/instances/w/terminate", "POST"),
        ("/instances/w/suspend", "POST"),
        ("/instances/w/resume", "POST"),
        ("/instances/w/rewind", "POST"),
        ("/instances/w/restart", "POST"),
        ("/instances/w/retry", "POST"),
    ];
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get",
    ];
    for (path, allowed) in routes {
        for method in methods
            .iter()
            .filter(|method| !allowed.split(' ').any(|a| a == **method))
        {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let headers = [
                ("x-functions-key", KEY),
                ("x-http-method-override", "POST"),
                ("x-method-override", "GET"),
            ];
            let reply = world.send(method.clone(), path, &headers, "1").await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method} {path}");
            assert!(reply.text.is_empty());
        }
    }
    assert!(!world.status("w").await.runtime_status().is_terminal());
}

#[tokio::test]
async fn ids_with_odd_characters_come_back_through_the_location() {
    let world = world().await;
    let printable: String = (' '..='~').collect();
    for id in [
        printable.as_str(),
        "a/b",
        "a//b",
        "/",
        "%",
        "%2F",
        "%00",
        "a?b=c#d",
        "a&code=x",
        "a+b",
        " ",
        "a b",
        "\"><script>alert(1)</script>",
        "'; DROP TABLE instances; --",
        "{text}",
        "a\\b",
        "a:b@c",
        "http://evil.test/",
        "//evil.test",
        "...",
        "é",
        "e\u{301}",
        "\u{202e}abc",
        "\u{feff}",
        "\u{2028}",
        "🦀",
        "\u{10ffff}",
        "x@y",
        "CON",
        &"🦀".repeat(64),
        &"x".repeat(256),
    ] {
        let segment = durable_http::path_segment(id).to_string();
        let uri = format!("/orchestrators/echo/{segment}");
        let reply = world.admin(Method::POST, &uri, "").await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{id:?}: {}", reply.text);
        assert_eq!(reply.json()["id"], id);
        assert_eq!(reply.headers.get_all("location").iter().count(), 1);
        let location = reply.location();
        assert!(location.starts_with("/runtime/webhooks/durabletask/instances/"));
        assert!(location.parse::<http::Uri>().is_ok(), "{location}");
        let status = world.get(&location).await;
        assert!(status.status.is_success(), "{id:?}: {status:?}");
        assert_eq!(status.json()["instanceId"], id);
        world.client.wait_for_completion(id).await.expect("a hub");
    }
}

#[tokio::test]
async fn ids_with_control_characters_are_refused() {
    let world = world().await;
    for byte in (0..0x20).chain([0x7f]) {
        let uri = format!("/orchestrators/echo/a%{byte:02X}b");
        let reply = world.admin(Method::POST, &uri, "").await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(!reply.headers.contains_key("location"));
    }
}

#[tokio::test]
async fn what_a_request_says_of_its_host_is_in_no_answer() {
    let world = world().await;
    world.waiting("w").await;
    let hosts: [&[(&str, &str)]; 4] = [
        &[("host", "evil.test")],
        &[("host", "good.test"), ("host", "evil.test")],
        &[
            ("host", "x"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-proto", "https"),
        ],
        &[
            ("forwarded", "host=evil.test"),
            ("x-original-host", "evil.test"),
        ],
    ];
    for headers in hosts {
        for (method, uri, body) in [
            (Method::POST, "/orchestrators/echo", "1"),
            (Method::GET, "/instances/w", ""),
            (Method::GET, "http://evil.test/instances/w", ""),
            (Method::GET, "/instances/none", ""),
            (Method::POST, "/instances/w/raiseEvent/go", "{"),
        ] {
            let mut all = vec![
                ("x-functions-key", KEY),
                ("content-type", "application/json"),
            ];
            all.extend_from_slice(headers);
            let reply = world.send(method, uri, &all, body).await;
            assert!(!format!("{reply:?}").contains("evil"), "{reply:?}");
        }
    }
}
