"""What each program holds: descriptors, threads and memory, and the files that it leaves."""

import contextlib
import os
import stat
import time
from collections import Counter
from dataclasses import dataclass

from soak.programs import Fault, until

# A relay keeps empty pipes for the next spliced stream, at most this many for each thread (POOL_MAX in
# src/transfer/pipe.rs). All other descriptors must be the same.
PIPES_EACH_THREAD = 16
# Anonymous memory: pages of the program's file come and go with the page cache. The allocator keeps what
# the busiest moment needed, which comes late in a short run: a relay reaches its last 1 MiB within three
# minutes and stays there. In 20 minutes, a leak of 110 bytes for each connection would be more.
MEMORY_MORE_KIB = 2048
# Connections that are half-closed or waiting end within this time when all clients have left.
SETTLE = 60


@dataclass
class Usage:
    """What one process holds."""
    descriptors: int
    pipes: int
    threads: int
    memory_kib: int

    def steady(self):
        """What must be the same whenever the program is idle."""
        return self.descriptors, self.threads


def usage(pid):
    kinds = Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            kinds["pipe" if os.readlink(f"/proc/{pid}/fd/{name}").startswith("pipe:") else "other"] += 1
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return Usage(kinds["other"], kinds["pipe"], int(status["Threads"]), int(status["RssAnon"].split()[0]))


def all_usage(world):
    return {name: usage(pid) for program in world.programs for name, pid in program.processes().items()}


def steady(usages):
    return {name: each.steady() for name, each in usages.items()}


async def settled(world, wanted=None):
    """What all hold once they are idle: as much as `wanted`, or no less after a second."""
    if wanted is None:
        seen = [(time.monotonic(), steady(all_usage(world)))]

        def is_steady():
            now = steady(all_usage(world))
            if now != seen[0][1]:
                seen[0] = time.monotonic(), now
            return time.monotonic() - seen[0][0] > 1
    else:
        def is_steady():
            return steady(all_usage(world)) == steady(wanted)
    # A difference that stays is for the report.
    with contextlib.suppress(Fault):
        await until(is_steady, "", SETTLE)
    return all_usage(world)


def differences(before, after):
    """What a program holds more than it may."""
    for name, now in after.items():
        then = before[name]
        if now.steady() != then.steady():
            yield (f"{name}: {then.descriptors} descriptors and {then.threads} threads "
                   f"became {now.descriptors} and {now.threads}")
        if now.pipes > 2 * PIPES_EACH_THREAD * now.threads:
            yield f"{name}: {now.pipes} descriptors of pipes, with {now.threads} threads"
        if now.memory_kib > then.memory_kib + MEMORY_MORE_KIB:
            yield f"{name}: {then.memory_kib} KiB of memory became {now.memory_kib} KiB"


def zombies():
    """Processes of this namespace that have ended and that nobody has waited for."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/stat") as file:
                name, fields = file.read().split("(", 1)[1].rsplit(") ", 1)
            if fields.startswith("Z"):
                yield f"zombie: {name}, process {pid}, a child of {fields.split()[1]}"


def leftovers(folder):
    """What the programs left when they ended: nothing but the script's own files may be there."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) != os.getpid():
            with open(f"/proc/{pid}/cmdline") as file:
                yield f"process {pid} is left: {file.read().replace(chr(0), ' ')}"
    for path, folders, files in os.walk(folder):
        for name in folders:
            yield f"a folder is left: {os.path.join(path, name)}"
        for name in files:
            if stat.S_ISSOCK(os.lstat(os.path.join(path, name)).st_mode):
                yield f"a socket file is left: {os.path.join(path, name)}"
