//! Which addresses a request of ours may go to.
//!
//! What a provider says of itself names the next URLs, and DNS says which addresses they have. So a provider, or who
//! has taken one over, could have us call what only we can reach: the runtime beside us, the metadata of a machine, a
//! private network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether `ip` may be called: a public address, or with `local` this machine's own.
pub(super) fn may_call(ip: IpAddr, local: bool) -> bool {
    // An IPv4 address that is written as an IPv6 one is still the IPv4 one.
    let ip = ip.to_canonical();
    let is_public = match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    };
    is_public || (local && ip.is_loopback())
}

/// All that IANA's registry of special-purpose addresses (RFC 6890) does not keep from the internet.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        // "This network", private, loopback.
        [0 | 10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..]
            // Shared behind carriers' NAT, link-local.
            | [100, 64..=127, ..] | [169, 254, ..]
            // Protocol assignments, the old relay to IPv6, benchmarks, documentation.
            | [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _]
            // Multicast, reserved, broadcast.
            | [224..=255, ..]
    )
}

/// Global unicast only (RFC 4291), less what stands for something else.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // By way of NAT64 (RFC 6052) it is the IPv4 address at its end that is called.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocol assignments with Teredo, 6to4, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2002, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => {
            false
        }
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_only() {
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2a00:1450:4001:82b::200e",
            "64:ff9b::1.1.1.1",
        ];
        let refused = [
            ("unspecified", "0.0.0.0"),
            ("this network", "0.1.2.3"),
            ("private", "10.0.0.1"),
            ("private", "172.16.0.1"),
            ("private", "172.31.255.255"),
            ("private", "192.168.1.1"),
            ("carriers' NAT", "100.64.0.1"),
            ("carriers' NAT", "100.127.255.255"),
            ("a machine's metadata", "169.254.169.254"),
            ("link-local", "169.254.0.1"),
            ("protocol assignments", "192.0.0.170"),
            ("documentation", "192.0.2.1"),
            ("6to4 relay", "192.88.99.1"),
            ("benchmarks", "198.18.0.1"),
            ("benchmarks", "198.19.255.255"),
            ("documentation", "198.51.100.1"),
            ("documentation", "203.0.113.1"),
            ("multicast", "224.0.0.1"),
            ("reserved", "240.0.0.1"),
            ("broadcast", "255.255.255.255"),
            ("mapped private", "::ffff:10.0.0.1"),
            ("mapped metadata", "::ffff:169.254.169.254"),
            ("compatible loopback", "::127.0.0.1"),
            ("unspecified", "::"),
            ("unique-local", "fc00::1"),
            ("unique-local", "fd00:ec2::254"),
            ("link-local", "fe80::1"),
            ("site-local", "fec0::1"),
            ("multicast", "ff02::1"),
            ("documentation", "2001:db8::1"),
            ("documentation", "3fff::1"),
            ("Teredo", "2001::1"),
            ("6to4 of a private one", "2002:a00:1::1"),
            ("NAT64 of a private one", "64:ff9b::10.0.0.1"),
            ("NAT64 of metadata", "64:ff9b::169.254.169.254"),
            ("local NAT64", "64:ff9b:1::1.1.1.1"),
            ("discarded", "100::1"),
        ];
        for text in public {
            assert!(may_call(text.parse().unwrap(), false), "{text}");
        }
        for (kind, text) in refused {
            let ip = text.parse().unwrap();
            assert!(!may_call(ip, false), "{kind}: {text}");
            assert!(!may_call(ip, true), "{kind}: {text}, locally");
        }
    }

    #[test]
    fn this_machine_only_locally() {
        for text in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
            let ip = text.parse().unwrap();
            assert!(may_call(ip, true), "{text}");
            assert!(!may_call(ip, false), "{text}");
        }
    }
}
