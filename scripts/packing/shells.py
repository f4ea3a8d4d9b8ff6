"""The completions of the installed package, as a user of each shell types them."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from . import rooms
from .common import Failed

# The command of each shell, and what its user has in the configuration.
SHELLS = {
    "bash": ("bash --noprofile --rcfile /usr/share/bash-completion/bash_completion -i", ""),
    "zsh": ("zsh -f -i", "autoload -Uz compinit; compinit -u -D"),
    "fish": ("fish -i", ""),
}
TYPED = {
    "sok cal\t./ap\t": ["sok", "call", "./app.sock"],
    "sok relay unix:/tmp/home/tw\t./ap\t": ["sok", "relay", "unix:/tmp/home/two words.sock", "./app.sock"],
    "sok help se\t": ["sok", "help", "serve"],
    "sok serve --suf\t": ["sok", "serve", "--suffix"],
}
PREPARE = r"""
dpkg --install "$1" > /dev/null
man -w 1 sok-relay | grep -q '^/usr/share/man/man1/sok-relay'
man 7 sok-address | grep -q '^SEE ALSO'
mkdir /tmp/home; cd /tmp/home
for name in app 'two words'; do
  sok serve "./$name.sock" 2> /dev/null &
  sok wait "./$name.sock" --timeout 2m
done
export HOME=/tmp/home TERM=xterm LC_ALL=C.UTF-8 INPUTRC=/dev/null
exec setsid --ctty """
# No result depends on it: a shell that says nothing for so long hangs.
PATIENCE = 300


def complete(root, package):
    """Types command lines in each shell in the system `root`, in which `package` is installed."""
    for name, (command, setup) in SHELLS.items():
        with rooms.command(root, package, PREPARE + command) as words:
            shell = Shell(name, words, setup)
            try:
                for number, (keys, wanted) in enumerate(TYPED.items()):
                    found = shell.words_of(keys, number)
                    if found != wanted:
                        raise Failed(f"{name} makes {found} of {keys!r}, not {wanted}")
            finally:
                shell.end()


class Shell:
    """An interactive shell on a terminal of its own."""

    def __init__(self, name, command, setup):
        self.name, self.screen = name, ""
        self.terminal, end = pty.openpty()
        # Wide, so that no line is wrapped.
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 500, 0, 0))
        self.process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end)
        os.close(end)
        self.press(f"{setup}\rprintf 'rea%s\\n' dy\r")
        self.wait_for("ready\r\n")

    def press(self, keys):
        os.write(self.terminal, keys.encode())

    def words_of(self, keys, number):
        """The words of a command line, as the shell sees them after these keys."""
        self.press(keys)
        # The line becomes the arguments of another command: Ctrl-A.
        self.press(f" 'end'{number}\x01printf '<%s>\\n' {number}begin \r")
        text = self.wait_for(f"<end{number}>\r\n")
        printed = text.rpartition(f"<{number}begin>\r\n")[2]
        return re.findall(r"^<(.*)>\r$", printed.partition(f"<end{number}>")[0], re.MULTILINE)

    def wait_for(self, wanted):
        deadline = time.monotonic() + PATIENCE
        while wanted not in self.screen:
            is_ready = select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))[0]
            try:
                more = os.read(self.terminal, 65536) if is_ready else b""
            except OSError:
                # The last program of the terminal has ended.
                more = b""
            if not more:
                raise Failed(f"{self.name} did not print {wanted!r}, but:\n{self.screen}")
            self.screen += more.decode(errors="replace")
        return self.screen

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)
