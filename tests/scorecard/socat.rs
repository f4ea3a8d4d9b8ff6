//! socat.

use super::{Different, Fact, NotDone, Pass, Suite};

pub(super) static SUITE: Suite = Suite {
    program: "socat",
    source: "`test.sh` of socat 1.8.0.0; names that the script makes of a table are written in full.",
    left_out: "files, pipes, terminals, TLS, raw IP, TUN, VSOCK, SCTP, DCCP, UDP-Lite, POSIX message queues, SOCKS and HTTP proxies, the syntax of its addresses and its helper programs.",
    facts: &[
        Fact {
            tests: &[
                "UNIXSTREAM",
                "TCP4",
                "TCP6",
                "ABSTRACTSTREAM",
                "SOCKET_CONNECT_TCP4",
                "SOCKET_CONNECT_TCP6",
                "SOCKET_CONNECT_UNIX",
                "SOCKET_LISTEN",
                "GOPEN_UNIX_CRASH",
            ],
            fact: "What a client sends to a listener comes back, over each family of stream sockets.",
            verdict: Pass(&[
                "peers::socat_sends_and_receives_everything",
                "harness::a_server_answers_a_raw_client",
                "harness::a_raw_server_answers_the_program",
            ]),
        },
        Fact {
            tests: &["TCPX4", "TCPX6"],
            fact: "The family of a TCP connection follows from the host.",
            verdict: Pass(&["scorecard::shown::the_family_follows_from_the_host"]),
        },
        Fact {
            tests: &[
                "UDP4STREAM",
                "UDP6STREAM",
                "UDP4DGRAM",
                "UDP6DGRAM",
                "UNIXDGRAM",
                "ABSTRACTDGRAM",
                "SOCKET_SENDTO",
                "SOCKET_RECVFROM",
                "SOCKET_DATAGRAM",
            ],
            fact: "A datagram is answered to its sender, over each family.",
            verdict: Pass(&[
                "message_peers::socat_sends_messages_and_gets_the_answers",
                "message_peers::socat_answers_call_and_connect",
            ]),
        },
        Fact {
            tests: &[
                "UDP4RECV",
                "UDP6RECV",
                "UNIXRECV",
                "ABSTRACTRECV",
                "SOCKET_RECV",
            ],
            fact: "The datagrams of any sender are written to the output, and none is answered.",
            verdict: Pass(&[
                "one_way::a_sender_and_a_receiver_pass_all_of_the_input",
                "stdio_kept::the_datagrams_of_all_peers_are_printed",
            ]),
        },
        Fact {
            tests: &["UDP_DATAGRAM_PEERPORT"],
            fact: "A datagram from another port than that of the peer is taken.",
            verdict: Different(
                "a client hears only its peer, so that no other process can answer for it; a listener hears everybody",
                &["stdio_kept::the_datagrams_of_all_peers_are_printed"],
            ),
        },
        Fact {
            tests: &[
                "GOPENUNIXSTREAM",
                "GOPENUNIXSEQPACKET",
                "GOPENUNIXDGRAM",
                "UNIXTOSTREAM",
                "UNIXTODGRAM",
            ],
            fact: "A client of a socket file finds its type out by trying.",
            verdict: Different(
                "the type is a part of the address, and a wrong one is an error that names it; a script that means a stream does not send datagrams by surprise",
                &[
                    "errors::a_socket_of_another_type_is_not_a_stream_socket",
                    "message_clients::a_socket_file_of_another_type_is_named",
                ],
            ),
        },
        Fact {
            tests: &["TCPSELF", "UDPSELF", "UDP6SELF", "DUALUDPSELF"],
            fact: "A socket that connects to its own address receives what it sends.",
            verdict: Different(
                "nobody is there: a client of itself takes its request for the answer",
                &["scorecard::shown::a_client_of_its_own_address_finds_no_server"],
            ),
        },
        Fact {
            tests: &["IPV6ONLY0", "TCP6BYTCP4"],
            fact: "A listener on every IPv6 address takes IPv4 clients too, unless that is turned off.",
            verdict: Pass(&[
                "dual_stack::an_empty_host_listens_on_both_network_families_and_reports_it",
                "dual_stack::an_ipv4_client_of_a_dual_stack_server_has_an_ipv4_address",
            ]),
        },
        Fact {
            tests: &["IPV6ONLY1"],
            fact: "With an option, a listener on every IPv6 address takes no IPv4 client.",
            verdict: Pass(&["dual_stack::with_v6only_an_ipv4_client_is_refused"]),
        },
        Fact {
            tests: &[
                "LISTEN_OPTION_4",
                "LISTEN_OPTION_6",
                "LISTEN_PF_IP4",
                "LISTEN_PF_IP6",
            ],
            fact: "The family to listen in can be asked for.",
            verdict: Pass(&[
                "dual_stack::a_server_on_a_name_with_a_family_listens_only_in_that_family",
                "dual_stack::every_ipv4_address_is_not_dual_stack",
                "scorecard::shown::every_address_of_one_family_is_no_address_of_the_other",
            ]),
        },
        Fact {
            tests: &["ENV_LISTEN_4", "ENV_LISTEN_6"],
            fact: "A variable of the environment says which family a port without a host is in.",
            verdict: Different("an address means the same in every environment", &[]),
        },
        Fact {
            tests: &[
                "UNIXCONNECT_HALFCLOSE",
                "UNIXCLIENT_HALFCLOSE",
                "GOPEN_UNIXSTREAM_HALFCLOSE",
                "TCP4CONNECT_HALFCLOSE",
                "TCP6CONNECT_HALFCLOSE",
            ],
            fact: "A client that has half-closed gets an answer that comes only then.",
            verdict: Pass(&["connect::a_reply_long_after_the_half_close_is_complete"]),
        },
        Fact {
            tests: &[
                "UNIXLISTEN_HALFCLOSE",
                "TCP4LISTEN_HALFCLOSE",
                "TCP6LISTEN_HALFCLOSE",
            ],
            fact: "A listener passes the half-close of its client on, and the answer back.",
            verdict: Pass(&[
                "exec::a_program_gets_end_of_file_and_can_still_answer",
                "stdio::a_reply_after_the_end_of_input_is_complete",
                "relay_closed::a_half_closed_client_still_gets_its_reply",
            ]),
        },
        Fact {
            tests: &[
                "EXECSOCKETPAIR",
                "SYSTEMSOCKETPAIR",
                "EXECPIPES",
                "SYSTEMPIPES",
                "SHELL_SOCKETPAIR",
            ],
            fact: "Bytes pass through a program both ways.",
            verdict: Pass(&[
                "exec::a_program_reads_and_writes_at_once",
                "connect_exec::a_program_reads_and_writes_at_once",
            ]),
        },
        Fact {
            tests: &[
                "EXECSOCKETPAIRFLUSH",
                "SYSTEMSOCKETPAIRFLUSH",
                "EXECPIPESFLUSH",
                "SYSTEMPIPESFLUSH",
                "SHELL_SOCKETPAIR_FLUSH",
                "SHELL_PIPES_FLUSH",
            ],
            fact: "A program that answers at the end of its input still can.",
            verdict: Pass(&[
                "exec::a_program_gets_end_of_file_and_can_still_answer",
                "connect_exec::a_program_sees_the_end_of_the_server_and_can_still_send",
            ]),
        },
        Fact {
            tests: &["UNIEXECEOF", "REVEXECEOF"],
            fact: "A program that only writes or only reads may finish.",
            verdict: Pass(&[
                "connect_exec::what_a_program_wrote_arrives_although_it_read_nothing",
                "exec_streams::a_program_may_close_its_output_and_continue_to_read",
            ]),
        },
        Fact {
            tests: &["IGNOREEOFNOBLOCK"],
            fact: "An end of file that is not passed on does not hold up the other direction.",
            verdict: Pass(&[
                "connect::with_keep_sending_later_input_reaches_a_half_closed_peer",
                "connect::with_no_half_close_the_sending_half_stays_open",
            ]),
        },
        Fact {
            tests: &["MULTIPLE_EOF"],
            fact: "An end of file is acted on once.",
            verdict: Pass(&["trace::an_exchange_shows_the_same_steps"]),
        },
        Fact {
            tests: &["SHUTNULLEOF"],
            fact: "An empty datagram can be sent and taken as the end.",
            verdict: Different(
                "an empty message is a message: whoever sends one must not end a server for all",
                &["messages::the_end_is_no_message_and_an_empty_message_no_end"],
            ),
        },
        Fact {
            tests: &["INCOMPLETE_WRITE"],
            fact: "What a write did not take at once is written later.",
            verdict: Pass(&["connect::non_blocking_standard_streams_lose_nothing"]),
        },
        Fact {
            tests: &["COOLWRITE"],
            fact: "With an option, an output that nobody takes is no error.",
            verdict: Different(
                "a peer that closes with data unsent is exit code 6: nothing is lost in silence",
                &["errors::a_peer_that_closes_while_we_send_exits_with_6"],
            ),
        },
        Fact {
            tests: &["READBYTES", "READBYTES_EOF"],
            fact: "A transfer ends after a number of bytes, even if the peer then stays silent.",
            verdict: Pass(&["call::a_reply_of_a_given_size_ends_with_its_last_byte"]),
        },
        Fact {
            tests: &["TOTALTIMEOUT", "IGNOREEOF+TOTALTIMEOUT"],
            fact: "A connection on which nothing passes ends after a time that was asked for.",
            verdict: Pass(&[
                "connect::the_idle_timeout_ends_a_silent_connection",
                "idle::a_silent_client_is_disconnected",
                "relay_options::an_idle_connection_is_closed",
            ]),
        },
        Fact {
            tests: &["CONNECTTIMEOUT"],
            fact: "A connection that is not accepted ends with a time limit.",
            verdict: Pass(&["errors::a_connection_that_is_not_accepted_in_time_is_124"]),
        },
        Fact {
            tests: &["CONNECTTIMEOUT_CONN"],
            fact: "With a time limit for connecting, a server that accepts is reached.",
            verdict: Pass(&[
                "scorecard::shown::a_server_that_accepts_is_reached_within_a_time_limit",
            ]),
        },
        Fact {
            tests: &["TCP_TIMEOUT_RETRY"],
            fact: "A time limit and retries work together.",
            verdict: Pass(&["call::a_time_limit_ends_the_retries_and_reports_why_they_failed"]),
        },
        Fact {
            tests: &["ACCEPTTIMEOUT"],
            fact: "A listener without a client ends after a time that was asked for.",
            verdict: Pass(&[
                "access_limits::a_server_without_clients_ends_after_the_accept_timeout",
            ]),
        },
        Fact {
            tests: &["TCP4LISTENFORK", "TCP6LISTENFORK", "UNIXLISTENFORK"],
            fact: "Two clients are served at once.",
            verdict: Pass(&["connection_loop::many_clients_are_served_at_once"]),
        },
        Fact {
            tests: &[
                "UDP4LISTENFORK",
                "UDP6LISTENFORK",
                "UDPLISTENFORK",
                "UDP4RECVFROM_FORK",
                "UDP4_FORK",
                "UDP6_FORK",
                "UNIX_FORK",
            ],
            fact: "The senders of datagrams are served beside one another, and one after another.",
            verdict: Pass(&[
                "sessions::the_sessions_of_two_peers_are_apart",
                "sessions::a_thousand_peers_are_all_answered",
            ]),
        },
        Fact {
            tests: &["UDP4LISTEN_SIGCHLD", "UDP4RECVFROM_SIGCHLD"],
            fact: "The program of a sender of datagrams leaves no zombie.",
            verdict: Pass(&["scorecard::shown::a_program_that_has_ended_leaves_no_zombie"]),
        },
        Fact {
            tests: &["TCP4MAXCHILDREN", "TCP6MAXCHILDREN", "UNIXMAXCHILDREN"],
            fact: "A client above the limit of connections waits until a place is free.",
            verdict: Pass(&["connection_loop::clients_above_the_limit_wait_in_the_backlog"]),
        },
        Fact {
            tests: &["UDP4MAXCHILDREN", "UDP6MAXCHILDREN"],
            fact: "A sender of datagrams above the limit waits until a place is free.",
            verdict: Different(
                "the session that has been idle longest ends and makes room: a datagram has no backlog to wait in, and senders can be forged",
                &["sessions::forged_peers_do_not_shut_an_active_one_out"],
            ),
        },
        Fact {
            tests: &["EXCEED_FOPEN_MAX"],
            fact: "High descriptor numbers are no obstacle.",
            verdict: Pass(&["connection_loop::a_thousand_clients_at_once_are_all_served"]),
        },
        Fact {
            tests: &[
                "TCP4RANGEBITS",
                "TCP6RANGE",
                "UDP4RANGE",
                "UDP6RANGE",
                "UDP4RECVFROM_RANGE",
                "UDP6RECVFROM_RANGE",
                "UDP4RECV_RANGE",
                "UDP6RECV_RANGE",
            ],
            fact: "Only clients of a range of addresses are served.",
            verdict: Pass(&[
                "access::a_client_that_no_rule_allows_is_refused",
                "access_rules::an_address_is_matched_by_its_prefixes_over_tcp",
                "access_rules::an_address_is_matched_by_its_prefixes_over_udp",
            ]),
        },
        Fact {
            tests: &["TCP4RANGE_0BITS"],
            fact: "A range of no bits is every address.",
            verdict: Pass(&["scorecard::shown::a_prefix_of_no_bits_is_every_address"]),
        },
        Fact {
            tests: &["TCP4RANGEMASK", "TCP4RANGEMASKHAIRY", "SOCKETRANGEMASK"],
            fact: "A range may be a mask of any bits.",
            verdict: Different(
                "a range is a prefix, as in routing; a mask is an error that says so",
                &["scorecard::shown::a_mask_is_no_prefix"],
            ),
        },
        Fact {
            tests: &[
                "TCP4SOURCEPORT",
                "TCP4LOWPORT",
                "TCP6SOURCEPORT",
                "TCP6LOWPORT",
                "UDP4SOURCEPORT",
                "UDP4LOWPORT",
                "UDP6SOURCEPORT",
                "UDP6LOWPORT",
                "UDP4RECVFROM_SOURCEPORT",
                "UDP4RECVFROM_LOWPORT",
                "UDP6RECVFROM_SOURCEPORT",
                "UDP6RECVFROM_LOWPORT",
                "UDP4RECV_SOURCEPORT",
                "UDP4RECV_LOWPORT",
                "UDP6RECV_SOURCEPORT",
                "UDP6RECV_LOWPORT",
            ],
            fact: "Only clients from a given port, or from a port below 1024, are served.",
            verdict: NotDone(
                "no rule is about the port of a client: on machines that others administer it proves nothing",
            ),
        },
        Fact {
            tests: &[
                "TCP4WRAPPERS_ADDR",
                "TCP4WRAPPERS_NAME",
                "TCP6TCPWRAP",
                "UDP4TCPWRAP",
                "UDP6TCPWRAP",
                "UDP4RECVFROM_TCPWRAP",
                "UDP6RECVFROM_TCPWRAP",
                "UDP4RECV_TCPWRAP",
                "UDP6RECV_TCPWRAP",
                "TCPWRAPPERS_MULTIOPTS",
                "TCPWRAPPERS_TCP6ADDR",
            ],
            fact: "The rules of hosts.allow and hosts.deny hold.",
            verdict: Different(
                "`--rules FILE` has rules of its own, for every family, which are read again on SIGHUP; hosts.allow is for network clients, and its library has left most distributions",
                &[
                    "access::sighup_reads_the_rules_again_and_open_connections_stay",
                    "access_rules::a_rule_that_cannot_be_checked_is_an_error_at_start",
                ],
            ),
        },
        Fact {
            tests: &["FDLEAK", "UDP4LISTENCONT"],
            fact: "A refused client leaves no descriptor and no socket behind.",
            verdict: Pass(&[
                "access::refused_clients_that_are_silent_take_few_descriptors",
                "scorecard::shown::a_refused_client_leaves_no_descriptor",
            ]),
        },
        Fact {
            tests: &["UNIXLISTEN_KEEPFILE"],
            fact: "A file that is no socket is not replaced by one.",
            verdict: Pass(&["socket_file::a_file_that_is_not_a_socket_is_refused_and_stays"]),
        },
        Fact {
            tests: &[
                "UNIX_LISTEN_REMOVE",
                "UNIX_RECVFROM_REMOVE",
                "UNIX_RECV_REMOVE",
                "UNIX_LISTEN_REMOVE_FORK",
                "UNIX_RECVFROM_REMOVE_FORK",
            ],
            fact: "The socket file is gone after a signal that ends the listener.",
            verdict: Pass(&[
                "socket_file::the_socket_file_is_removed_when_the_server_ends",
                "sessions::a_socket_file_appears_with_its_rights_and_is_removed",
            ]),
        },
        Fact {
            tests: &["UNIX_CONNECT_UNLINK", "UNIX_SENDTO_UNLINK"],
            fact: "The path that a client was bound to is gone when it has ended, and that of the server stays.",
            verdict: Pass(&["scorecard::shown::the_path_of_a_client_goes_with_it"]),
        },
        Fact {
            tests: &["UNIX_LISTEN_PERM", "UNIX_RECVFROM_PERM", "UNIX_RECV_PERM"],
            fact: "A socket file has the mode that was asked for.",
            verdict: Pass(&[
                "socket_file::a_socket_file_appears_with_its_mode",
                "sessions::a_socket_file_appears_with_its_rights_and_is_removed",
            ]),
        },
        Fact {
            tests: &["UNIX_LISTEN_USER", "UNIX_RECVFROM_USER", "UNIX_RECV_USER"],
            fact: "A socket file has the owner that was asked for.",
            verdict: Pass(&["socket_file::the_owner_is_as_given"]),
        },
        Fact {
            tests: &[
                "UNIX_LISTEN_UMASK",
                "UNIX_RECVFROM_UMASK",
                "UNIX_RECV_UMASK",
            ],
            fact: "A umask can be given for a socket file.",
            verdict: Different(
                "the mode is given itself, holds whatever the umask is, and is 0600 by default",
                &[
                    "socket_file::the_mode_is_as_given_whatever_the_umask",
                    "socket_file::a_socket_file_has_mode_600_by_default",
                ],
            ),
        },
        Fact {
            tests: &["ABSTRACT_USER"],
            fact: "An owner that is given for an abstract name is ignored.",
            verdict: Different(
                "whoever gives it wants protection that an abstract name cannot have: an error",
                &["socket_file::a_protecting_option_without_effect_is_refused"],
            ),
        },
        Fact {
            tests: &[
                "ABSTRACT_LISTEN_CONNECT_BIND_TEMPNAME",
                "ABSTRACT_LISTEN_CLIENT_BIND_TEMPNAME",
                "ABSTRACT_RECVFROM_CLIENT_BIND_TEMPNAME",
                "ABSTRACT_RECVFROM_SENDTO_BIND_TEMPNAME",
            ],
            fact: "Each of several clients can be bound to a fresh name.",
            verdict: Pass(&[
                "chosen_name::an_at_sign_is_a_free_abstract_name",
                "chosen_name::a_peer_gets_the_name_that_the_kernel_chose",
            ]),
        },
        Fact {
            tests: &[
                "UNIX_LISTEN_CONNECT_BIND_TEMPNAME",
                "UNIX_LISTEN_CLIENT_BIND_TEMPNAME",
                "UNIX_RECVFROM_CLIENT_BIND_TEMPNAME",
                "UNIX_RECVFROM_SENDTO_BIND_TEMPNAME",
            ],
            fact: "Each of several clients can be bound to a fresh path.",
            verdict: Different(
                "`@` is a fresh abstract name that the kernel chooses: it needs no directory and leaves no file",
                &["chosen_name::a_peer_gets_the_name_that_the_kernel_chose"],
            ),
        },
        Fact {
            tests: &["TEMPNAME_SEC"],
            fact: "A bind follows no symbolic link that was put at its name.",
            verdict: Pass(&[
                "private_directory::an_obstacle_to_the_private_directory_is_refused_and_stays",
                "swapped_name::a_swapped_name_changes_the_mode_of_no_other_file",
            ]),
        },
        Fact {
            tests: &["UDP6LISTENBIND", "ABSTRACT_BIND"],
            fact: "A socket is bound to the address that was asked for.",
            verdict: Pass(&[
                "connect::the_server_sees_the_address_that_the_client_bound",
                "message_clients::a_client_has_the_name_that_it_is_bound_to",
            ]),
        },
        Fact {
            tests: &["UDP_LOWPORT"],
            fact: "A client can be bound to any free port below 1024.",
            verdict: NotDone("`--bind` takes one port, or any free one"),
        },
        Fact {
            tests: &[
                "TCP4LISTENENV",
                "TCP6LISTENENV",
                "UDP6LISTENENV",
                "UNIXLISTENENV",
            ],
            fact: "The environment of a program has the addresses of both ends.",
            verdict: Pass(&[
                "exec::the_environment_describes_the_client",
                "messages::the_environment_names_the_type_of_socket",
            ]),
        },
        Fact {
            tests: &[
                "UDP4SCM_IP_OPTIONS",
                "UDP4SCM_SO_TIMESTAMP",
                "UDP4SCM_IP_TTL",
                "UDP4SCM_IP_TOS",
                "UDP4SCM_IP_PKTINFO",
                "UDP4SCM_IP_RECVIF",
                "UDP4SCM_IP_RECVDSTADDR",
                "UDP6SCM_SO_TIMESTAMP",
                "UDP6SCM_IPV6_PKTINFO",
                "UDP6SCM_IPV6_HOPLIMIT",
                "UDP6SCM_IPV6_TCLASS",
            ],
            fact: "What comes with a datagram is logged: options, time, hops, class, interface.",
            verdict: NotDone(
                "only the address that a datagram was sent to is read, to answer from it",
            ),
        },
        Fact {
            tests: &[
                "UDP4ENV_IP_OPTIONS",
                "UDP4ENV_TIMESTAMP",
                "UDP4ENV_IP_TTL",
                "UDP4ENV_IP_TOS",
                "UDP4ENV_IP_LOCADDR",
                "UDP4ENV_IP_DSTADDR",
                "UDP4ENV_IP_IF",
                "UDP6ENV_IPV6_DSTADDR",
                "UDP6ENV_IPV6_HOPLIMIT",
                "UDP6ENV_IPV6_TCLASS",
            ],
            fact: "What comes with a datagram is in the environment of a program.",
            verdict: NotDone(
                "a program serves a session, not one datagram, and gets the addresses of the session",
            ),
        },
        Fact {
            tests: &["SYSTEM_RC", "EXEC_RC"],
            fact: "The failure of a program is a failure of the server for one connection.",
            verdict: Pass(&[
                "exec::with_once_the_programs_failure_is_the_servers",
                "connect_exec::the_exit_code_is_that_of_the_program",
            ]),
        },
        Fact {
            tests: &["EXEC_FDS", "EXEC_SNIFF"],
            fact: "A program inherits no descriptor but the standard streams.",
            verdict: Pass(&[
                "exec::a_program_inherits_only_the_three_standard_streams",
                "descriptors::a_program_inherits_only_what_it_is_given",
            ]),
        },
        Fact {
            tests: &["TCP4NOFORK"],
            fact: "A program can have the socket itself as its standard streams.",
            verdict: Different(
                "`--exec` gives it pipes, which see each end apart; `sok activate` passes sockets",
                &[
                    "activate::a_command_inherits_the_sockets_and_nothing_else",
                    "exec_streams::a_program_may_close_its_output_and_continue_to_read",
                ],
            ),
        },
        Fact {
            tests: &["TCP4ENDCLOSE", "EXECENDCLOSE"],
            fact: "With an option, an end of the transfer leaves the connection open for other processes.",
            verdict: NotDone("a transfer that ends closes its connections"),
        },
        Fact {
            tests: &["GENDERCHANGER"],
            fact: "Two clients can be joined, so that a server is reached through an outgoing connection.",
            verdict: Pass(&["scorecard::shown::two_servers_are_joined_by_a_client_of_each"]),
        },
        Fact {
            tests: &["EXITCODESIGTERM", "EXITCODESIGILL"],
            fact: "A signal is in the exit code.",
            verdict: Pass(&["connect::a_client_exits_with_the_number_of_its_signal_and_cleans_up"]),
        },
        Fact {
            tests: &["SIGTERM_NOLOG", "SIG31_LOG"],
            fact: "Which signals are logged can be chosen.",
            verdict: NotDone("the end of a server has one line with its reason"),
        },
        Fact {
            tests: &["CHILDREN_SHUTUP"],
            fact: "The reports of connections can be less than those of the server.",
            verdict: Pass(&["connection_loop::clients_are_reported_only_with_verbose"]),
        },
        Fact {
            tests: &["TRY_ADDRS_4", "TRY_ADDRS_4_6"],
            fact: "Each address of a name is tried.",
            verdict: Pass(&[
                "several_addresses::every_command_reaches_the_address_that_answers",
                "errors::each_address_of_a_name_is_tried_and_a_failure_names_each",
            ]),
        },
        Fact {
            tests: &["TCP4_NOPORT", "BAD_SERVICE"],
            fact: "An empty port, and a port that is no number of one, are errors at the start.",
            verdict: Pass(&["scorecard::shown::a_port_is_a_number"]),
        },
        Fact {
            tests: &["TCP4SERVICE"],
            fact: "A port may be the name of a service.",
            verdict: Different(
                "a port is a number, so that an address means the same on every machine",
                &["scorecard::shown::a_port_is_a_number"],
            ),
        },
        Fact {
            tests: &["HOSTNAMEOVFL"],
            fact: "A host name of 1,000 bytes is an error and no crash.",
            verdict: Pass(&["scorecard::shown::an_overlong_host_name_is_an_error"]),
        },
        Fact {
            tests: &["LISTEN_KEEPALIVE"],
            fact: "Keepalive is set on an accepted connection.",
            verdict: Pass(&["keepalive::a_server_detects_a_dead_client"]),
        },
        Fact {
            tests: &["TCP4_REUSEADDR", "SO_REUSEADDR", "REUSEADDR_NULL"],
            fact: "A listener can start again at once on the port of the one before.",
            verdict: Pass(&[
                "socket_file::an_address_is_free_again_after_a_server",
                "socket_file::an_address_is_free_again_after_a_server_was_killed",
            ]),
        },
        Fact {
            tests: &["SO_REUSEPORT"],
            fact: "Two listeners can share a port.",
            verdict: NotDone(
                "threads of one server share its sockets; two servers on one address are mostly a mistake",
            ),
        },
        Fact {
            tests: &["SETSOCKOPT", "SETSOCKOPT_LISTEN"],
            fact: "Any socket option can be set by its number.",
            verdict: NotDone("the options that are known to matter have names"),
        },
        Fact {
            tests: &["OPTION_RAW_DUMP"],
            fact: "What passes can be written to a file.",
            verdict: Pass(&[
                "dump::a_dump_shows_both_directions_with_their_connection",
                "dump::a_dump_into_a_file_is_hexadecimal",
            ]),
        },
        Fact {
            tests: &["SNIFF_RIGHT_TO_LEFT", "VARS_IN_SNIFFPATH"],
            fact: "Each direction, or each connection, can have a file of its own.",
            verdict: Different(
                "one dump has both directions in their order, with the connection of each part",
                &["dump::a_dump_shows_both_directions_with_their_connection"],
            ),
        },
        Fact {
            tests: &["OPTION_STATISTICS", "SIGUSR1_STATISTICS"],
            fact: "Bytes are counted, and shown at the end and on a signal.",
            verdict: Pass(&[
                "relay::usr1_shows_the_totals_and_the_open_connections",
                "relay::each_connection_has_a_line_at_its_end",
            ]),
        },
        Fact {
            tests: &["ACCEPT_FD"],
            fact: "A listening socket can be passed to the server.",
            verdict: Pass(&[
                "activation::a_server_serves_an_inherited_socket",
                "activation_peers::systemd_passes_a_socket_by_number_and_by_name",
            ]),
        },
        Fact {
            tests: &["UDP4BROADCAST"],
            fact: "A datagram can be sent to a broadcast address.",
            verdict: Pass(&[
                "datagram_options::a_broadcast_address_needs_the_option_and_any_host_answers",
            ]),
        },
        Fact {
            tests: &["UDP4MULTICAST_UNIDIR", "UDP4MULTICAST_BIDIR"],
            fact: "A group of IPv4 is joined, and answers.",
            verdict: Pass(&[
                "datagram_options::a_group_has_several_servers_which_answer_from_their_addresses",
            ]),
        },
        Fact {
            tests: &["UDP6MULTICAST_UNIDIR", "USE_IPV6_JOIN_GROUP"],
            fact: "A group of IPv6 is joined.",
            verdict: Pass(&["datagram_options::a_group_of_ipv6_is_reached_on_its_interface"]),
        },
        Fact {
            tests: &[
                "SOCKETPAIR_STREAM",
                "SOCKETPAIR_DATAGRAM",
                "SOCKETPAIR_SEQPACKET",
            ],
            fact: "What is written into a socket pair of the process comes back.",
            verdict: NotDone(
                "there is no address for a pair of sockets: nobody but the process has them",
            ),
        },
        Fact {
            tests: &["SOCKETPAIR_BOUNDARIES"],
            fact: "Messages are kept apart inside the program.",
            verdict: Pass(&[
                "messages::every_message_passes_through_a_program",
                "message_peers::socat_sends_messages_and_gets_the_answers",
            ]),
        },
        Fact {
            tests: &["NETNS", "NETNS_EXEC"],
            fact: "A socket can be made in another network namespace.",
            verdict: NotDone("`ip netns exec` and `nsenter` start the whole program there"),
        },
        Fact {
            tests: &["RES_NSADDR"],
            fact: "A name can be looked up at a given name server.",
            verdict: NotDone("names are looked up as by any other program of the machine"),
        },
        Fact {
            tests: &["SOCAT_MUX", "SOCAT_BROKER"],
            fact: "What one client sends reaches several others.",
            verdict: NotDone("no service joins several connections; each one has its own"),
        },
        Fact {
            tests: &["RESTORE_TTY"],
            fact: "A terminal gets its settings back.",
            verdict: Pass(&["conversation::ctrl_c_at_the_prompt_restores_the_terminal"]),
        },
    ],
};
