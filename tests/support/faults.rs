//! System calls that fail as in a sandbox.

use std::process::Command;

use super::{Process, require_peer, required};

/// Whether system calls can be made to fail here: it needs strace(1) and permission to trace.
pub(crate) fn can_inject() -> bool {
    let traced = || {
        let mut command = Command::new("strace");
        command.args(["-o", "/dev/null", "true"]);
        command.output().is_ok_and(|done| done.status.success())
    };
    require_peer("strace") && required("ptrace", traced())
}

/// Starts the program with a fault in each call given by `injection`, such as
/// `splice:error=EPERM:when=2+`, which counts the calls of each thread.
pub(crate) fn sok_with_fault(injection: &str, arguments: &[&str]) -> Process {
    with_fault(&[], injection, arguments)
}

/// As [`sok_with_fault`], for calls with the file at `path`.
pub(crate) fn sok_with_fault_at(path: &str, injection: &str, arguments: &[&str]) -> Process {
    with_fault(&["-P", path], injection, arguments)
}

fn with_fault(options: &[&str], injection: &str, arguments: &[&str]) -> Process {
    let (calls, _) = injection.split_once(':').expect("CALL:FAULT");
    let mut command = Command::new("strace");
    // strace(1) runs as a grandchild, so that the program is our child.
    command.args(["-D", "-f", "-qq", "-o", "/dev/null"]);
    command.args(options);
    command.args(["-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={injection}")]);
    command.arg(Process::PROGRAM).args(arguments);
    Process::spawn(command)
}
