//! TCP on loopback, on a machine whose congestion control paces.

use crate::support::{in_own_network, require_peer, required};

#[test]
fn no_end_of_a_relayed_connection_is_paced_on_loopback() {
    if !require_peer("ss") {
        return;
    }
    // In this network there is nobody else to have the ports. The program that serves the
    // connection prints what the kernel knows of each.
    let script = r#"
        ip link set lo up && echo bbr > /proc/sys/net/ipv4/tcp_congestion_control || exit 99
        "$SOK" serve inet:127.0.0.1:2 --exec ss -tinHO & server=$!
        "$SOK" relay inet6:[::1]:1 inet:127.0.0.1:2 & relay=$!
        "$SOK" wait --timeout 60s inet6:[::1]:1 inet:127.0.0.1:2 &&
            "$SOK" connect inet6:[::1]:1 < /dev/null
        code=$?
        kill $server $relay
        exit $code"#;
    let done = in_own_network(script);
    if !required("a network with BBR", done.is_some()) {
        return;
    }
    let done = done.unwrap();
    assert_eq!(done.code, 0, "{}", done.stderr);
    for port in [1, 2] {
        let ends = |word: &str| {
            let is_end = |line: &&str| line.contains(&format!(":{port} ")) && line.contains(word);
            done.text().lines().filter(is_end).count()
        };
        assert!(ends(" reno ") >= 2, "{}", done.text());
        assert_eq!(ends(" bbr "), 0, "{}", done.text());
    }
}
