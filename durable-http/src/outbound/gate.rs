//! The place where an address is looked at: between its resolution and the connection to it, so that it
//! cannot be another one when it matters.

use std::error::Error;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

use super::policy::{OutboundPolicy, Refused};

type BoxError = Box<dyn Error + Send + Sync>;
type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;
type Connector = HttpConnector<Lookup>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to what the policy admits.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    tcp: Connector,
    policy: Arc<OutboundPolicy>,
}

impl Gate {
    pub(crate) fn new(policy: OutboundPolicy) -> Self {
        let policy = Arc::new(policy);
        let lookup = Lookup {
            dns: GaiResolver::new(),
            policy: Arc::clone(&policy),
        };
        let mut tcp = HttpConnector::new_with_resolver(lookup);
        // TLS is what comes around it.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // All addresses of a host together: who says nothing does not use up the time of a request.
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self { tcp, policy }
    }
}

impl Service<Uri> for Gate {
    type Response = <Connector as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Boxed<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = uri.host().unwrap_or_default();
        // Such a one is not resolved, so this is all that looks at it.
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>()
            && !self.policy.admits(host, address)
        {
            return Box::pin(ready(Err(refused(host))));
        }
        let connecting = self.tcp.call(uri);
        Box::pin(async move { connecting.await.map_err(Into::into) })
    }
}

/// Resolves names, and keeps what the policy admits.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    dns: GaiResolver,
    policy: Arc<OutboundPolicy>,
}

impl Service<Name> for Lookup {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Boxed<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.dns.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, policy) = (self.dns.call(name.clone()), Arc::clone(&self.policy));
        Box::pin(async move {
            let found: Vec<_> = resolving.await?.collect();
            let admitted = admitted(&policy, name.as_str(), found)?;
            Ok(admitted.into_iter())
        })
    }
}

/// Those of a host's addresses that may be connected to, or that none may be.
fn admitted(
    policy: &OutboundPolicy,
    host: &str,
    mut found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, BoxError> {
    let any = !found.is_empty();
    found.retain(|address| policy.admits(host, address.ip()));
    if any && found.is_empty() {
        return Err(refused(host));
    }
    Ok(found)
}

fn refused(host: &str) -> BoxError {
    let host = host.to_owned();
    Box::new(Refused { host })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name may resolve to anything, and to something else the next time: what is connected to is what
    /// is left here.
    #[test]
    fn of_a_hosts_addresses_those_that_are_admitted_are_left() {
        let policy = OutboundPolicy::public();
        for (found, expected) in [
            (
                "8.8.8.8:80 127.0.0.1:80 [::1]:80 1.1.1.1:80",
                Some("8.8.8.8:80 1.1.1.1:80"),
            ),
            ("127.0.0.1:80 10.0.0.1:80", None),
            ("[::ffff:169.254.169.254]:80", None),
            ("", Some("")),
        ] {
            let parse = |text: &str| -> Vec<SocketAddr> {
                let all = text.split_whitespace();
                all.map(|address| address.parse().expect("an address"))
                    .collect()
            };
            match (admitted(&policy, "rebound.test", parse(found)), expected) {
                (Ok(left), Some(expected)) => assert_eq!(left, parse(expected)),
                (Err(error), None) => assert!(error.is::<Refused>(), "{error}"),
                (left, _) => panic!("{found}: {left:?}"),
            }
        }
    }
}
