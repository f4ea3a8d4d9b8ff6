//! PROXY headers as bytes, and what a connection receives of them.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};

use proptest::collection::vec;
use proptest::prelude::*;
use sok::Address;
use sok::address::{SocketName, SocketType, UnixName};
use sok::net::{
    ConnectOptions, Credentials, HeaderFault, LONGEST_HEADER, ListenOptions, Listener, Peer,
    Proxied, ProxyVersion, Stream,
};

use crate::support::{LIMIT, Place};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 with `rest` after its length.
fn binary(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    let start = [version_and_command, family, length[0], length[1]];
    [SIGNATURE, &start, rest].concat()
}

/// The addresses and ports 1.2.3.4:258 and 5.6.7.8:772.
const INET: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4];

/// Two names in a header of AF_UNIX.
fn names(source: &[u8], destination: &[u8]) -> Vec<u8> {
    let mut both = source.to_vec();
    both.resize(108, 0);
    both.extend(destination);
    both.resize(216, 0);
    both
}

/// The client, and the address that it connected to, if a header describes them.
type Described = Option<(String, String)>;

/// What `header` describes.
fn described(header: &[u8]) -> Result<Described, HeaderFault> {
    let proxied = Proxied::parse(header)?;
    Ok(proxied.map(|it| (it.peer.to_string(), it.destination.to_string())))
}

fn ends(source: &str, destination: &str) -> Described {
    Some((source.to_owned(), destination.to_owned()))
}

#[test]
fn every_header_that_the_specification_allows_is_understood() {
    let most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let v6 = format!("inet6:[{most}]:65535");
    let longest = format!("PROXY UNKNOWN {most} {most} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    let inet6 = [
        Ipv6Addr::LOCALHOST.octets(),
        Ipv6Addr::from(1 << 16).octets(),
    ]
    .concat();
    let inet6 = [&inet6[..], &[0, 80, 1, 187]].concat();
    let tlvs = [
        &INET[..],
        &[4, 0, 0, 2, 0, 4],
        b"host",
        &[0xE0, 0, 1, 7, 0xFF, 0, 0],
    ]
    .concat();
    let local = names(b"/run/a", b"\0name");
    let cases: Vec<(Vec<u8>, Described)> = vec![
        (
            b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n".to_vec(),
            ends("inet:255.255.255.255:65535", "inet:0.0.0.0:0"),
        ),
        (
            b"PROXY TCP6 ::1 2001:DB8::A 1 443\r\n".to_vec(),
            ends("inet6:[::1]:1", "inet6:[2001:db8::a]:443"),
        ),
        (
            format!("PROXY TCP6 {most} {most} 65535 65535\r\n").into_bytes(),
            ends(&v6, &v6),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (longest.into_bytes(), None),
        // Anything before the end is to be ignored.
        (b"PROXY UNKNOWN a b c d e f g\r\n".to_vec(), None),
        (b"PROXY UNKNOWN \xff\0\r \n\r\n".to_vec(), None),
        (
            binary(0x21, 0x11, &INET),
            ends("inet:1.2.3.4:258", "inet:5.6.7.8:772"),
        ),
        (
            binary(0x21, 0x12, &INET),
            ends("udp4:1.2.3.4:258", "udp4:5.6.7.8:772"),
        ),
        (
            binary(0x21, 0x21, &inet6),
            ends("inet6:[::1]:80", "inet6:[::1:0]:443"),
        ),
        (
            binary(0x21, 0x22, &inet6),
            ends("udp6:[::1]:80", "udp6:[::1:0]:443"),
        ),
        (
            binary(0x21, 0x31, &local),
            ends("unix:/run/a", "unix:@name"),
        ),
        (
            binary(0x21, 0x32, &local),
            ends("unixgram:/run/a", "unixgram:@name"),
        ),
        (
            binary(0x21, 0x31, &names(b"", b"/s")),
            ends("unix:", "unix:/s"),
        ),
        // A path that fills the field has no NUL; what follows one is no part of a name.
        (
            binary(0x21, 0x31, &[b'p'; 216]),
            ends(
                &format!("unix:{}", "p".repeat(108)),
                &format!("unix:{}", "p".repeat(108)),
            ),
        ),
        (
            binary(0x21, 0x31, &names(b"/a\0rest", b"\0x\0y\0")),
            ends("unix:/a", "unix:@x\\x00y"),
        ),
        // A TLV of any type and length.
        (
            binary(0x21, 0x11, &tlvs),
            ends("inet:1.2.3.4:258", "inet:5.6.7.8:772"),
        ),
        // The connection is one of the proxy: the family and the rest are to be ignored.
        (binary(0x20, 0x00, &[]), None),
        (binary(0x20, 0x11, &INET), None),
        (binary(0x20, 0x11, &[]), None),
        (binary(0x20, 0xFF, &[1]), None),
        // No addresses to use.
        (binary(0x21, 0x00, &[]), None),
        (binary(0x21, 0x00, &[9; 5]), None),
        (binary(0x21, 0x01, &[]), None),
        (binary(0x21, 0x10, &INET), None),
        (binary(0x21, 0x30, &local), None),
        (binary(0x20, 0x00, &vec![4; LONGEST_HEADER - 16]), None),
    ];
    for (header, meaning) in cases {
        assert_eq!(described(&header), Ok(meaning), "{}", header.escape_ascii());
    }
}

#[test]
fn every_other_header_is_refused_with_its_reason() {
    let trailing = |rest: &[u8]| binary(0x21, 0x11, &[&INET, rest].concat());
    let cases: &[(&[u8], &str)] = &[
        (b"", "no PROXY header"),
        (b"GET / HTTP/1.1\r\n", "no PROXY header"),
        (b"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", "no PROXY header"),
        (b"PROXY\tTCP4 1.1.1.1 2.2.2.2 1 2\r\n", "no PROXY header"),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2",
            "PROXY line without an end",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",
            "PROXY line without an end",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r",
            "PROXY line without an end",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET",
            "PROXY line without an end",
        ),
        (b"PROXY UNKNOWN\r\n\r\n", "a character that it cannot have"),
        // The crate that parses addresses would panic.
        (
            b"PROXY TCP4\r\xca\x8a0\r\n",
            "a character that it cannot have",
        ),
        (b"PROXY UNKNOWNS\r\n", "neither TCP4, TCP6 nor UNKNOWN"),
        (b"PROXY \r\n", "neither TCP4, TCP6 nor UNKNOWN"),
        (
            b"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n",
            "neither TCP4, TCP6 nor UNKNOWN",
        ),
        (
            b"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
            "neither TCP4, TCP6 nor UNKNOWN",
        ),
        (
            b"PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n",
            "neither TCP4, TCP6 nor UNKNOWN",
        ),
        (
            b"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",
            "a malformed source address",
        ),
        (
            b"PROXY TCP4 1.1.1.01 2.2.2.2 1 2\r\n",
            "a malformed source address",
        ),
        (
            b"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n",
            "a malformed source address",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.256 1 2\r\n",
            "a malformed destination address",
        ),
        (
            b"PROXY TCP4 ::1 2.2.2.2 1 2\r\n",
            "a malformed source address",
        ),
        (
            b"PROXY TCP4 /run/a.sock /run/b.sock 1 2\r\n",
            "a malformed source address",
        ),
        (
            b"PROXY TCP6 1.1.1.1 ::1 1 2\r\n",
            "a malformed source address",
        ),
        (
            b"PROXY TCP6 ::1 fe80::1%1 1 2\r\n",
            "a malformed destination address",
        ),
        (
            b"PROXY TCP6 1::2::3 ::1 1 2\r\n",
            "a malformed source address",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n",
            "a malformed source port",
        ),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", "a port with a sign"),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n",
            "a malformed source port",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n",
            "a malformed destination port",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n",
            "a malformed destination port",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",
            "a malformed destination port",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n",
            "not a protocol, two addresses and two ports",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",
            "not a protocol, two addresses and two ports",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \n\r\n",
            "a character that it cannot have",
        ),
        (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 1 \xff\r\n",
            "a character that it cannot have",
        ),
        (
            &[b"PROXY UNKNOWN ", &[b'x'; 92][..], b"\r\n"].concat(),
            "PROXY line without an end",
        ),
        (&binary(0x11, 0x11, &INET), "version 1"),
        (&binary(0x31, 0x11, &INET), "version 3"),
        (&binary(0x22, 0x11, &INET), "command 2"),
        (&binary(0x2F, 0x11, &INET), "command 15"),
        (&binary(0x21, 0x41, &INET), "family 4"),
        (&binary(0x21, 0xF0, &INET), "family 15"),
        (&binary(0x21, 0x13, &INET), "protocol 3"),
        (
            &binary(0x21, 0x11, &INET[..11]),
            "11 bytes for addresses of 12",
        ),
        (&binary(0x21, 0x21, &INET), "12 bytes for addresses of 36"),
        (
            &binary(0x21, 0x31, &[0; 215]),
            "215 bytes for addresses of 216",
        ),
        (&binary(0x21, 0x11, &INET)[..27], "ended after 27 bytes"),
        (&binary(0x21, 0x11, &INET)[..15], "ended after 15 bytes"),
        (
            &[&binary(0x21, 0x11, &INET)[..], b"!"].concat(),
            "data after the PROXY header",
        ),
        // A TLV that has no length, or ends after the header.
        (&trailing(&[4]), "a TLV without a length"),
        (&trailing(&[4, 0]), "a TLV without a length"),
        (&trailing(&[4, 0, 1]), "TLV 0x04 of 1 bytes ends after it"),
        (
            &trailing(&[4, 0, 0, 2, 255, 255, 1]),
            "TLV 0x02 of 65535 bytes ends after it",
        ),
        (&trailing(&[3, 0, 3, 1, 2, 3]), "a checksum of 3 bytes"),
        (&trailing(&[3, 0, 4, 1, 2, 3, 4]), "a wrong checksum"),
        // Also where there are no addresses.
        (
            &binary(0x20, 0x00, &[3, 0, 4, 1, 2, 3, 4]),
            "a wrong checksum",
        ),
        (
            &binary(0x21, 0x01, &[3, 0, 4, 1, 2, 3, 4]),
            "a wrong checksum",
        ),
        (
            &binary(0x20, 0x00, &vec![4; LONGEST_HEADER - 15]),
            "PROXY header of 16385 bytes; the limit is 16384",
        ),
    ];
    for (header, reason) in cases {
        let fault = Proxied::parse(header).expect_err(&header.escape_ascii().to_string());
        assert!(
            fault.to_string().contains(reason),
            "{}: {fault}",
            header.escape_ascii()
        );
    }
}

/// The checksum was computed by another program.
#[test]
fn a_right_checksum_is_accepted_and_sent() {
    let sum = [0x00, 0x0B, 0x77, 0xCB];
    let proxied = Proxied::new(
        Peer::new("inet:1.2.3.4:258".parse().unwrap()),
        "inet:5.6.7.8:772".parse().unwrap(),
    );
    let header = binary(0x21, 0x11, &[&INET[..], &[3, 0, 4], &sum].concat());
    assert_eq!(proxied.header(ProxyVersion::V2), header);
    assert_eq!(Proxied::parse(&header), Ok(Some(proxied)));
    // The addresses, and the checksum itself.
    for at in (16..28).chain(31..35) {
        let mut changed = header.clone();
        changed[at] ^= 0x10;
        assert_eq!(Proxied::parse(&changed), Err(HeaderFault::Checksum));
    }
}

fn any_ip() -> impl Strategy<Value = SocketName> {
    let v4 = any::<[u8; 4]>().prop_map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
    let v6 = any::<u128>().prop_map(|ip| IpAddr::V6(Ipv6Addr::from(ip)));
    (prop_oneof![v4, v6], any::<u16>()).prop_map(|end| SocketAddr::from(end).into())
}

fn any_local() -> impl Strategy<Value = SocketName> {
    prop_oneof![
        Just(UnixName::Unnamed),
        vec(1..=255_u8, 1..=108).prop_map(|path| UnixName::path(path).unwrap()),
        // A NUL byte at the end of a name is not distinguished from the rest of the field.
        (vec(any::<u8>(), 0..=106), 1..=255_u8).prop_map(|(mut name, last)| {
            name.push(last);
            UnixName::abstract_name(name).unwrap()
        }),
    ]
    .prop_map(SocketName::from)
}

fn any_credentials() -> impl Strategy<Value = Option<Credentials>> {
    proptest::option::of(
        any::<(i32, u32, u32)>().prop_map(|(pid, uid, gid)| Credentials { pid, uid, gid }),
    )
}

/// Any connection that a header can describe.
fn any_proxied() -> impl Strategy<Value = Proxied> {
    let stream = any::<bool>();
    let ip = (any_ip(), any_ip())
        .prop_filter("of one family", |(from, to)| from.family() == to.family());
    let ip = ip.prop_map(|ends| (ends, None));
    let local = ((any_local(), any_local()), any_credentials());
    (prop_oneof![ip, local], stream).prop_map(|(((from, to), credentials), stream)| {
        let kind = match stream {
            true => SocketType::Stream,
            false => SocketType::Datagram,
        };
        let address = |name| Address::new(name, kind).unwrap();
        let mut peer = Peer::new(address(from));
        peer.credentials = credentials;
        Proxied::new(peer, address(to))
    })
}

proptest! {
    #[test]
    fn a_header_describes_what_it_was_made_of(proxied in any_proxied()) {
        let header = proxied.header(ProxyVersion::V2);
        prop_assert_eq!(Proxied::parse(&header), Ok(Some(proxied.clone())));
        let line = proxied.header(ProxyVersion::V1);
        prop_assert!(line.len() <= 107);
        let is_tcp = proxied.peer.address.as_ip().is_some()
            && !proxied.peer.address.socket_type().keeps_messages();
        prop_assert_eq!(Proxied::parse(&line), Ok(is_tcp.then_some(proxied)));
    }
}

#[test]
fn a_mapped_address_is_sent_as_ipv4_if_both_are() {
    let header = |from: &str, to: &str| {
        let proxied = Proxied::new(Peer::new(from.parse().unwrap()), to.parse().unwrap());
        let line = String::from_utf8(proxied.header(ProxyVersion::V1)).unwrap();
        let binary = described(&proxied.header(ProxyVersion::V2))
            .unwrap()
            .unwrap();
        (line, binary.0)
    };
    let mapped = "inet6:[::ffff:192.0.2.7]:1";
    let (line, binary) = header(mapped, "inet6:[::ffff:192.0.2.1]:80");
    assert_eq!(line, "PROXY TCP4 192.0.2.7 192.0.2.1 1 80\r\n");
    assert_eq!(binary, "inet:192.0.2.7:1");
    for source in [mapped, "inet:192.0.2.7:1"] {
        let (line, binary) = header(source, "inet6:[2001:db8::1]:80");
        assert_eq!(line, "PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 80\r\n");
        assert_eq!(binary, mapped);
    }
}

#[test]
fn what_does_not_fit_into_a_header_is_left_out() {
    let sent = |from: &str, to: &str| {
        let proxied = Proxied::new(Peer::new(from.parse().unwrap()), to.parse().unwrap());
        described(&proxied.header(ProxyVersion::V2)).unwrap()
    };
    let long = format!("unix:/{}", "p".repeat(200));
    assert_eq!(sent("unix:", &long), ends("unix:", "unix:"));
    assert_eq!(
        sent("unixpacket:@a", "unixpacket:/s"),
        ends("unix:@a", "unix:/s")
    );
    assert_eq!(
        sent("inet6:[fe80::1%1]:1", "inet6:[fe80::2%1]:2"),
        ends("inet6:[fe80::1]:1", "inet6:[fe80::2]:2")
    );
    assert_eq!(sent("unix:@a", "inet:192.0.2.1:80"), None);
}

/// Both ends of a connection to a fresh address of `place`: the client's, and the server's.
async fn connected(place: &Place) -> (Stream, Stream) {
    let address: Address = place.word().parse().unwrap();
    let listener = Listener::bind(&address, &ListenOptions::default()).unwrap();
    let options = ConnectOptions::default();
    let client = Stream::connect(listener.local_addr(), &options);
    let (client, accepted) = tokio::join!(client, listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let limited = async { tokio::time::timeout(LIMIT, work).await };
    runtime.unwrap().block_on(limited).expect("it ends")
}

/// Headers of every kind, whose ends are found in different ways.
fn headers() -> Vec<Vec<u8>> {
    let most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let tlv = [&INET[..], &[4, 0x27, 0x10], &[0; 10_000]].concat();
    vec![
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n".to_vec(),
        b"PROXY UNKNOWN \r\r\n".to_vec(),
        format!("PROXY UNKNOWN {most} {most} 65535 65535\r\n").into_bytes(),
        binary(0x20, 0x00, &[]),
        binary(0x21, 0x11, &INET),
        binary(0x21, 0x31, &names(b"/a", b"@b")),
        binary(0x21, 0x11, &tlv),
    ]
}

async fn received(stream: &Stream) -> Vec<u8> {
    let mut buffer = [0; 64];
    let count = stream.receive(&mut buffer).await.unwrap().count();
    buffer[..count].to_vec()
}

// Data that looks like the end of a header, or like another one, is not taken for it either.
families!(what_comes_with_a_header_stays_in_the_socket, |place| {
    block_on(async {
        for data in [&b"hello"[..], b"\r\n", b"\n", b"PROXY UNKNOWN\r\n"] {
            for header in headers() {
                let (client, server) = connected(place).await;
                client
                    .send_all(&[&header[..], data].concat())
                    .await
                    .unwrap();
                let proxied = server.receive_proxy_header().await.unwrap();
                assert_eq!(Ok(proxied), Proxied::parse(&header));
                assert_eq!(received(&server).await, data, "{}", header.escape_ascii());
            }
        }
    });
});

families!(a_header_may_come_one_byte_at_a_time, |place| {
    block_on(async {
        for header in headers() {
            let (client, server) = connected(place).await;
            let sending = async {
                for byte in header.iter().chain(b"!").take(2_000) {
                    client.send_all(&[*byte]).await.unwrap();
                    // The receiver has its turn.
                    tokio::task::yield_now().await;
                }
                let rest = header.get(2_000..).unwrap_or_default();
                if !rest.is_empty() {
                    client.send_all(&[rest, b"!"].concat()).await.unwrap();
                }
            };
            let (proxied, ()) = tokio::join!(server.receive_proxy_header(), sending);
            assert_eq!(Ok(proxied.unwrap()), Proxied::parse(&header));
            assert_eq!(received(&server).await, b"!");
        }
    });
});

fn fault_of(error: &io::Error) -> String {
    let fault = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<HeaderFault>());
    fault.unwrap_or_else(|| panic!("{error}")).to_string()
}

// The client waits for an answer, and gets its reset at once.
families!(no_header_is_known_by_its_first_bytes, |place| {
    block_on(async {
        let long = binary(0x20, 0x00, &[0; LONGEST_HEADER - 15]);
        for (bytes, reason) in [
            (&b"G"[..], "no PROXY header"),
            (b"PROXX", "no PROXY header"),
            (b"PROXY\t", "no PROXY header"),
            (b"\r\n\r\nx", "no PROXY header"),
            (&[SIGNATURE, &[0x31, 0, 0, 0]].concat(), "version 3"),
            (b"PROXY \r\n1234567", "neither TCP4, TCP6 nor UNKNOWN"),
            (
                &long[..16],
                "PROXY header of 16385 bytes; the limit is 16384",
            ),
            (
                &[b"PROXY UNKNOWN ", &[b'x'; 93][..]].concat(),
                "PROXY line without an end",
            ),
        ] {
            let (client, server) = connected(place).await;
            client.send_all(bytes).await.unwrap();
            let error = server.receive_proxy_header().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(
                fault_of(&error).contains(reason),
                "{}: {error}",
                bytes.escape_ascii()
            );
        }
    });
});

families!(an_end_in_a_header_is_no_header, |place| {
    block_on(async {
        let (line, header) = (
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r",
            binary(0x21, 0x11, &INET),
        );
        for (bytes, reason) in [
            (&b""[..], "ended without a PROXY header".to_owned()),
            (
                &line[..3],
                "ended after 3 bytes of a PROXY header".to_owned(),
            ),
            (
                &line[..20],
                "ended after 20 bytes of a PROXY header".to_owned(),
            ),
            (
                line,
                format!("ended after {} bytes of a PROXY header", line.len()),
            ),
            (
                &header[..15],
                "ended after 15 bytes of a PROXY header".to_owned(),
            ),
            (
                &header[..27],
                "ended after 27 bytes of a PROXY header".to_owned(),
            ),
        ] {
            let (client, server) = connected(place).await;
            client.send_all(bytes).await.unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let error = server.receive_proxy_header().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert_eq!(fault_of(&error), reason);
        }
    });
});

#[test]
fn where_messages_are_kept_apart_the_header_is_one() {
    block_on(async {
        for header in headers() {
            let (client, server) = Stream::pair_of(SocketType::SeqPacket).unwrap();
            client.send_all(&header).await.unwrap();
            client.send_all(b"hello").await.unwrap();
            let proxied = server.receive_proxy_header().await.unwrap();
            assert_eq!(Ok(proxied), Proxied::parse(&header));
            assert_eq!(received(&server).await, b"hello");
        }
        for (message, reason) in [
            (&b""[..], "ended without a PROXY header"),
            (b"PROXY UNKNOWN\r\nhello", "PROXY line without an end"),
            (
                &[&binary(0x20, 0, &[])[..], b"!"].concat(),
                "data after the PROXY header in its message",
            ),
        ] {
            let (client, server) = Stream::pair_of(SocketType::SeqPacket).unwrap();
            client.send_all(message).await.unwrap();
            let error = server.receive_proxy_header().await.unwrap_err();
            assert_eq!(fault_of(&error), reason);
        }
        // The longest header, and with data after it.
        let tlv = [&[4, 0x3f, 0xed][..], &[0; 0x3fed]].concat();
        let longest = binary(0x20, 0x00, &tlv);
        assert_eq!(longest.len(), LONGEST_HEADER);
        let (client, server) = Stream::pair_of(SocketType::SeqPacket).unwrap();
        client.send_all(&longest).await.unwrap();
        assert_eq!(server.receive_proxy_header().await.unwrap(), None);
        client
            .send_all(&[&longest[..], b"!"].concat())
            .await
            .unwrap();
        let error = server.receive_proxy_header().await.unwrap_err();
        let reason = "data after the PROXY header in its message";
        assert_eq!(fault_of(&error), reason);
        let (client, server) = Stream::pair_of(SocketType::SeqPacket).unwrap();
        let longer = binary(0x20, 0x00, &[0; LONGEST_HEADER]);
        client.send_all(&longer).await.unwrap();
        let error = server.receive_proxy_header().await.unwrap_err();
        let reason = "PROXY header of 16400 bytes; the limit is 16384";
        assert_eq!(fault_of(&error), reason);
        drop(client);
        let (client, server) = Stream::pair_of(SocketType::SeqPacket).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let error = server.receive_proxy_header().await.unwrap_err();
        assert_eq!(fault_of(&error), "ended without a PROXY header");
    });
}
