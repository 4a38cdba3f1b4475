//! Which addresses may be connected to.
//!
//! A URL that an orchestrator calls may come from outside. Whoever chooses it must not reach what only
//! this machine reaches: itself, its network, the cloud's metadata.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Which addresses requests may go to. Default: [`public`](Self::public) ones only.
///
/// It is the address that a connection is made to that counts, after the name was resolved, at the first
/// request, at each redirect and at each poll. Refused are this machine, private and shared networks,
/// link-local addresses (with the metadata endpoints of clouds), multicast, everything that is reserved,
/// and the forms of IPv6 that such an address of IPv4 can hide in (mapped, NAT64, 6to4).
///
/// ```
/// use durable_http::OutboundPolicy;
///
/// let policy = OutboundPolicy::public().allow_host("billing.internal").allow_network("10.2.0.0/16")?;
/// # let _ = policy;
/// # Ok::<(), durable_http::InvalidNetwork>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OutboundPolicy {
    everything: bool,
    hosts: BTreeSet<String>,
    networks: Vec<IpNet>,
}

/// Text that is not a network in CIDR notation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network, such as 10.2.0.0/16")]
pub struct InvalidNetwork(String);

/// A host has no address that may be connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{host}` has no address that requests may go to")]
pub(crate) struct Refused {
    pub(crate) host: String,
}

impl OutboundPolicy {
    /// Addresses of the public internet only.
    pub fn public() -> Self {
        Self::default()
    }

    /// Every address: for programs whose URLs nobody else can choose.
    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// And this host, whatever its addresses are: a name or an address as it stands in the URL, without
    /// port, in any letter case.
    #[must_use]
    pub fn allow_host(mut self, host: impl AsRef<str>) -> Self {
        self.hosts.insert(plain(host.as_ref()));
        self
    }

    /// And every host with an address in this network, in CIDR notation (`10.2.0.0/16`, `fd00::/8`) or a
    /// single address.
    ///
    /// # Errors
    ///
    /// [`InvalidNetwork`] if it is neither.
    pub fn allow_network(mut self, network: &str) -> Result<Self, InvalidNetwork> {
        let single = network.parse::<IpAddr>().map(IpNet::from);
        let parsed = single.or_else(|_| network.parse::<IpNet>());
        let parsed = parsed.map_err(|_| InvalidNetwork(network.to_owned()))?;
        self.networks.push(parsed);
        Ok(self)
    }

    /// Whether `host` may be connected to at `address`.
    pub(crate) fn admits(&self, host: &str, address: IpAddr) -> bool {
        self.everything
            || is_public(address)
            || self.hosts.contains(&plain(host))
            || self.networks.iter().any(|network| {
                network.contains(&address) || network.contains(&address.to_canonical())
            })
    }
}

/// A host as it is compared.
fn plain(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.trim_end_matches('.').to_ascii_lowercase()
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(start: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = start;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// What of IPv4 is not public, by IANA's registry of special-purpose addresses.
const SPECIAL_V4: [Ipv4Net; 16] = [
    // This network, and "any address".
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    // Shared by the customers of a provider.
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    // Link-local, with the metadata endpoints of clouds.
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    // Documentation.
    v4(192, 0, 2, 0, 24),
    // Relays of 6to4.
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    // Benchmarks.
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    // Multicast, reserved, broadcast.
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    // Public by its number, but what an Azure machine asks about itself.
    v4(168, 63, 129, 16, 32),
];

/// All of IPv6 that is public lies in here.
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);
/// Except these.
const SPECIAL_V6: [Ipv6Net; 4] = [
    // Protocols: Teredo, ORCHID, benchmarks.
    v6([0x2001, 0, 0, 0], 23),
    // Documentation.
    v6([0x2001, 0xdb8, 0, 0], 32),
    v6([0x3fff, 0, 0, 0], 20),
    // 6to4: looked at by the address in it.
    v6([0x2002, 0, 0, 0], 16),
];
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);
const SIX_TO_FOUR: Ipv6Net = SPECIAL_V6[3];

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match hidden_v4(address) {
            Some(hidden) => is_public_v4(hidden),
            None => {
                GLOBAL_V6.contains(&address)
                    && !SPECIAL_V6.iter().any(|special| special.contains(&address))
            }
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|special| special.contains(&address))
}

/// The address of IPv4 that is reached by this one.
fn hidden_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    // Behind a prefix of two bytes, or at the end.
    let behind = if SIX_TO_FOUR.contains(&address) {
        bits >> 80
    } else if NAT64.contains(&address) {
        bits
    } else {
        return None;
    };
    let low = u32::try_from(behind & u128::from(u32::MAX)).ok()?;
    Some(Ipv4Addr::from_bits(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first and the last address of every range that is refused, and their neighbours.
    #[test]
    fn only_public_addresses_are_public() {
        for (refused, public) in [
            ("0.0.0.0 0.255.255.255", "1.0.0.0"),
            ("10.0.0.0 10.255.255.255", "9.255.255.255 11.0.0.0"),
            ("100.64.0.0 100.127.255.255", "100.63.255.255 100.128.0.0"),
            (
                "127.0.0.0 127.0.0.1 127.255.255.255",
                "126.255.255.255 128.0.0.0",
            ),
            (
                "169.254.0.0 169.254.169.254 169.254.255.255",
                "169.253.255.255 169.255.0.0",
            ),
            ("172.16.0.0 172.31.255.255", "172.15.255.255 172.32.0.0"),
            (
                "192.0.0.0 192.0.0.192 192.0.0.255",
                "191.255.255.255 192.0.1.0",
            ),
            ("192.0.2.0 192.0.2.255", "192.0.1.255 192.0.3.0"),
            ("192.88.99.0 192.88.99.255", "192.88.98.255 192.88.100.0"),
            ("192.168.0.0 192.168.255.255", "192.167.255.255 192.169.0.0"),
            ("198.18.0.0 198.19.255.255", "198.17.255.255 198.20.0.0"),
            ("198.51.100.0 198.51.100.255", "198.51.99.255 198.51.101.0"),
            ("203.0.113.0 203.0.113.255", "203.0.112.255 203.0.114.0"),
            ("224.0.0.0 239.255.255.255", "223.255.255.255"),
            ("240.0.0.0 255.255.255.254 255.255.255.255", ""),
            ("168.63.129.16", "168.63.129.15 168.63.129.17"),
            ("", "1.1.1.1 8.8.8.8 93.184.216.34"),
            (":: ::1 ::2", ""),
            // What was once compatible with IPv4.
            ("::127.0.0.1 ::8.8.8.8", ""),
            (
                "::ffff:0.0.0.0 ::ffff:127.0.0.1 ::ffff:10.1.2.3 ::ffff:169.254.169.254",
                "::ffff:8.8.8.8",
            ),
            (
                "64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe",
                "64:ff9b::8.8.8.8",
            ),
            ("64:ff9b:1::8.8.8.8 64:ff9b:0:0:1::", ""),
            ("100:: 100::ffff", ""),
            ("1fff:ffff::", "2000:: 2001:200:: 2001:db7:: 2001:db9::"),
            (
                "2001:: 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2:: 2001:20:: 2001:1ff::",
                "",
            ),
            ("2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", ""),
            (
                "2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101:: 2002:a9fe:a9fe::",
                "2002:808:808::",
            ),
            ("3fff:: 3fff:fff::", "3ffe:: 3fff:1000::"),
            ("4000:: 8000:: 5f00::", "2606:4700:4700::1111 2a00:1450::"),
            ("fc00:: fd00:ec2::254 fdff::", ""),
            ("fe80:: fe80::1 febf::", ""),
            ("fec0:: feff::", ""),
            ("ff00:: ff02::1 ffff:ffff::", ""),
        ] {
            for (addresses, expected) in [(refused, false), (public, true)] {
                for address in addresses.split_whitespace() {
                    let address = address.parse().expect("an address");
                    assert_eq!(is_public(address), expected, "{address}");
                }
            }
        }
    }

    #[test]
    fn what_is_allowed_is_allowed_and_nothing_beside_it() {
        let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let policy = OutboundPolicy::public().allow_host("A.internal.");
        let policy = policy.allow_host("[::1]").allow_host("10.9.9.9");
        let policy = policy.allow_network("10.2.0.0/16").expect("a network");
        let policy = policy.allow_network("fd00::/8").expect("a network");
        for (host, at, expected) in [
            ("a.internal", "10.0.0.1", true),
            ("A.INTERNAL.", "127.0.0.1", true),
            ("b.a.internal", "10.0.0.1", false),
            ("a.internal.evil.test", "10.0.0.1", false),
            ("[::1]", "::1", true),
            ("::1", "::1", true),
            ("10.9.9.9", "10.9.9.9", true),
            ("b.test", "10.9.9.9", false),
            ("b.test", "10.2.3.4", true),
            ("b.test", "::ffff:10.2.3.4", true),
            ("b.test", "10.3.0.0", false),
            ("b.test", "fd12::1", true),
            ("b.test", "fc00::1", false),
            ("b.test", "8.8.8.8", true),
        ] {
            assert_eq!(policy.admits(host, address(at)), expected, "{host} {at}");
        }
        assert!(OutboundPolicy::everything().admits("a.test", address("169.254.169.254")));
    }
}
