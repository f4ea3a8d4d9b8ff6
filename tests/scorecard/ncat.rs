//! ncat.

use super::{Different, Fact, NotDone, Pass, Suite};

pub(super) static SUITE: Suite = Suite {
    program: "ncat",
    source: "`ncat/test/ncat-test.pl` of nmap, as of 21 August 2026; a test that runs over TCP and UDP counts once.",
    left_out: "TLS, SCTP, HTTP and SOCKS proxies, Lua.",
    facts: &[
        Fact {
            tests: &[
                "Server default listen address and port",
                "Server default port",
                "Server -4 default listen address and port",
                "Server -6 default listen address and port",
            ],
            fact: "A listener without a port listens on a fixed one.",
            verdict: Different(
                "a port that nobody asked for collides; an address has its port, and 0 is a free one",
                &["addresses::an_address_error_names_the_wrong_part_and_the_known_prefixes"],
            ),
        },
        Fact {
            tests: &[
                "Server default listen address",
                "Server default listen address --udp IPV4 + IPV6",
            ],
            fact: "A listener on a port without a host is reached over IPv4 and IPv6.",
            verdict: Pass(&[
                "dual_stack::an_empty_host_listens_on_both_network_families_and_reports_it",
            ]),
        },
        Fact {
            tests: &[
                "Server default listen address --udp IPV4",
                "Server default listen address --udp IPV6",
                "Server default listen address -4 --udp",
                "Server default listen address -6 --udp",
            ],
            fact: "A listener on every address of one family is reached in that family over UDP.",
            verdict: Pass(&[
                "scorecard::shown::every_address_of_one_family_is_no_address_of_the_other",
            ]),
        },
        Fact {
            tests: &[
                "Server default listen address -6 --udp not IPv4",
                "Server default listen address -4 --udp not IPv6",
            ],
            fact: "A listener on every address of one family is not reached in the other one.",
            verdict: Pass(&[
                "scorecard::shown::every_address_of_one_family_is_no_address_of_the_other",
                "dual_stack::with_v6only_an_ipv4_client_is_refused",
                "dual_stack::every_ipv4_address_is_not_dual_stack",
            ]),
        },
        Fact {
            tests: &[
                "Connect fallback with IPv4 server",
                "Connect fallback with IPv6 server",
            ],
            fact: "A client of a name tries its other addresses if one is refused.",
            verdict: Pass(&["several_addresses::every_command_reaches_the_address_that_answers"]),
        },
        Fact {
            tests: &[
                "Server UNIX socket listen (STREAM)",
                "Server UNIX socket listen --udp (DGRAM)",
            ],
            fact: "Data pass over a socket file, as a stream and as datagrams.",
            verdict: Pass(&[
                "peers::ncat_sends_and_receives_everything",
                "message_peers::ncat_sends_datagrams_and_gets_the_answers",
            ]),
        },
        Fact {
            tests: &["Connect success exit code", "Listen success exit code"],
            fact: "A client, and a listener for one client, exit with 0 after a good connection.",
            verdict: Pass(&[
                "connect::a_large_transfer_works_both_ways_at_once",
                "stdio::messages_pass_both_ways_and_the_client_ends_it",
            ]),
        },
        Fact {
            tests: &[
                "Connect connection refused exit code",
                "-z client with connection refused exit code (tcp)",
                "-z client with connection refused exit code (udp)",
            ],
            fact: "A refused connection is an exit code other than 0.",
            verdict: Pass(&[
                "errors::no_server_is_3",
                "check_address::no_server_is_3",
                "message_clients::no_server_is_exit_code_3",
            ]),
        },
        Fact {
            tests: &[
                "Connect connection interrupted exit code",
                "Listen connection interrupted exit code",
            ],
            fact: "A reset during the connection is an exit code other than 0, for the client and for the listener.",
            verdict: Pass(&[
                "errors::a_reset_after_a_part_of_the_data_is_6",
                "stdio::a_reset_by_the_client_is_exit_code_6",
            ]),
        },
        Fact {
            tests: &["Program error exit code"],
            fact: "A wrong option is exit code 2.",
            verdict: Pass(&["errors::a_usage_error_is_2_and_one_line"]),
        },
        Fact {
            tests: &["Messages are logged to output file"],
            fact: "A file gets what is sent and received on a connection.",
            verdict: Pass(&[
                "dump::a_dump_into_a_file_is_hexadecimal",
                "relay_messages::a_dump_shows_each_message",
            ]),
        },
        Fact {
            tests: &["Debug messages go to stderr"],
            fact: "Reports are on standard error, and standard output has the data only.",
            verdict: Pass(&["scorecard::shown::reports_are_never_among_the_data"]),
        },
        Fact {
            tests: &[
                "Client closes socket write and stops running after stdin EOF",
                "--send-only client closes socket write and stops running after stdin EOF",
            ],
            fact: "At the end of its input a client half-closes, and ends when its peer has ended.",
            verdict: Pass(&[
                "connect::end_of_input_half_closes_the_connection",
                "connect::a_reply_long_after_the_half_close_is_complete",
                "one_way::send_only_ends_with_its_input_although_the_peer_stays",
            ]),
        },
        Fact {
            tests: &["Client -k closes socket write and keeps running after stdin EOF"],
            fact: "With an option, a client stays after the end of its input.",
            verdict: Pass(&[
                "connect::a_reply_long_after_the_half_close_is_complete",
                "connect::with_no_half_close_the_sending_half_stays_open",
            ]),
        },
        Fact {
            tests: &["Server closes socket write and keeps running after stdin EOF"],
            fact: "At the end of its input a listener half-closes and goes on receiving.",
            verdict: Pass(&["stdio::each_half_may_end_first"]),
        },
        Fact {
            tests: &["--send-only server closes socket write and stops running after stdin EOF"],
            fact: "A listener that only sends ends with its input.",
            verdict: Pass(&["one_way::a_sender_and_a_receiver_pass_all_of_the_input"]),
        },
        Fact {
            tests: &[
                "Client closes stdout and stops running after socket EOF",
                "--recv-only client closes stdout and stops running after socket EOF",
            ],
            fact: "A client whose peer has ended closes its output and ends.",
            verdict: Pass(&[
                "connect::the_peers_end_of_file_ends_the_exchange_with_open_input",
                "one_way::receive_only_ends_with_the_peer_which_sees_no_end",
            ]),
        },
        Fact {
            tests: &["Client -k closes stdout and keeps running after socket EOF"],
            fact: "With an option, a client whose peer has ended closes its output and goes on sending.",
            verdict: Pass(&[
                "connect::with_keep_sending_later_input_reaches_a_half_closed_peer",
                "connect::the_output_is_closed_at_the_peers_end_while_input_continues",
            ]),
        },
        Fact {
            tests: &[
                "Server closes stdout and keeps running after socket EOF",
                "Server closes stdout and stops running after socket EOF",
                "--recv-only server closes stdout and stops running after socket EOF",
            ],
            fact: "A listener whose client has ended closes its output.",
            verdict: Pass(&[
                "stdio::its_output_ends_with_the_client",
                "stdio_peers::what_tar_reads_ends_with_the_client",
            ]),
        },
        Fact {
            tests: &[
                "Server quits without --keep-open",
                "Server does not accept multiple conns. without --keep-open",
            ],
            fact: "A listener on the standard streams serves one client; a second one is refused.",
            verdict: Pass(&["stdio::a_second_client_is_refused"]),
        },
        Fact {
            tests: &["Server with --exec quits without --keep-open"],
            fact: "A server that runs a program ends after its first client, if no option keeps it.",
            verdict: Different(
                "a server serves until it is stopped; `--once` ends it after one connection",
                &[
                    "connection_loop::with_once_a_server_serves_one_connection_and_frees_the_address",
                ],
            ),
        },
        Fact {
            tests: &["--keep-open"],
            fact: "A listener on the standard streams that stays open gets the data of all its clients at once.",
            verdict: Different(
                "clients are served in turn, so that their data do not mix",
                &["stdio_kept::many_clients_at_once_are_served_in_turn"],
            ),
        },
        Fact {
            tests: &["--keep-open --exec", "--keep-open --exec (udp)"],
            fact: "A server runs a program for each of several clients at once.",
            verdict: Pass(&[
                "exec::programs_for_many_clients_run_at_once",
                "sessions::the_sessions_of_two_peers_are_apart",
            ]),
        },
        Fact {
            tests: &["--exec", "--sh-exec"],
            fact: "Data pass through a program, which may be a line of the shell.",
            verdict: Pass(&[
                "exec::a_program_reads_and_writes_at_once",
                "messages::every_message_passes_through_a_program",
            ]),
        },
        Fact {
            tests: &["--exec, quits instantly"],
            fact: "The output of a program that ends at once arrives.",
            verdict: Pass(&[
                "exec_streams::a_reply_arrives_complete_although_the_request_was_not_read",
            ]),
        },
        Fact {
            tests: &[
                "--exec, environment variables",
                "--sh-exec, environment variables",
            ],
            fact: "The environment of the program has both addresses and the protocol.",
            verdict: Pass(&[
                "exec::the_environment_describes_the_client",
                "messages::the_environment_names_the_type_of_socket",
            ]),
        },
        Fact {
            tests: &[
                "-C translation on input",
                "-C server no translation on output",
                "-C client no translation on output",
                "--sh-exec with -C",
            ],
            fact: "An option turns line feeds of the input into carriage return and line feed.",
            verdict: NotDone("bytes are passed unchanged; `sed 's/$/\\r/'` in the pipe does it"),
        },
        Fact {
            tests: &["idle timeout (connect mode)", "idle timeout (listen mode)"],
            fact: "A connection on which nothing passes ends after a time that was asked for.",
            verdict: Pass(&[
                "connect::the_idle_timeout_ends_a_silent_connection",
                "stdio::a_silent_client_times_out",
            ]),
        },
        Fact {
            tests: &["--send-only client", "--send-only server"],
            fact: "Who only sends prints nothing of what it receives.",
            verdict: Pass(&[
                "one_way::messages_are_sent_only_and_what_comes_is_discarded",
                "one_way::send_only_closes_its_output_at_once",
            ]),
        },
        Fact {
            tests: &["--recv-only client", "--recv-only server"],
            fact: "Who only receives sends nothing of its input.",
            verdict: Pass(&["one_way::receive_only_leaves_the_input_to_others"]),
        },
        Fact {
            tests: &[
                "--broker mode (tcp)",
                "IPV4 and IPV6 clients can talk to each other in broker mode",
                "--send-only broker",
                "--recv-only broker",
                "--broker server keeps connection count properly.",
                "--max-conns N --broker",
            ],
            fact: "A server sends what one client sends to all others.",
            verdict: NotDone("no service joins several connections; each one has its own"),
        },
        Fact {
            tests: &["Connect with -p", "Connect to UNIX datagram socket with -s"],
            fact: "A server sees the address, or the path, that its client is bound to.",
            verdict: Pass(&[
                "connect::the_server_sees_the_address_that_the_client_bound",
                "message_clients::a_client_has_the_name_that_it_is_bound_to",
            ]),
        },
        Fact {
            tests: &[
                "Allow localhost (IPv4 address)",
                "--allow options accumulate",
                "Allow non-localhost",
            ],
            fact: "With rules that allow, who matches one of them is served, and no other client.",
            verdict: Pass(&[
                "access::a_client_that_no_rule_allows_is_refused",
                "access_rules::an_address_is_matched_by_its_prefixes_over_tcp",
                "access_rules::an_address_is_matched_by_its_prefixes_over_udp",
            ]),
        },
        Fact {
            tests: &[
                "Deny localhost (IPv4 address)",
                "Deny non-localhost",
                "--deny options accumulate",
            ],
            fact: "Who matches one of several rules that deny is refused, and any other client is served.",
            verdict: Pass(&[
                "access::a_denied_client_is_refused_before_anything_is_received",
                "access_rules::an_address_is_matched_by_its_prefixes_over_tcp",
            ]),
        },
        Fact {
            tests: &["Allow localhost (host name)", "Deny localhost (host name)"],
            fact: "A rule may be a host name.",
            verdict: Different(
                "a name may change after the start, and who controls it would pass the rule: rules are addresses, users and groups",
                &["access_rules::a_wrong_rule_is_an_error_that_says_what_to_write"],
            ),
        },
        Fact {
            tests: &["Allow and deny"],
            fact: "A rule that denies wins over one that allows, in any order.",
            verdict: Different(
                "the first rule that matches decides, as in packet filters: then a range may have exceptions of both kinds",
                &["access::the_rules_of_options_come_before_those_of_the_file"],
            ),
        },
        Fact {
            tests: &["--allowfile", "--denyfile"],
            fact: "Rules can be read from a file.",
            verdict: Pass(&["access::sighup_reads_the_rules_again_and_open_connections_stay"]),
        },
        Fact {
            tests: &["--keep-open server keeps connection count properly."],
            fact: "The place of a connection that has ended is free for the next one.",
            verdict: Pass(&["connection_loop::clients_above_the_limit_wait_in_the_backlog"]),
        },
        Fact {
            tests: &[
                "--max-conns N --keep-open",
                "--max-conns N --keep-open with exec",
            ],
            fact: "A client above the limit of connections is refused.",
            verdict: Different(
                "it waits in the backlog until a place is free, and then is served",
                &["connection_loop::clients_above_the_limit_wait_in_the_backlog"],
            ),
        },
        Fact {
            tests: &["-z client with Connect success exit code (tcp)"],
            fact: "A check for a server exits with 0 if it accepts, and sends no data.",
            verdict: Pass(&["wait::a_server_that_accepts_ends_the_wait"]),
        },
        Fact {
            tests: &["-z client sends \"\\0\" to server and exits with success exit code (udp)"],
            fact: "A check for a UDP server sends a datagram with a zero byte.",
            verdict: Different(
                "a server would take it for a message; nothing is sent",
                &[
                    "wait_messages::a_wait_sends_nothing_to_a_datagram_server",
                    "check_address::a_receiver_gets_nothing_from_a_check",
                ],
            ),
        },
    ],
};
