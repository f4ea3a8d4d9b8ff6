//! A TCP peer that vanishes without a word is noticed, also when nothing is to be sent.

use crate::support::{Done, in_own_network, require_peer, required, sok};

/// Runs `here` in a network with a second host, which runs `there`, with its process in `$peer`, and
/// loses its link when `vanish` is called. Our address is 192.0.2.1, that of the host 192.0.2.2.
fn with_a_host_that_vanishes(there: &str, here: &str) -> Option<Done> {
    if !require_peer("ip") {
        return None;
    }
    let script = format!(
        r#"
        d=$(mktemp -d) && mkfifo "$d/ready" "$d/go" "$d/up" "$d/vanish" "$d/log" || exit 99
        unshare --net sh -c '
            echo > "$1/ready"
            read -r line < "$1/go"
            ip address add 192.0.2.2/24 dev there && ip link set there up && ip link set lo up
            {there}
            read -r line < "$1/vanish"
            ip link set there down
            echo > "$1/up"
            read -r line < "$1/vanish"
            kill $peer' sh "$d" &
        host=$!
        read -r line < "$d/ready"
        ip link add here type veth peer name there netns $host || exit 99
        ip address add 192.0.2.1/24 dev here && ip link set here up || exit 99
        vanish() {{ echo > "$d/vanish"; read -r line < "$d/up"; }}
        {here}
        code=$?
        echo > "$d/vanish"
        wait $host
        rm -r "$d"
        exit $code"#
    );
    let done = in_own_network(&script);
    required("network namespaces", done.is_some());
    done
}

#[test]
fn a_server_detects_a_dead_client() {
    let there = r#"read -r line < "$1/up"
        "$SOK" connect --retry-for 60s inet:192.0.2.1:1 < "$1/log" > /dev/null 2>&1 & peer=$!
        exec 9> "$1/log""#;
    let here = r#"
        echo > "$d/go"
        { "$SOK" serve -v --once --keepalive 1s inet:192.0.2.1:1 2>&1; echo "code $?"; } | {
            while read -r line; do
                echo "$line"
                case $line in
                *"listening on"*) echo > "$d/up" ;;
                *connected*) vanish ;;
                esac
            done
        }"#;
    let Some(done) = with_a_host_that_vanishes(there, here) else {
        return;
    };
    assert!(
        done.text().contains("timed out"),
        "{} {}",
        done.text(),
        done.stderr
    );
    assert!(done.text().contains("code 124"), "{}", done.text());
}

#[test]
fn a_client_detects_a_dead_server() {
    let there = r#""$SOK" serve inet:192.0.2.2:1 2> /dev/null & peer=$!"#;
    let here = r#"
        echo > "$d/go"
        mkfifo "$d/input" "$d/said"
        "$SOK" connect -v --retry-for 60s --keepalive 1s inet:192.0.2.2:1 < "$d/input" 2> "$d/said" &
        client=$!
        exec 8> "$d/input" 7< "$d/said"
        # It may first say why it waits.
        while read -r line <&7; do
            case $line in *connected*) break ;; esac
        done
        vanish
        wait $client
        echo "code $?"
        cat <&7"#;
    let Some(done) = with_a_host_that_vanishes(there, here) else {
        return;
    };
    assert!(
        done.text().contains("code 124"),
        "{} {}",
        done.text(),
        done.stderr
    );
    assert!(
        done.text().contains("192.0.2.2:1: Connection timed out"),
        "{}",
        done.text()
    );
}

#[test]
fn keepalive_takes_whole_seconds_or_off() {
    for (value, why) in [
        ("0s", "from 1s"),
        ("500ms", "from 1s"),
        ("10h", "to 9h"),
        ("on", "or off"),
    ] {
        let done = sok(&["connect", "inet:127.0.0.1:1", "--keepalive", value]);
        assert_eq!(done.code, 2, "{}", done.stderr);
        assert!(done.stderr.contains(why), "{}", done.stderr);
    }
    let done = sok(&["connect", "inet:127.0.0.1:1", "--keepalive", "off"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
}

#[test]
fn keepalive_is_refused_where_no_socket_is_of_tcp() {
    for words in [
        &["serve", "@a"][..],
        &["serve", "udp4:127.0.0.1:0"],
        &["call", "unixpacket:@a"],
        &["connect", "udp:localhost:1"],
        &["relay", "@a", "unix:@b"],
    ] {
        let done = sok(&[words, &["--keepalive", "1s"]].concat());
        assert_eq!(done.code, 2, "{}", done.stderr);
        let why = "--keepalive applies only to TCP";
        assert!(done.stderr.contains(why), "{}", done.stderr);
        assert!(
            done.stderr.contains(words[1].trim_start_matches("unix:")),
            "{}",
            done.stderr
        );
    }
}
