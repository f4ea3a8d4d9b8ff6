//! Addresses as they are written, read and printed; no socket is opened here.

use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use sok::address::{Purpose, SUN_PATH_MAX, SocketName, UnixName};
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
        text in r"(unix|inet|inet6|tcp|tcp4)?:?[@/.\[]?[0-9a-f:.%\\x\]@]{0,20}(:[0-9]{0,6})?"
    ) {
        if let Ok(target) = Target::parse(&text) {
            // What was understood is printed in a form that is understood in the same way.
            prop_assert_eq!(Target::parse(target.to_string()).unwrap(), target);
        }
    }
}

#[test]
fn a_host_is_a_visible_word() {
    for host in ["a b", "a\u{9b}", "a\u{202e}b"] {
        let error = Target::parse(format!("{host}:80")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        let cause = error.cause().to_string();
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
    ] {
        let target = Target::parse(written).unwrap();
        assert_eq!(target.to_string(), full, "written {written}");
        assert_eq!(Target::parse(full).unwrap(), target, "printed {full}");
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
    let known = "inet: tcp4: udp4: inet6: tcp6: udp6: unix: unixpacket: unixgram: tcp: udp:";
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
            .contains("the host is empty; give the host")
    );
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
        assert_eq!(Address::from(standard), address);
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
    }
    let local: Address = "unix:@name".parse().unwrap();
    let refused = SocketAddr::try_from(local).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert_eq!(refused.address(), "unix:@name");
}
