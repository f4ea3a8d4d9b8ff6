//! An interactive shell on a terminal of its own.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::pty::{Winsize, openpty};

use super::{Log, Process};

/// A shell that a test types to.
pub(crate) struct Shell {
    shell: Child,
    keyboard: File,
    screen: Log,
    count: usize,
}

impl Shell {
    /// Starts a shell in `folder`, which is also its home, with `sok` in its search path, and runs
    /// `setup` in it.
    pub(crate) fn start(command: &[&str], folder: &Path, setup: &str) -> Self {
        // Wide, so that no line is wrapped.
        let size = Winsize {
            ws_row: 50,
            ws_col: 500,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        let program = Path::new(Process::PROGRAM).parent().unwrap().display();
        let search = format!("{program}:{}", std::env::var("PATH").unwrap());
        let shell = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .args(command)
            .current_dir(folder)
            .env("PATH", search)
            .env("HOME", folder)
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .env("INPUTRC", "/dev/null")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let keyboard = File::from(pair.master);
        let screen = Log::of(keyboard.try_clone().unwrap());
        let mut shell = Self {
            shell,
            keyboard,
            screen,
            count: 0,
        };
        shell.press(setup);
        shell.press("\rprintf 'rea%s\\n' dy\r");
        shell.screen.wait_for("ready\r\n");
        shell
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Types the keys of a command line, and returns its words, as the shell then sees them.
    pub(crate) fn words_of(&mut self, keys: &str) -> Vec<String> {
        self.count += 1;
        let number = self.count;
        self.press(keys);
        // The line becomes the arguments of another command: Ctrl-E, Ctrl-A.
        self.press(&format!(
            " 'end'{number}\u{1}printf '<%s>\\n' {number}begin \r"
        ));
        let text = self.screen.wait_for(&format!("<end{number}>\r\n"));
        let (_, printed) = text.rsplit_once(&format!("<{number}begin>\r\n")).unwrap();
        let lines = printed
            .split("\r\n")
            .take_while(|line| !line.starts_with("<end"));
        lines
            .map(|line| {
                line.trim_start_matches('<')
                    .trim_end_matches('>')
                    .to_owned()
            })
            .collect()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
