//! The arguments of `activate`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use nix::sys::signal::Signal;

use super::values::{descriptor_name, duration, stop_signal};
use super::{ListenArgs, ReadyArgs};

pub(super) const ACTIVATE_HELP: &str = "\
CMD gets the sockets as descriptors 3, 4 and so on, in the order of the lines 'listening on ADDRESS',
with LISTEN_FDS, LISTEN_PID and, from --fdname, LISTEN_FDNAMES: as from systemd, see sd_listen_fds(3).
They listen, and stay open here, so that clients wait while no CMD runs: CMD may close them, but not
shut them down. Nothing else but the standard streams is inherited, and no terminal as the input.
CMD stays in the foreground: when it has ended, what is left of its process group is ended too.

SIGTERM and SIGINT are passed to CMD, and sok ends with it: with 0 if CMD ended by the signal; if CMD
ended by itself, with its exit status, or 128+n. With --restart, SIGHUP replaces CMD without a pause: the
new one starts, and if it runs for --overlap, the old one is stopped; if it does not, the old one stays.
Without --restart, SIGHUP is passed to CMD; SIGUSR1 and SIGUSR2 always are. CMD gets SIGTERM if sok is
killed. A CMD that ends within 10s starts again after 100ms, 200ms and so on, up to 10s; one that ends
with 0 and --on-demand starts at once, at most 10 times a second.

A service manager is notified (NOTIFY_SOCKET) once clients can connect, which is before CMD runs; CMD
does not get NOTIFY_SOCKET.

systemd has the rest: restart conditions and limits, dependencies, users, resource limits.

Examples:
  sok activate :8082 --restart -- gunicorn app:application
  sok activate localhost:2375 --restart --nonblocking -- sok relay fd:3 /var/run/docker.sock
  sok activate unix:/run/app.sock --mode 660 --owner :www-data --on-demand -- ./server
  sok activate :80 @admin --fdname http --fdname admin -- ./server
  sok activate unix:./s.sock --restart --stop-signal USR1 --overlap 3s -- haproxy -W -f ./haproxy.cfg";

const COMMAND: &str = "The command";

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct ActivateArgs {
    /// The addresses to bind
    #[arg(value_name = "ADDRESS", required = true)]
    pub(crate) addresses: Vec<OsString>,

    /// The command to run, with its arguments
    #[arg(last = true, value_name = "CMD", required = true)]
    pub(crate) command: Vec<OsString>,

    /// The name of a socket in LISTEN_FDNAMES; once for each ADDRESS, in their order
    #[arg(long, value_name = "NAME", value_parser = descriptor_name, help_heading = COMMAND)]
    pub(crate) fdname: Vec<String>,

    /// Set O_NONBLOCK on the sockets. Most servers set it themselves; sok does not, and is faster when
    /// it is set
    #[arg(long, help_heading = COMMAND)]
    pub(crate) nonblocking: bool,

    /// Start CMD when the first client connects or sends; with --restart, also after its end
    #[arg(long, help_heading = COMMAND)]
    pub(crate) on_demand: bool,

    /// Start CMD again when it ends, whatever its exit status
    #[arg(long, help_heading = COMMAND)]
    pub(crate) restart: bool,

    /// How long a new CMD runs beside the old one, at a SIGHUP, before that is stopped; with 0s it
    /// starts when the old one has ended, and clients wait [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "restart")]
    #[arg(help_heading = COMMAND)]
    pub(crate) overlap: Option<Duration>,

    /// The signal that stops CMD gracefully: USR1 for HAProxy, QUIT for PHP-FPM [default: the signal
    /// that stops sok, and TERM for SIGHUP]
    #[arg(long, value_name = "NAME", value_parser = stop_signal, help_heading = COMMAND)]
    pub(crate) stop_signal: Option<Signal>,

    /// How long CMD may take to stop; then, or at a second signal, SIGKILL ends it
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    #[arg(help_heading = COMMAND)]
    pub(crate) grace: Duration,

    #[command(flatten)]
    pub(crate) listen: ListenArgs,

    #[command(flatten)]
    pub(crate) ready: ReadyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ActivatedArgs {
    /// The process that starts it
    #[arg(long, value_name = "PID")]
    pub(crate) parent: i32,

    /// The descriptors of the sockets, in their order
    #[arg(long = "socket", value_name = "N")]
    pub(crate) sockets: Vec<i32>,

    /// The command to run, with its arguments
    #[arg(last = true, value_name = "CMD", required = true)]
    pub(crate) command: Vec<OsString>,
}
