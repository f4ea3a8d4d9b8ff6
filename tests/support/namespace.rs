//! Programs in separate namespaces, if the machine allows that.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Done, Process, require_peer, required};

/// Runs a script with `file` mounted over `target`, and with further options of `unshare`.
pub(crate) fn in_own_mounts(
    file: &str,
    target: &str,
    script: &str,
    arguments: &[&str],
    more: &[&str],
) -> Option<Done> {
    let options = [&["--mount"], more].concat();
    unshared(&options, file, &mounted(target, script), arguments)
}

/// Starts a script with `file` mounted over `target`, if [`in_own_mounts`] can run one.
pub(crate) fn spawn_in_own_mounts(
    file: &str,
    target: &str,
    script: &str,
    arguments: &[&str],
) -> Process {
    spawn(&["--mount"], file, &mounted(target, script), arguments)
}

fn mounted(target: &str, script: &str) -> String {
    format!("mount --bind \"$FILE\" {target} || exit 99; {script}")
}

/// Runs a script in a new network namespace, whose loopback interface is down; exits with 99
/// without the necessary privileges.
pub(crate) fn in_own_network(script: &str) -> Option<Done> {
    unshared(&["--net"], "", script, &[])
}

/// As [`in_own_network`], where the script may also mount: `mount ... || exit 99`.
pub(crate) fn in_own_network_and_mounts(script: &str, arguments: &[&str]) -> Option<Done> {
    unshared(&["--net", "--mount"], "", script, arguments)
}

/// The options of `unshare` that make its child the first process of a container.
const CONTAINER: [&str; 4] = ["--user", "--map-root-user", "--pid", "--fork"];
/// The option that mounts a separate `/proc`.
const OWN_PROC: &str = "--mount-proc";

/// A program as PID 1 of a new namespace, as in a container.
#[derive(Debug)]
pub(crate) struct Init(Process);

impl Init {
    /// Starts the program, if this machine allows that.
    pub(crate) fn sok(arguments: &[&str]) -> Option<Self> {
        Self::start(&[OWN_PROC], arguments)
    }

    /// As [`Init::sok`], with a `/proc` that does not show the processes of the namespace.
    pub(crate) fn sok_without_proc(arguments: &[&str]) -> Option<Self> {
        Self::start(&[], arguments)
    }

    fn start(options: &[&str], arguments: &[&str]) -> Option<Self> {
        let mut try_it = Command::new("unshare");
        try_it.args(CONTAINER).args(options).arg("true");
        let mut works = || try_it.output().is_ok_and(|done| done.status.success());
        if !require_peer("unshare") || !required("pid namespaces", works()) {
            return None;
        }
        let mut command = Command::new("unshare");
        command
            .args(CONTAINER)
            .args(options)
            .arg(Process::PROGRAM)
            .args(arguments);
        Some(Self(Process::spawn(command)))
    }

    /// Sends a signal to the program, which must be running.
    pub(crate) fn signal(&self, signal: Signal) {
        let parent = self.0.pid();
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = std::fs::read_to_string(children).unwrap();
        let pid = children.trim().parse().expect("one child");
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// The process that started it, which has its output and its exit code.
    pub(crate) const fn process(&self) -> &Process {
        &self.0
    }
}

impl Drop for Init {
    /// The kernel ends a namespace with its first process, not with the parent of that.
    fn drop(&mut self) {
        if !self.0.has_ended() {
            self.signal(Signal::SIGKILL);
        }
    }
}

fn unshared(options: &[&str], file: &str, script: &str, arguments: &[&str]) -> Option<Done> {
    if !require_peer("unshare") {
        return None;
    }
    let done = spawn(options, file, script, arguments).done();
    let refused = done.code == 99 || done.stderr.starts_with("unshare:");
    (!refused).then_some(done)
}

fn spawn(options: &[&str], file: &str, script: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).args(options);
    command.args(["sh", "-c", script, "sh"]).args(arguments);
    command.env("FILE", file).env("SOK", Process::PROGRAM);
    Process::spawn(command)
}
