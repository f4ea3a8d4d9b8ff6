"""What the parts share."""

import os
import platform
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ARCHITECTURE = platform.machine()
TARGET = f"{ARCHITECTURE}-unknown-linux-gnu"


class Failed(Exception):
    """What ends the script, in words."""


def run(*command, **options):
    """Runs a program in the repository; its output goes to standard error."""
    words = [str(word) for word in command]
    done = subprocess.run(words, **{"cwd": ROOT, "stdout": 2, **options})
    if done.returncode:
        raise Failed(f"{' '.join(words)} ended with {done.returncode}")
    return done.stdout


def output(*command, **options):
    return run(*command, stdout=subprocess.PIPE, text=True, **options).strip()


def version():
    with open(os.path.join(ROOT, "Cargo.toml")) as file:
        return re.search(r'^version = "(.+)"', file.read(), re.MULTILINE)[1]


def git(*arguments):
    """The output of git, or nothing outside a repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit():
    """The commit of the source; marked if the files differ from it."""
    hash_of_it = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{hash_of_it}-dirty" if hash_of_it and changed else hash_of_it


def source_date():
    """The time of every file in a package, in seconds: that of the commit."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or 0)
