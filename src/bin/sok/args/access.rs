//! Who may connect, and for how long: the options of `serve` and `relay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use sok::access::Verdict;

use crate::args::values::{at_least_one, some_time};

/// The heading of the options.
const ACCESS: &str = "Who may connect";
const LIMITS: &str = "Limits";

/// The options of `serve` and `relay` about their clients.
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    #[command(flatten)]
    pub(crate) rules: RuleArgs,

    /// Rules from FILE, after those of the options: `allow RULE` or `deny RULE`, one a line; `#` begins a
    /// comment. SIGHUP reads FILE again; if anything in it is wrong, the rules stay as they are. Open
    /// connections stay in any case
    #[arg(long = "rules", value_name = "FILE", help_heading = ACCESS)]
    pub(crate) rules_file: Option<PathBuf>,

    /// The maximum number of connections or sessions of one client at once: of an IPv4 address, of the
    /// first 64 bits of an IPv6 address, of a user on AF_UNIX. What exceeds it does not wait, but is
    /// reset; datagrams are dropped
    #[arg(long, value_name = "N", value_parser = at_least_one, help_heading = ACCESS)]
    pub(crate) max_per_peer: Option<u64>,

    /// Reset a connection that has been open for this time, whatever passes; a session of a datagram
    /// socket ends then, without an error. The exit code is 124 only with --once, --exit-after or --stdio
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = LIMITS)]
    pub(crate) lifetime: Option<Duration>,

    /// Exit with 124 if no client is connected for this time, from the start or since the last one has
    /// left. Clients that are refused do not count
    #[arg(long, value_name = "DURATION", value_parser = some_time, help_heading = LIMITS)]
    pub(crate) accept_timeout: Option<Duration>,

    /// When --accept-timeout has passed, exit with 0 instead of 124
    #[arg(long, requires = "accept_timeout", help_heading = LIMITS)]
    pub(crate) exit_when_idle: bool,
}

/// The rules of --allow and --deny, in the order of the command line: the first that matches decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RuleArgs(pub(crate) Vec<(Verdict, String)>);

const ALLOW_HELP: &str = "\
Serve the clients that RULE matches: an IP address or prefix (192.0.2.1, 10.0.0.0/8, 2001:db8::/32), \
uid:USER or gid:GROUP on AF_UNIX, or any. Of all rules, in their order, the first that matches decides. \
If there is one that allows, a client that none matches is refused: it is reset before anything is \
received. IPv4 clients of `[::]` match IPv4 rules; the user and groups are those at connect(2). \
Repeatable";
const DENY_HELP: &str = "\
Refuse the clients that RULE matches, as for --allow; datagrams are dropped. A rule that the listening \
sockets cannot check is an error. Repeatable";

/// The verdicts, with their options.
const VERDICTS: [(Verdict, &str, &str); 2] = [
    (Verdict::Allow, "allow", ALLOW_HELP),
    (Verdict::Deny, "deny", DENY_HELP),
];

impl Args for RuleArgs {
    fn augment_args(command: Command) -> Command {
        let option = |(_, name, help)| {
            Arg::new(name)
                .long(name)
                .value_name("RULE")
                .action(ArgAction::Append)
                .help_heading(ACCESS)
                .help(help)
        };
        command.args(VERDICTS.map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RuleArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut all: Vec<(usize, Verdict, String)> = Vec::new();
        for (verdict, name, _) in VERDICTS {
            let places = matches.indices_of(name).into_iter().flatten();
            let rules = matches.get_many::<String>(name).into_iter().flatten();
            all.extend(
                places
                    .zip(rules)
                    .map(|(place, rule)| (place, verdict, rule.clone())),
            );
        }
        all.sort_by_key(|(place, ..)| *place);
        let rules = all.into_iter().map(|(_, verdict, rule)| (verdict, rule));
        Ok(Self(rules.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_keep_the_order_of_the_command_line() {
        let words = "sok --deny 10.0.0.1 --allow 10.0.0.0/8 --deny=any --allow ::1";
        let command = RuleArgs::augment_args(Command::new("sok"));
        let matches = command.get_matches_from(words.split(' '));
        let RuleArgs(rules) = RuleArgs::from_arg_matches(&matches).unwrap();
        let shown: Vec<String> = rules
            .iter()
            .map(|(verdict, rule)| format!("{} {rule}", verdict.word()))
            .collect();
        assert_eq!(
            shown,
            ["deny 10.0.0.1", "allow 10.0.0.0/8", "deny any", "allow ::1"]
        );
    }
}
