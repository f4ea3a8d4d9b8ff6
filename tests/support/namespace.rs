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
    let script = format!("mount --bind \"$FILE\" {target} || exit 99; {script}");
    let options = [&["--mount"], more].concat();
    unshared(&options, file, &script, arguments)
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
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).args(options);
    command.args(["sh", "-c", script, "sh"]).args(arguments);
    command.env("FILE", file).env("SOK", Process::PROGRAM);
    let done = Process::spawn(command).done();
    let refused = done.code == 99 || done.stderr.starts_with("unshare:");
    (!refused).then_some(done)
}
