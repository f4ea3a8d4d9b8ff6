//! Programs in namespaces of their own, where the machine lets us.

use std::process::Command;

use super::{Done, Process, require_peer};

/// Runs a script with `file` in the place of `target`, and what else `unshare` is to give it.
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

/// Starts a script with `file` in the place of `target`, where [`in_own_mounts`] can run one.
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

/// Runs a script in a network of its own, whose loopback interface is down; it exits 99 if it
/// lacks the rights that it needs.
pub(crate) fn in_own_network(script: &str) -> Option<Done> {
    unshared(&["--net"], "", script, &[])
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
