//! The program under test as a process.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::{LIMIT, Log, Place};

/// A running process whose output is collected; it is killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    shown: String,
    pid: Pid,
    stdin: Option<ChildStdin>,
    stdout: Log,
    stderr: Log,
    ended: Arc<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    status: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// The exit code; 128 and the signal's number if a signal killed it.
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs the program to its end, with empty input.
pub(crate) fn sok(arguments: &[&str]) -> Done {
    sok_with(arguments, b"")
}

/// Runs the program to its end, with `input`.
pub(crate) fn sok_with(arguments: &[&str], input: &[u8]) -> Done {
    Process::sok(arguments).feed(input)
}

/// A copy of the program in `place`, which every user can execute.
pub(crate) fn sok_for_anybody(place: &Place) -> PathBuf {
    let program = place.path("sok");
    if program.exists() {
        return program;
    }
    // Another process copies it: a file that is open for writing cannot be executed, and a test in
    // another thread might start a program that inherits the open copy.
    let installed = Command::new("install")
        .args(["-m", "755", Process::PROGRAM])
        .arg(&program)
        .status();
    assert!(installed.unwrap().success());
    fs::set_permissions(place.directory(), Permissions::from_mode(0o777)).unwrap();
    program
}

/// Runs the program as an unprivileged user.
pub(crate) fn sok_without_rights(place: &Place, arguments: &[&str]) -> Done {
    let program = sok_for_anybody(place);
    let mut command = Command::new(&program);
    command.args(arguments);
    if nix::unistd::geteuid().is_root() {
        // Numbers, since not every machine has a user named nobody.
        command.uid(65534).gid(65534);
    }
    let done = Process::spawn(command).done();
    fs::remove_file(&program).unwrap();
    done
}

impl Process {
    /// Starts the program.
    pub(crate) fn sok(arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut command = Command::new(Self::PROGRAM);
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts `sh -c script`, where `$SOK` is the program and `$1` and so on are the arguments.
    pub(crate) fn sh(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg("sh").args(arguments);
        command.env("SOK", Self::PROGRAM);
        Self::spawn(command)
    }

    /// The program under test: the release build where there is one, as in scripts/test, so that the
    /// tests run what is shipped.
    pub(crate) const PROGRAM: &str = match option_env!("SOK_RELEASE") {
        Some(program) => program,
        None => env!("CARGO_BIN_EXE_sok"),
    };

    /// Starts `sh -c script` with `socket` as its descriptor 3 and no input; see [`sh`](Self::sh).
    pub(crate) fn sh_with(socket: OwnedFd, script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        let script = format!("exec 3<&0 </dev/null\n{script}");
        command.arg("-c").arg(script).arg("sh").args(arguments);
        command.env("SOK", Self::PROGRAM);
        Self::spawn_with(command, socket.into())
    }

    /// Starts the program with `socket` as its descriptor 3 and no input.
    pub(crate) fn sok_inheriting(socket: OwnedFd, arguments: &[&str]) -> Self {
        Self::sh_with(socket, r#"exec "$SOK" "$@""#, arguments)
    }

    /// Starts `command` with its three streams as pipes.
    pub(crate) fn spawn(command: Command) -> Self {
        Self::spawn_with(command, Stdio::piped())
    }

    /// Starts `command` with this input, and pipes for its output.
    fn spawn_with(mut command: Command, input: Stdio) -> Self {
        let piped = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let shown = format!("{piped:?}");
        let mut child = piped
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let stdin = child.stdin.take();
        Self {
            shown,
            pid,
            stdin,
            stdout: Log::of(stdout),
            stderr: Log::of(stderr),
            ended: watch(child, pid),
        }
    }

    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Its standard input, until it is closed.
    pub(crate) fn stdin(&mut self) -> &mut ChildStdin {
        self.stdin.as_mut().expect("the input is open")
    }

    /// Writes to its standard input and keeps it open.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin().write_all(bytes).unwrap();
    }

    /// Closes its standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) const fn stdout(&self) -> &Log {
        &self.stdout
    }

    pub(crate) const fn stderr(&self) -> &Log {
        &self.stderr
    }

    /// Sends a signal, unless the process has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let status = self.ended.status.lock().unwrap();
        if status.is_none() {
            kill(self.pid, signal).unwrap();
        }
    }

    /// Its standard error, once it has ended.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&self.stderr.wait_closed()).into_owned()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.status.lock().unwrap().is_some()
    }

    /// Waits for its end, and returns its exit code.
    pub(crate) fn wait(&self) -> i32 {
        let status = self.ended.status.lock().unwrap();
        let waited = self
            .ended
            .changed
            .wait_timeout_while(status, LIMIT, |s| s.is_none());
        let (status, _) = waited.unwrap();
        // Do not panic while holding the lock, which `drop` needs.
        let ended = *status;
        drop(status);
        let Some(status) = ended else {
            panic!(
                "{} did not end; on stderr:\n{}",
                self.shown,
                self.stderr.text()
            )
        };
        status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    /// Closes its standard input, and waits for its end.
    pub(crate) fn done(self) -> Done {
        self.feed(b"")
    }

    /// Writes `input` to it, and waits for its end.
    pub(crate) fn feed(mut self, input: &[u8]) -> Done {
        if let Some(mut stdin) = self.stdin.take() {
            let input = input.to_vec();
            // A program may end before it has read everything.
            thread::spawn(move || stdin.write_all(&input));
        }
        let code = self.wait();
        let stdout = self.stdout.wait_closed();
        let stderr = self.said();
        Done {
            code,
            stdout,
            stderr,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.signal(Signal::SIGKILL);
            if !thread::panicking() {
                self.wait();
            }
        }
    }
}

/// Waits for the end of a child on a thread. A pid stays the child's own until its status is known.
fn watch(mut child: Child, pid: Pid) -> Arc<Ended> {
    let ended = Arc::new(Ended::default());
    let shared = Arc::clone(&ended);
    thread::spawn(move || {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(pid), flags) == Err(nix::Error::EINTR) {}
        let mut status = shared.status.lock().unwrap();
        *status = Some(child.wait().unwrap());
        shared.changed.notify_all();
    });
    ended
}
