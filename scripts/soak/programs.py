"""The programs under test: three servers, one for each family, and nine relays between all families."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import time

FAMILIES = ("inet", "inet6", "unix")
# What waits in a backlog waits no longer than this.
PATIENCE = 60
# Longer than any conversation, so that a server which stops cuts none off.
GRACE = ["--grace", "30s"]


class Fault(Exception):
    """sok did what it must not."""


async def until(condition, otherwise, patience=PATIENCE):
    """Waits until something is true, and fails with `otherwise` if it does not become true."""
    late = time.monotonic() + patience
    while not condition():
        if time.monotonic() > late:
            raise Fault(f"{otherwise} after {patience} s")
        await asyncio.sleep(0.02)


class Program:
    """One `sok` with its address; a server runs under `sok activate`, which holds its socket."""

    def __init__(self, world, name, family, target=None):
        self.world, self.name, self.family, self.target = world, name, family, target
        number = len(world.programs)
        self.address = {"inet": f"inet:127.0.0.1:{7000 + number}", "inet6": f"inet6:[::1]:{7000 + number}",
                        "unix": f"unix:{world.folder}/{name}.sock"}[family]
        self.log = f"{world.folder}/{name}.log"
        self.process = None
        # Held by what stops the program, so that nothing signals it meanwhile.
        self.busy = asyncio.Lock()
        # Cleared while a server is away: from then on only relays may have clients.
        self.listens = asyncio.Event()
        # Cleared while a server that is about to leave waits for the end of all conversations with it.
        self.calm = asyncio.Event()
        self.calm.set()
        self.conversations = 0

    def command(self):
        sok, rules = self.world.sok, ["--rules", self.world.rules[self.family]]
        mode = ["--mode", "666"] if self.family == "unix" else []
        if self.target:
            return [sok, "relay", *rules, *mode, self.address, self.target.address, "--retry-for", f"{PATIENCE}s"]
        return [sok, "activate", *mode, self.address, "--restart", *GRACE, "--",
                sok, "serve", *rules, "fd:3", "--echo", *GRACE]

    @property
    def server(self):
        """The program with the server, itself if it is a relay."""
        return self.target or self

    async def until_open(self):
        """Waits while no conversation may begin: a relay waits for its server, a client of the server does not."""
        while not (self.server.calm.is_set() and self.listens.is_set()):
            await self.server.calm.wait()
            await self.listens.wait()

    async def start(self):
        with open(self.log, "a") as log:
            seen = log.tell()
            # Ctrl-C is for the script, which checks the program before it stops it.
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        # The server under `sok activate` has a ready line too, and takes no signal before it.
        await self.until_ready(seen, 1 if self.target else 2)
        self.listens.set()

    async def until_ready(self, seen, lines=1):
        """Waits for so many ready lines in what is logged after `seen`."""
        await until(lambda: self.has_ended() or len(re.findall("^listening on ", self.said(seen), re.M)) >= lines,
                    f"{self.name} is not ready")
        if self.has_ended():
            raise Fault(f"{self.name} ended with {self.process.returncode}: {self.said(seen)}")

    def has_ended(self):
        return self.process.poll() is not None

    def said(self, seen=0):
        with open(self.log, errors="replace") as log:
            log.seek(seen)
            return log.read()

    def log_size(self):
        return os.path.getsize(self.log)

    def workers(self):
        """The processes that serve: the relay, or what `sok activate` has started."""
        if self.target:
            return [self.process.pid]
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            return [int(child) for child in file.read().split()]

    def processes(self):
        """Each process with a name for the report."""
        both = {self.name: self.process.pid}
        if not self.target:
            both[f"{self.name} server"], = self.workers()
        return both

    def signal_workers(self, number):
        for worker in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, number)

    async def stop(self):
        """Stops it as a service manager does, and checks how it ended."""
        self.listens.clear()
        self.process.send_signal(signal.SIGTERM)
        await until(self.has_ended, f"{self.name} has not ended after SIGTERM")
        if self.process.returncode != 0:
            raise Fault(f"{self.name} ended with {self.process.returncode} after SIGTERM: {self.said()[-500:]}")
        if self.family == "unix" and os.path.exists(self.address.removeprefix("unix:")):
            raise Fault(f"{self.name} left its socket file")


def all_programs(world):
    """The servers, then the relays, so that each target is there before what needs it."""
    for family in FAMILIES:
        world.programs.append(Program(world, f"serve-{family}", family))
    for target in world.programs[:]:
        for family in FAMILIES:
            world.programs.append(Program(world, f"relay-{family}-{target.family}", family, target))
