//! OpenBSD's nc.

use super::{Different, Fact, Pass, Suite};

pub(super) static SUITE: Suite = Suite {
    program: "OpenBSD nc",
    source: "`regress/usr.bin/nc` of OpenBSD, read in 2026.",
    left_out: "TLS (17 tests).",
    facts: &[
        Fact {
            tests: &["tcp", "tcp6", "unix", "unix-namelookup"],
            fact: "What a listener and a client each send on a stream arrives at the other one.",
            verdict: Pass(&[
                "peers::nc_sends_and_receives_everything",
                "stdio::messages_pass_both_ways_and_the_client_ends_it",
            ]),
        },
        Fact {
            tests: &["udp", "udp6", "unix-dgram", "unix-dgram-namelookup"],
            fact: "What a listener and a client each send as a datagram arrives at the other one.",
            verdict: Pass(&["stdio::messages_pass_both_ways_and_the_client_ends_it"]),
        },
        Fact {
            tests: &["tcp-localhost-server", "tcp6-localhost-server"],
            fact: "A listener on a name with a family listens on the address of that family.",
            verdict: Pass(&[
                "dual_stack::a_server_on_a_name_with_a_family_listens_only_in_that_family",
            ]),
        },
        Fact {
            tests: &["tcp-localhost-client", "tcp6-localhost-client"],
            fact: "A client of a name with a family connects to the address of that family.",
            verdict: Pass(&["scorecard::shown::a_name_is_looked_up_in_the_family_of_the_word"]),
        },
        Fact {
            tests: &["udp-localhost", "udp6-localhost"],
            fact: "A name with a family is looked up in that family for datagrams too.",
            verdict: Pass(&["scorecard::shown::a_name_is_looked_up_in_the_family_of_the_word"]),
        },
        Fact {
            tests: &[
                "tcp-bad-localhost-server",
                "tcp6-bad-localhost-server",
                "tcp-bad-localhost-client",
                "tcp6-bad-localhost-client",
            ],
            fact: "An address of the other family than the one asked for is an error.",
            verdict: Pass(&["scorecard::shown::an_address_of_the_other_family_is_a_usage_error"]),
        },
        Fact {
            tests: &["udp-udptest"],
            fact: "A verbose client first sends four datagrams of its own to see whether a server is there.",
            verdict: Different(
                "a check sends nothing that a server would take for a message",
                &["wait_messages::a_wait_sends_nothing_to_a_datagram_server"],
            ),
        },
        Fact {
            tests: &["unix-dgram-clientsock"],
            fact: "A client of a datagram socket file gets its answer at the path that it is bound to.",
            verdict: Pass(&["message_clients::a_client_has_the_name_that_it_is_bound_to"]),
        },
    ],
};
