//! The program on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use nix::pty::openpty;
use nix::sys::termios::{Termios, tcgetattr};

use super::{Log, Process};

/// The program on a separate terminal.
pub(crate) struct Terminal {
    program: Child,
    keyboard: File,
    pub(crate) screen: Log,
    // It closes with the program, however that ends.
    pub(crate) stderr: Log,
    // Kept open, to read its modes after the program has ended.
    terminal: OwnedFd,
    modes: Termios,
}

impl Terminal {
    /// Holds a conversation with the server at `address`.
    pub(crate) fn connect(address: &str, options: &[&str]) -> Self {
        Self::run(&[&["connect", address], options].concat())
    }

    /// Runs the program with these arguments.
    pub(crate) fn run(arguments: &[&str]) -> Self {
        Self::run_with(arguments, &[])
    }

    /// The same with variables of the environment.
    pub(crate) fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let pair = openpty(None, None).unwrap();
        let modes = tcgetattr(&pair.slave).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        // In a new session, the terminal's keys send it signals.
        let mut program = Command::new("setsid")
            .args(["--ctty", "--wait", Process::PROGRAM])
            .args(arguments)
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR")
            .env_remove("CLICOLOR_FORCE")
            .env_remove("CI")
            .env_remove("COLUMNS")
            .envs(variables.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let keyboard = File::from(pair.master);
        let screen = Log::of(Screen(keyboard.try_clone().unwrap()));
        let stderr = Log::of(program.stderr.take().unwrap());
        Self {
            program,
            keyboard,
            screen,
            stderr,
            terminal: pair.slave,
            modes,
        }
    }

    /// Waits for the `count`th `reply` and the prompt: earlier keys are not read as keys. If a
    /// reply comes late, the prompt is in the line before it.
    pub(crate) fn wait_for_prompt_after(&self, reply: &str, count: usize) {
        let wanted = format!("a prompt after {count} times {reply:?}");
        self.screen.wait_until(&wanted, |text| {
            let at = text.match_indices(reply).nth(count - 1);
            at.is_some_and(|(at, _)| {
                let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
                text[line..].contains("> ")
            })
        });
    }

    /// Types the keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Its exit code, once the terminal has its modes back.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.stderr.wait_closed();
        let code = self.program.wait().unwrap().code();
        let modes = tcgetattr(&self.terminal).unwrap();
        assert_eq!(modes, self.modes, "the terminal is not as it was");
        code
    }
}

/// A process whose standard error is a terminal of its own.
pub(crate) struct ErrorTerminal {
    pub(crate) program: Child,
    pub(crate) screen: Log,
    // Until then, the end of the program does not end what the screen shows.
    terminal: OwnedFd,
}

impl ErrorTerminal {
    /// Runs `command`, whose other streams stay as they are.
    pub(crate) fn of(mut command: Command) -> Self {
        let pair = openpty(None, None).unwrap();
        command.env("TERM", "xterm").env_remove("COLUMNS");
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            command.env_remove(name);
        }
        command.stderr(pair.slave.try_clone().unwrap());
        Self {
            program: command.spawn().unwrap(),
            screen: Log::of(Screen(pair.master.into())),
            terminal: pair.slave,
        }
    }

    /// The exit code, and all that the screen has shown.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let code = self.program.wait().unwrap().code();
        drop(self.terminal);
        let shown = self.screen.wait_closed();
        (code, String::from_utf8_lossy(&shown).into_owned())
    }
}

/// The output on the terminal.
struct Screen(File);

impl Read for Screen {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

/// The lines of a screen without the colour sequences.
pub(crate) fn uncoloured(screen: &str) -> Vec<String> {
    let mut text = String::new();
    for (number, part) in screen.split("\u{1b}[").enumerate() {
        let shown = match (number, part.split_once('m')) {
            (0, _) | (_, None) => part,
            (_, Some((_, shown))) => shown,
        };
        text += shown;
    }
    text.lines().map(str::to_owned).collect()
}
