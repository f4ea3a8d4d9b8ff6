"""Makes the man pages and the completions that go into each package."""

import contextlib
import gzip
import os
import shutil
import subprocess
import tempfile

from .common import ROOT, Failed, run, source_date

# The name of the file that each shell looks for.
COMPLETIONS = {"bash": "sok", "zsh": "_sok", "fish": "sok.fish"}


@contextlib.contextmanager
def staged(program):
    """A folder with man/ and completions/, made with `program`."""
    with tempfile.TemporaryDirectory(prefix="sok-package-") as folder:
        make_man(os.path.join(folder, "man"))
        make_completions(os.path.join(folder, "completions"), program)
        yield folder


def make_man(folder):
    os.makedirs(folder)
    script = os.path.join(ROOT, "scripts", "man")
    if os.path.exists(script):
        run(script, folder, env={**os.environ, "SOURCE_DATE_EPOCH": str(source_date())})


def make_completions(folder, program):
    for shell, name in COMPLETIONS.items():
        done = subprocess.run([program, "completions", shell], capture_output=True)
        if done.returncode == 2:
            # This program has no such command.
            continue
        if done.returncode or not done.stdout:
            raise Failed(f"{program} completions {shell} ended with {done.returncode}")
        os.makedirs(os.path.join(folder, shell), exist_ok=True)
        with open(os.path.join(folder, shell, name), "wb") as file:
            file.write(done.stdout)


def compressed(text):
    """As `gzip -9n`: the same bytes each time."""
    return gzip.compress(text, 9, mtime=0)


def files_of(folder):
    """The paths below `folder`, relative to it, sorted."""
    found = []
    for root, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(root, name), folder) for name in names]
    return sorted(found)


def install(source, target, mode=0o644):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, target)
    os.chmod(target, mode)
    os.utime(target, (source_date(), source_date()))
