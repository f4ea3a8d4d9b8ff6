"""What a run shares: the programs, the seed, what was counted and what went wrong."""

import asyncio
import contextlib
import os
import random
import sys
import time
from collections import Counter

from soak.clients import converse, make_noise
from soak.events import EVENTS, repeat
from soak.misbehaviour import MISBEHAVIOUR, first_rules, misbehave
from soak.programs import FAMILIES, all_programs

# A run with so many faults shows nothing more.
FAULTS_MAX = 20
# More conversations at once would measure this script.
AT_ONCE = 1000


class World:
    def __init__(self, options, folder):
        self.sok, self.seed, self.folder = options.sok, options.seed, folder
        self.rate, self.bad_rate, self.without = options.rate, options.rate / 10, options.without
        self.rules = {family: f"{folder}/{family}.rules" for family in FAMILIES}
        self.noise, self.noise_file = make_noise(self.seed), f"{folder}/noise"
        self.programs, self.counts, self.faults, self.lost = [], Counter(), [], 0
        self.began = time.monotonic()
        self.number = 0
        # Set by Ctrl-C, or by too many faults.
        self.stopped = asyncio.Event()
        # Set when the load is to end.
        self.over = asyncio.Event()

    def servers(self):
        return [program for program in self.programs if not program.target]

    def count(self, **counts):
        self.counts.update(counts)

    def fault(self, text):
        """Notes what must not happen, and prints it at once."""
        self.faults.append(text)
        print(f"{time.monotonic() - self.began:8.1f} s  FAULT: {text}", file=sys.stderr, flush=True)
        if len(self.faults) >= FAULTS_MAX:
            self.stopped.set()
            self.over.set()

    def lose(self, program, number, shape, error, conversation, seconds):
        """Notes a well-behaved client that lost its conversation."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        got = f"{conversation.sent} sent, {conversation.received} received" if conversation else "not connected"
        self.lost += 1
        self.fault(f"{program.name}: client {number} ({shape}) lost after {seconds:.1f} s, {got}: {error!r}")

    async def start(self):
        with open(self.noise_file, "wb") as file:
            file.write(self.noise)
        first_rules(self, random.Random(f"{self.seed}/rules"))
        os.chmod(self.folder, 0o755)
        all_programs(self)
        for program in self.programs:
            await program.start()

    async def stop(self):
        for program in reversed(self.programs):
            await program.stop()

    async def ends_within(self, seconds):
        """Waits for this time, or for the end of the load; returns whether it has ended."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), seconds)
        return self.over.is_set()

    async def load(self, seconds):
        """Lets clients and events happen for this time, then waits for all clients."""
        if self.stopped.is_set():
            return
        self.over.clear()
        rng = random.Random(f"{self.seed}/{seconds}")
        events = [repeat(self, event, random.Random(rng.random()), mean) for event, mean in EVENTS.items()
                  if event.__name__ not in self.without]
        async with asyncio.TaskGroup() as group:
            group.create_task(self.end_after(seconds))
            group.create_task(self.paced(self.rate, self.good))
            group.create_task(self.paced(self.bad_rate, self.bad))
            for event in events:
                group.create_task(event)

    async def end_after(self, seconds):
        await self.ends_within(seconds)
        self.over.set()

    async def paced(self, rate, begin):
        """Begins clients at a steady rate, whatever becomes of the earlier ones."""
        due = time.monotonic()
        at_once = asyncio.Semaphore(AT_ONCE)
        rng = random.Random(f"{self.seed}/{begin.__name__}")

        async def one(client):
            async with at_once:
                await client

        async with asyncio.TaskGroup() as group:
            while not await self.ends_within(max(0.0, due - time.monotonic())):
                due = max(due + 1 / rate, time.monotonic() - 1)
                group.create_task(one(begin(rng)))

    def good(self, rng):
        self.number += 1
        return converse(self, rng.choice(self.programs), self.number)

    def bad(self, rng):
        ways = {way: often for way, often in MISBEHAVIOUR.items() if way.__name__ not in self.without}
        way, = rng.choices(list(ways), ways.values())
        return misbehave(self, way, rng.choice(self.programs), random.Random(rng.random()))
