//! Addresses as they are written, read and printed; no socket is opened here.

use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use sok::address::{
    AddressKind, AddressParts, DescriptorName, Purpose, SUN_PATH_MAX, SocketName, SocketType,
    UnixName,
};
use sok::{Address, ErrorKind, Family, Target};

/// Every address there is: the flow label is no part of one.
fn any_address() -> impl Strategy<Value = Address> {
    let path =
        vec(1..=255_u8, 1..200).prop_map(|bytes| UnixName::Path(OsString::from_vec(bytes).into()));
    let name = vec(any::<u8>(), 0..=SUN_PATH_MAX).prop_map(UnixName::Abstract);
    let name = prop_oneof![
        any::<SocketAddrV4>().prop_map(SocketName::Inet),
        (any::<[u8; 16]>(), any::<u16>(), any::<u32>()).prop_map(|(ip, port, scope)| {
            SocketName::Inet6(SocketAddrV6::new(ip.into(), port, 0, scope))
        }),
        prop_oneof![path, name, Just(UnixName::Unnamed)].prop_map(SocketName::Unix),
    ];
    (name, any::<proptest::sample::Index>()).prop_map(|(name, which)| {
        let types = name.family().types();
        Address::new(name, types[which.index(types.len())]).unwrap()
    })
}

proptest! {
    #[test]
    fn what_an_address_prints_reads_back_as_the_same_address(address in any_address()) {
        let printed = address.to_string();
        prop_assert!(!printed.contains(char::is_control), "{printed:?}");
        prop_assert!(!printed.contains(char::is_whitespace), "{printed:?}");
        let read: Address = printed.parse().unwrap();
        prop_assert_eq!(&read, &address);
        prop_assert_eq!(read.to_string(), printed);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..64)) {
        let _ = Target::parse(OsStr::from_bytes(&bytes));
    }

    #[test]
    fn no_text_near_an_address_makes_the_reader_panic(
        text in r"(unix|unixgram|unixpacket|inet|inet6|tcp|tcp4|udp|udp4|udp6|fd)?:?[@/.\[]?[0-9a-f:.%\\x\]@]{0,20}(:[0-9]{0,6})?"
    ) {
        if let Ok(target) = Target::parse(&text) {
            // What was understood is printed in a form that is understood in the same way.
            prop_assert_eq!(Target::parse(target.to_string()).unwrap(), target);
        }
    }
}

proptest! {
    #[test]
    fn what_an_inherited_socket_prints_reads_back_as_the_same(
        number in 0..=i32::MAX,
        name in "[!-9;-~]{1,255}",
    ) {
        let number = Target::Inherited(DescriptorName::Number(number));
        prop_assert_eq!(Target::parse(number.to_string()).unwrap(), number);
        // A name of digits is a number, and one with slashes looks like a URL.
        let is_name = !name.bytes().all(|byte| byte.is_ascii_digit()) && !name.starts_with("//");
        let name = Target::Inherited(DescriptorName::Name(name));
        if is_name {
            prop_assert_eq!(Target::parse(name.to_string()).unwrap(), name);
        }
    }
}

#[test]
fn the_word_of_an_inherited_socket_has_a_number_or_a_name() {
    let number = Target::parse("fd:007").unwrap();
    assert_eq!(number.to_string(), "fd:7");
    for (word, cause) in [
        ("fd:", "the descriptor is missing; write fd:3, or fd:NAME"),
        ("fd://3", "an address is not a URL; write fd:3"),
        (
            "fd:2147483648",
            "no descriptor has a number as large as 2147483648",
        ),
        (
            "fd:a b",
            "up to 255 visible ASCII characters, without a colon",
        ),
        ("fd:a:b", "without a colon"),
        ("fd:\u{e9}", "visible ASCII characters"),
        (&format!("fd:{}", "a".repeat(256)), "up to 255"),
    ] {
        let error = Target::parse(word).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.cause().contains(cause), "{error}");
    }
    // It has no address: it cannot be looked up, and is none in the library's sense.
    for purpose in [Purpose::Listen, Purpose::Connect] {
        let error = number.resolve(purpose).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
    assert!("fd:7".parse::<Address>().is_err());
    assert_eq!(number.as_address(), None);
    // The host of this name is still to be had.
    assert!(Target::parse("tcp:fd:3").unwrap().is_name());
}

#[test]
fn a_host_is_a_visible_word() {
    for host in ["a b", "a\u{9b}", "a\u{202e}b"] {
        let error = Target::parse(format!("{host}:80")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        let cause = error.cause();
        assert!(cause.contains("white space or an invisible"), "{error}");
    }
}

#[test]
fn the_random_addresses_are_of_every_family_and_type() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = Vec::new();
    for _ in 0..200 {
        let address = any_address().new_tree(&mut runner).unwrap().current();
        let one = (address.family(), address.socket_type());
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    let all = |family: Family| family.types().len();
    assert_eq!(seen.len(), Family::ALL.into_iter().map(all).sum::<usize>());
}

#[test]
fn an_address_is_the_same_word_in_each_of_its_forms() {
    for (written, full) in [
        ("unix:/tmp/s.sock", "unix:/tmp/s.sock"),
        ("/tmp/s.sock", "unix:/tmp/s.sock"),
        ("./s.sock", "unix:./s.sock"),
        ("../s.sock", "unix:../s.sock"),
        ("unix:s.sock", "unix:s.sock"),
        ("unix:a:b", "unix:a:b"),
        ("unix:@name", "unix:@name"),
        ("@name", "unix:@name"),
        ("@", "unix:@"),
        ("unix:@", "unix:@"),
        (r"@a\x00b\\", r"unix:@a\x00b\\"),
        ("@a b", r"unix:@a\x20b"),
        (
            "./e\u{301}\u{200b}\u{202e}",
            "unix:./e\u{301}\\xe2\\x80\\x8b\\xe2\\x80\\xae",
        ),
        ("./@name", "unix:./@name"),
        (r"unix:\x40name", r"unix:\x40name"),
        ("inet:127.0.0.1:8082", "inet:127.0.0.1:8082"),
        ("tcp4:127.0.0.1:8082", "inet:127.0.0.1:8082"),
        ("127.0.0.1:8082", "inet:127.0.0.1:8082"),
        ("inet6:[::1]:8082", "inet6:[::1]:8082"),
        ("tcp6:[::1]:8082", "inet6:[::1]:8082"),
        ("[::1]:8082", "inet6:[::1]:8082"),
        ("tcp:[::1]:8082", "inet6:[::1]:8082"),
        ("inet6:[fe80::1%7]:8082", "inet6:[fe80::1%7]:8082"),
        ("tcp:localhost:8082", "tcp:localhost:8082"),
        ("localhost:8082", "tcp:localhost:8082"),
        ("inet:localhost:8082", "inet:localhost:8082"),
        ("inet6:localhost:8082", "inet6:localhost:8082"),
        (":8082", "tcp::8082"),
        ("tcp::8082", "tcp::8082"),
        ("udp4:127.0.0.1:53", "udp4:127.0.0.1:53"),
        ("udp:127.0.0.1:53", "udp4:127.0.0.1:53"),
        ("udp6:[::1]:5353", "udp6:[::1]:5353"),
        ("udp:[::1]:53", "udp6:[::1]:53"),
        ("udp6:[fe80::1%7]:53", "udp6:[fe80::1%7]:53"),
        ("udp:localhost:53", "udp:localhost:53"),
        ("udp4:localhost:53", "udp4:localhost:53"),
        ("udp6:localhost:53", "udp6:localhost:53"),
        ("udp::53", "udp::53"),
        ("unixgram:/dev/log", "unixgram:/dev/log"),
        ("unixgram:@/org/x", "unixgram:@/org/x"),
        ("unixgram:@", "unixgram:@"),
        ("unixgram://log", "unixgram://log"),
        (r"unixgram:\x40name", r"unixgram:\x40name"),
        ("unixpacket:./a", "unixpacket:./a"),
        ("unixpacket:a", "unixpacket:a"),
        ("unixpacket:@a b", r"unixpacket:@a\x20b"),
    ] {
        let target = Target::parse(written).unwrap();
        assert_eq!(target.to_string(), full, "written {written}");
        assert_eq!(Target::parse(full).unwrap(), target, "printed {full}");
    }
}

#[test]
fn a_word_says_the_family_and_the_type() {
    for (word, socket_type, family) in [
        ("/s", SocketType::Stream, Some(Family::Unix)),
        ("@s", SocketType::Stream, Some(Family::Unix)),
        ("unixpacket:s", SocketType::SeqPacket, Some(Family::Unix)),
        ("unixgram:@s", SocketType::Datagram, Some(Family::Unix)),
        ("[::1]:80", SocketType::Stream, Some(Family::Inet6)),
        (
            "udp4:127.0.0.1:80",
            SocketType::Datagram,
            Some(Family::Inet),
        ),
        ("udp:[::1]:80", SocketType::Datagram, Some(Family::Inet6)),
        ("localhost:80", SocketType::Stream, None),
        ("udp:localhost:80", SocketType::Datagram, None),
        (":80", SocketType::Stream, None),
        ("udp::80", SocketType::Datagram, None),
    ] {
        let target = Target::parse(word).unwrap();
        assert_eq!(target.socket_type(), socket_type, "{word}");
        assert_eq!(target.as_address().map(Address::family), family, "{word}");
        if target != Target::parse(":80").unwrap() && !word.starts_with("udp::") {
            let resolved = target.resolve(Purpose::Connect).unwrap();
            assert!(
                resolved.iter().all(|one| one.socket_type() == socket_type),
                "{word}"
            );
        }
    }
}

#[test]
fn the_words_of_the_help_are_addresses_of_the_family_and_type_that_it_says() {
    let of_family = |family: Family| {
        let words = family.words().iter();
        words.map(move |(words, meaning)| (Some(family), *words, *meaning))
    };
    let either = Target::WORDS
        .iter()
        .map(|(words, meaning)| (None, *words, *meaning));
    let mut said = Vec::new();
    for (family, words, meaning) in Family::ALL.into_iter().flat_map(of_family).chain(either) {
        for word in words.split(", ").filter(|word| !word.contains("%eth0")) {
            let target = Target::parse(word).unwrap();
            let found = target.as_address().map(Address::family);
            assert_eq!(found, family, "{word}");
            let name = target.socket_type().name();
            let names_it = meaning.contains(&format!(", {name}:"));
            // The prefix of a shorthand is in another row.
            assert!(
                names_it || family.is_none() || word == "@",
                "{word}: {meaning}"
            );
            said.push(target.to_string().split_once(':').unwrap().0.to_owned());
        }
        said.extend(
            meaning
                .split_once("alias ")
                .map(|(_, alias)| alias.trim_end_matches(":)").to_owned()),
        );
    }
    for (prefix, _) in Family::ALL.iter().flat_map(|family| family.prefixes()) {
        assert!(
            said.iter().any(|said| said == prefix),
            "no word has {prefix}"
        );
    }
}

#[test]
fn the_forms_are_each_type_of_each_kind_of_name() {
    let forms: Vec<_> = AddressKind::forms().collect();
    assert_eq!(forms.len(), 10);
    for (kind, socket_type) in forms {
        let fresh = kind
            .fresh("/".as_ref(), "s")
            .with_type(socket_type)
            .unwrap();
        assert_eq!((fresh.kind(), fresh.socket_type()), (kind, socket_type));
        assert_eq!(fresh.to_string().parse::<Address>().unwrap(), fresh);
        assert!(kind.types().contains(&socket_type));
    }
}

#[test]
fn a_type_that_a_family_lacks_is_an_error_with_those_it_has() {
    let cause = "inet has no seqpacket sockets; its types are stream, datagram";
    let name: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let refused = Address::new(name, SocketType::SeqPacket).unwrap_err();
    assert_eq!(
        (refused.kind(), refused.cause().as_str()),
        (ErrorKind::Usage, cause)
    );
    let refused = Address::from(name)
        .with_type(SocketType::SeqPacket)
        .unwrap_err();
    assert_eq!(refused.cause(), cause);
    for (family, host) in [
        (Some(Family::Inet), "127.0.0.1"),
        (Some(Family::Inet), "localhost"),
        (None, "::1"),
        (None, "localhost"),
    ] {
        let refused = Target::network(family, SocketType::SeqPacket, host, 80).unwrap_err();
        let what = family.map_or("a host", Family::name);
        let cause = format!("{what} has no seqpacket sockets; its types are stream, datagram");
        assert_eq!(refused.cause(), cause);
        assert_eq!(refused.kind(), ErrorKind::Usage);
    }
}

#[test]
fn the_parts_of_an_address_are_the_same_address_as_its_word() {
    let parts = |family, socket_type, path: Option<&str>, host: Option<(&str, &str)>| {
        let mut parts = AddressParts::default();
        parts.family = family;
        parts.socket_type = socket_type;
        parts.path = path.map(OsString::from);
        parts.host = host.map(|(host, _)| host.to_owned());
        parts.port = host.map(|(_, port)| port.to_owned());
        parts.target().unwrap().to_string()
    };
    for socket_type in SocketType::ALL {
        let prefix = Family::Unix.prefix(socket_type);
        for family in [Some(Family::Unix), None] {
            for path in ["/tmp/s", "@name", "./s"] {
                let word = parts(family, socket_type, Some(path), None);
                assert_eq!(word, format!("{prefix}:{path}"));
            }
        }
    }
    for (socket_type, either) in [(SocketType::Stream, "tcp"), (SocketType::Datagram, "udp")] {
        let host = |family, host| parts(family, socket_type, None, Some((host, "53")));
        let prefix = |family: Family| family.prefix(socket_type);
        assert_eq!(host(None, "localhost"), format!("{either}:localhost:53"));
        assert_eq!(host(None, ""), format!("{either}::53"));
        let (v4, v6) = (prefix(Family::Inet), prefix(Family::Inet6));
        assert_eq!(host(None, "::1"), format!("{v6}:[::1]:53"));
        assert_eq!(host(Some(Family::Inet6), "::1"), format!("{v6}:[::1]:53"));
        assert_eq!(
            host(Some(Family::Inet), "127.0.0.1"),
            format!("{v4}:127.0.0.1:53")
        );
        assert_eq!(
            host(Some(Family::Inet), "localhost"),
            format!("{v4}:localhost:53")
        );
    }
}

#[test]
fn a_scope_is_an_interface_by_name_or_by_number() {
    let by_name = Target::parse("inet6:[fe80::1%lo]:80").unwrap();
    let number = nix::net::if_::if_nametoindex("lo").unwrap();
    assert_eq!(by_name.to_string(), format!("inet6:[fe80::1%{number}]:80"));
}

#[test]
fn an_address_error_names_the_wrong_part_and_the_known_prefixes() {
    let known = "inet: tcp4: udp4: inet6: tcp6: udp6: unix: unixpacket: unixgram: tcp: udp: fd:";
    for (written, wrong) in [
        ("", "the address is empty"),
        ("foo:a:b", "\"foo\" not a prefix"),
        ("foo:/tmp/s.sock", "unknown prefix \"foo\""),
        ("localhost:http", "\"http\" is not a port number"),
        ("foo:a:b", known),
        ("host:http", known),
        ("localhost", known),
        (
            "localhost:",
            "the port \"\" is not a number from 0 to 65535",
        ),
        (
            "localhost:99999",
            "the port \"99999\" is not a number from 0 to 65535",
        ),
        ("inet:127.0.0.1:65536", "the port \"65536\""),
        ("inet:127.0.0.1:+80", "the port \"+80\""),
        ("inet:127.0.0.1", "the port is missing"),
        ("[::1]", "the port is missing"),
        ("inet::80", "the host is empty; write inet:0.0.0.0:80"),
        ("inet6::80", "the host is empty; write inet6:[::]:80"),
        ("inet6:::1:80", "in brackets: [::1]:80"),
        ("::1:80", "in brackets"),
        ("[::1:80", "the bracket is not closed"),
        ("inet6:[1::2::3]:80", "is not an IPv6 address"),
        (
            "inet6:127.0.0.1:80",
            "127.0.0.1 is an inet address, not inet6",
        ),
        ("inet:[::1]:80", "::1 is an inet6 address, not inet"),
        (
            "inet6:[fe80::1%nope]:80",
            "no interface \"nope\"; the interfaces are",
        ),
        ("inet6:[fe80::1%nope]:80", " lo"),
        (
            "inet6:[fe80::1%99999999999]:80",
            "the scope 99999999999 is too large",
        ),
        ("udp4::53", "the host is empty; write udp4:0.0.0.0:53"),
        ("udp6::53", "the host is empty; write udp6:[::]:53"),
        (
            "udp6:127.0.0.1:53",
            "127.0.0.1 is an inet address, not inet6",
        ),
        ("udp:127.0.0.1", "the port is missing"),
        (
            "udp://a.example:53/x",
            "an address is not a URL; write udp:a.example:53",
        ),
        (
            "udp4://127.0.0.1:53",
            "an address is not a URL; write udp4:127.0.0.1:53",
        ),
        ("datagram:/dev/log", known),
        ("dgram:h:53", known),
        ("dgram:h:53", "write tcp:h:53 for TCP, udp:h:53 for UDP"),
        ("seqpacket:@name", known),
        ("UDP:h:53", known),
        ("unixgram", known),
        ("unixgram:", "the path is empty"),
        ("unixpacket:", "the path is empty"),
        (r"unixgram:a\x00b", "the path contains a NUL byte"),
        ("a b:80", "white space"),
        ("[[ff]:80", "contains a bracket"),
        ("a]:80", "contains a bracket"),
        ("unix:", "the path is empty"),
        (r"unix:a\x00b", "the path contains a NUL byte"),
    ] {
        let error = Target::parse(written).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        let message = error.to_string();
        assert!(
            message.contains(wrong),
            "{written:?} is message {message:?}, not {wrong:?}"
        );
        assert!(
            message.contains(&format!("{written:?}")) || written.contains('\\'),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "{message:?}");
    }
}

#[test]
fn the_error_of_a_too_long_abstract_name_has_the_limit() {
    let longest = format!("@{}", "n".repeat(SUN_PATH_MAX));
    assert!(Target::parse(&longest).is_ok());
    let error = Target::parse(longest + "n").unwrap_err().to_string();
    assert!(error.contains("108 bytes; the limit is 107"), "{error}");
}

#[test]
fn a_bare_port_is_every_address_and_only_to_listen() {
    let target = Target::parse(":80").unwrap();
    let listen: Vec<String> = target
        .resolve(Purpose::Listen)
        .unwrap()
        .iter()
        .map(Address::to_string)
        .collect();
    assert_eq!(listen, ["inet6:[::]:80", "inet:0.0.0.0:80"]);
    let error = target.resolve(Purpose::Connect).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(
        error
            .to_string()
            .contains("the host is empty; give the host, such as tcp:localhost:80")
    );
    let target = Target::parse("udp::53").unwrap();
    let listen = target.resolve(Purpose::Listen).unwrap();
    let words = listen.iter().map(Address::to_string).collect::<Vec<_>>();
    assert_eq!(words, ["udp6:[::]:53", "udp4:0.0.0.0:53"]);
    let error = target.resolve(Purpose::Connect).unwrap_err();
    assert!(
        error.to_string().contains("such as udp:localhost:53"),
        "{error}"
    );
}

#[test]
fn an_unnamed_socket_of_each_type_prints_as_its_prefix() {
    for socket_type in SocketType::ALL {
        let unnamed = Address::new(UnixName::Unnamed, socket_type).unwrap();
        let printed = unnamed.to_string();
        assert_eq!(printed, format!("{}:", Family::Unix.prefix(socket_type)));
        assert_eq!(printed.parse::<Address>().unwrap(), unnamed);
    }
}

#[test]
fn an_address_that_the_kernel_chooses_is_not_definite() {
    for (word, is_specified) in [
        ("inet:127.0.0.1:80", true),
        ("inet:127.0.0.1:0", false),
        ("inet6:[::1]:80", true),
        ("inet6:[::1]:0", false),
        ("unix:/s", true),
        ("unix:@s", true),
        ("unix:@", false),
        ("unix:", false),
        ("udp4:127.0.0.1:53", true),
        ("udp6:[::1]:0", false),
        ("unixgram:/s", true),
        ("unixgram:@", false),
        ("unixgram:", false),
        ("unixpacket:", false),
    ] {
        assert_eq!(
            word.parse::<Address>().unwrap().is_specified(),
            is_specified,
            "{word}"
        );
    }
}

#[test]
fn a_local_address_converts_to_the_standard_library_and_back() {
    for text in ["unix:/tmp/s.sock", "unix:@name"] {
        let address: Address = text.parse().unwrap();
        let standard = std::os::unix::net::SocketAddr::try_from(address.clone()).unwrap();
        assert_eq!(Address::from(standard.clone()), address);
        // The standard library's address has no type: it is one of a stream socket.
        let datagrams = address.clone().with_type(SocketType::Datagram).unwrap();
        let untyped = std::os::unix::net::SocketAddr::try_from(datagrams).unwrap();
        assert_eq!(Address::from(untyped), address);
    }
    let long = format!("unix:/{}", "x".repeat(SUN_PATH_MAX + 1));
    for text in ["inet:127.0.0.1:8082", "unix:", &long] {
        let address: Address = text.parse().unwrap();
        let refused = std::os::unix::net::SocketAddr::try_from(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage, "{refused}");
    }
}

#[test]
fn an_ip_address_converts_to_the_standard_library_and_back() {
    for text in ["inet:127.0.0.1:8082", "inet6:[fe80::1%2]:8082"] {
        let address: Address = text.parse().unwrap();
        let standard = SocketAddr::try_from(address.clone()).unwrap();
        assert_eq!(Address::from(standard), address);
        let datagrams = Address::new(standard, SocketType::Datagram).unwrap();
        assert_eq!(SocketAddr::try_from(datagrams).unwrap(), standard);
    }
    let local: Address = "unix:@name".parse().unwrap();
    let refused = SocketAddr::try_from(local).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert_eq!(refused.address(), "unix:@name");
}
