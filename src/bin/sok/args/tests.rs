//! Tests of all arguments together.

use clap::CommandFactory;

use super::Cli;

/// With `help_expected`, this also finds an argument without help.
#[test]
fn the_arguments_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}

/// A heading applies to all the options that follow it, until the next heading.
#[test]
fn every_option_is_under_its_own_heading() {
    let headings = [
        (
            "The address in parts, instead of ADDRESS",
            &["family", "socket_type", "path", "host", "port"][..],
        ),
        (
            "The service, one of",
            &[
                "echo",
                "suffix",
                "discard",
                "send",
                "exec",
                "stdio",
                "keep_open",
                "pass_fd",
            ],
        ),
        (
            "The messages",
            &["framing", "max_message", "max_memory", "no_newline", "skip"],
        ),
        ("The end of the reply", &["lines", "until", "bytes"]),
        (
            "The connection",
            &[
                "bind",
                "retry_for",
                "retry_after",
                "timeout",
                "connect_timeout",
                "source",
                "keepalive",
                "congestion",
            ],
        ),
        (
            "The exchange",
            &[
                "descriptors",
                "idle_timeout",
                "half_close_timeout",
                "max_memory",
                "no_half_close",
                "no_reply",
                "resend",
                "keep_sending",
                "send_only",
                "receive_only",
                "exec",
                "dump",
                "copy",
            ],
        ),
        (
            "The wait",
            &["any", "gone", "strict_dns", "interval", "timeout"],
        ),
        ("The conversation", &["prompt", "forbid", "raw"]),
        (
            "The PROXY protocol",
            &["accept_proxy", "proxy_from", "proxy_timeout", "send_proxy"],
        ),
        ("The status and the log", &["status", "log"]),
        ("UDP", &["broadcast", "join", "ttl"]),
        (
            "Who may connect",
            &["allow", "deny", "rules_file", "max_per_peer"],
        ),
        (
            "Limits",
            &[
                "lifetime",
                "accept_timeout",
                "exit_when_idle",
                "max_connections",
                "one_at_a_time",
                "once",
                "exit_after",
                "grace",
                "threads",
            ],
        ),
        (
            "The command",
            &[
                "fdname",
                "nonblocking",
                "on_demand",
                "restart",
                "overlap",
                "stop_signal",
                "grace",
            ],
        ),
        (
            "The listening socket",
            &[
                "listen", "backlog", "v6only", "mode", "owner", "ready_fd", "announce",
            ],
        ),
    ];
    let mut found = 0;
    for command in Cli::command().get_subcommands() {
        for option in command.get_arguments() {
            let Some(heading) = option.get_help_heading() else {
                continue;
            };
            let own = headings.iter().find(|(known, _)| *known == heading);
            let (_, own) = own.unwrap_or_else(|| panic!("{heading:?} is not in the list"));
            let (id, name) = (option.get_id().as_str(), command.get_name());
            assert!(own.contains(&id), "{name}: {id} is under {heading:?}");
            found += 1;
        }
    }
    assert!(found > 40, "only {found} options under headings");
}

#[test]
fn only_the_help_of_serve_offers_a_port_that_the_kernel_chooses() {
    for command in Cli::command().get_subcommands() {
        let port = command
            .get_arguments()
            .find(|option| option.get_id() == "port");
        let Some(help) = port.and_then(|port| port.get_help()) else {
            continue;
        };
        let chosen = help.to_string().contains("the kernel");
        assert_eq!(chosen, command.get_name() == "serve", "{command}: {help}");
    }
}
