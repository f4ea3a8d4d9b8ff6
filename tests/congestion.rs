//! TCP on loopback, on a machine whose congestion control paces: in a network namespace, where all
//! ports are free.

use crate::support::{Done, in_own_network, require_peer, required, sok};

/// Runs a script in a network whose TCP paces, if possible.
fn in_bbr_network(script: &str) -> Option<Done> {
    let bbr = "echo bbr > /proc/sys/net/ipv4/tcp_congestion_control";
    in_own_network(&format!("ip link set lo up && {bbr} || exit 99; {script}"))
}

/// What the ends of a relayed connection have, each server and client with `option`; `None` where
/// there is no such network.
fn relayed_with(option: &str) -> Option<Done> {
    // The program that serves the connection prints what the kernel knows of each.
    let script = r#"
        "$SOK" serve OPTION inet:127.0.0.1:2 --exec ss -tinHO & server=$!
        "$SOK" relay OPTION inet6:[::1]:1 inet:127.0.0.1:2 & relay=$!
        "$SOK" wait --timeout 60s inet6:[::1]:1 inet:127.0.0.1:2 &&
            "$SOK" connect OPTION inet6:[::1]:1 < /dev/null
        code=$?
        kill $server $relay
        exit $code"#;
    in_bbr_network(&script.replace("OPTION", option))
}

#[test]
fn each_end_has_the_requested_congestion_control() {
    if !require_peer("ss") {
        return;
    }
    let done = relayed_with("--congestion bbr");
    if !required("BBR", done.is_some()) {
        return;
    }
    let done = done.unwrap();
    assert_eq!(done.code, 0, "{}", done.stderr);
    let ends = |word: &str| done.text().lines().filter(|end| end.contains(word)).count();
    assert!(ends(" bbr ") >= 4, "{}", done.text());
    assert_eq!(ends(" reno "), 0, "{}", done.text());
}

#[test]
fn an_unknown_congestion_control_is_refused_at_the_start() {
    for (words, expected) in [
        (&["serve", "inet:127.0.0.1:0"][..], "use one of these: "),
        (&["connect", "inet:127.0.0.1:1"], "use one of these: "),
        (&["relay", "@a", "inet:127.0.0.1:1"], "use one of these: "),
        (&["serve", "@a"], "--congestion applies only to TCP"),
        (&["call", "@a"], "--congestion applies only to TCP"),
        (&["relay", "@a", "@b"], "--congestion applies only to TCP"),
    ] {
        let done = sok(&[words, &["--congestion", "nothing"]].concat());
        assert_eq!(done.code, 2, "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(expected), "{words:?}: {}", done.stderr);
    }
}

#[test]
fn no_end_of_a_relayed_connection_is_paced_on_loopback() {
    if !require_peer("ss") {
        return;
    }
    let done = relayed_with("");
    if !required("BBR", done.is_some()) {
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

#[test]
fn bench_uses_the_congestion_control_of_the_system() {
    if !require_peer("ss") {
        return;
    }
    let script = r#"
        d=$(mktemp -d) && mkfifo "$d/in" "$d/talk" "$d/input" "$d/talk2"
        "$SOK" bench-server --family inet --role echo < "$d/in" 2> "$d/talk" &
        exec 3> "$d/in" 4< "$d/talk" && read -r line <&4
        echo "${line#listening on inet:}"
        "$SOK" connect -v "${line#listening on }" < "$d/input" 2> "$d/talk2" &
        exec 5> "$d/input" 6< "$d/talk2" && read -r line <&6
        ss -tinHO
        exec 5>&- 3>&-
        wait
        rm -r "$d""#;
    let done = in_bbr_network(script);
    if !required("BBR", done.is_some()) {
        return;
    }
    let text = done.unwrap().text();
    let (server, ends) = text.split_once('\n').unwrap();
    let own = |line: &&str| line.split_whitespace().nth(3) == Some(server);
    let end = ends.lines().find(own).unwrap();
    assert!(end.contains(" bbr "), "{text}");
}
