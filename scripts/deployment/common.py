"""What the parts share: the checks, what the machine must have, and programs in the background."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time

import isolation

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEPLOY = os.path.join(ROOT, "deploy")
# No result depends on it: a wait that takes so long is a hang.
PATIENCE = 60


class Failed(Exception):
    """A file in deploy/ does not do what it says."""


class Lacking(Exception):
    """The machine lacks something; its argument is the name for SOK_REQUIRE."""


def require(name, there):
    """Skips the part if the machine lacks something, or fails if SOK_REQUIRE (a list with commas) names it."""
    if there:
        return
    if name in [wanted.strip() for wanted in os.environ.get("SOK_REQUIRE", "").split(",")]:
        raise Failed(f"SOK_REQUIRE names {name}, and this machine lacks it")
    # The list that scripts/test prints at its end.
    if os.environ.get("SOK_SKIPPED"):
        with open(os.environ["SOK_SKIPPED"], "a") as file:
            file.write(f"{name}\n")
    raise Lacking(name)


def require_programs(*names):
    for name in names:
        require(name, shutil.which(name))


def check(holds, otherwise):
    if not holds:
        raise Failed(otherwise)


def apart(work, kinds=isolation.NETWORK_AND_PROCESSES, users=None, handles_signals=True):
    """Runs `work` in namespaces of its own; what it starts ends with it."""
    def caught():
        try:
            work()
        except Failed as error:
            print(f"  {error}", flush=True)
            return 1

    check(isolation.isolated(caught, kinds, users, handles_signals) == 0, "see above")


def done(*command, code=0, input=None, **more):
    """Runs a command and returns what it printed; it must end with `code`."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, input=input, **more)
    check(ran.returncode == code,
          f"{' '.join(command)} ended with {ran.returncode}, not {code}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def read(path):
    with open(path, errors="replace") as file:
        return file.read()


def until(condition, otherwise):
    """Waits until something is true."""
    late = time.monotonic() + PATIENCE
    while not condition():
        check(time.monotonic() < late, otherwise() if callable(otherwise) else otherwise)
        time.sleep(0.02)


class Background:
    """Programs that run until the end of the part, each with its output in a file."""

    def __init__(self, folder):
        self.folder, self.running = folder, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def start(self, name, *command, ready=None, **more):
        """Starts a command and waits until its output has a line that matches `ready`."""
        path = os.path.join(self.folder, f"{name}.log")
        with open(path, "w") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
        self.running.append(process)
        process.log = path
        if ready:
            until(lambda: process.poll() is not None or re.search(ready, read(path), re.M),
                  lambda: f"{name} is not ready: {read(path)}")
            check(process.poll() is None, f"{name} ended with {process.returncode}: {read(path)}")
        return process

    def sok(self, name, *command, **more):
        return self.start(name, *command, ready="listening", **more)


def build():
    """Builds sok as it is shipped; returns its path."""
    command = ["cargo", "build", "--release", "--locked", "--bin", "sok",
               "--message-format=json-render-diagnostics"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    artifacts = map(json.loads, lines)
    return next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == "sok")
