"""What happens to the programs under load: reloads, restarts, outages, too few descriptors."""

import asyncio
import contextlib
import os
import resource
import signal

from soak.misbehaviour import BROKEN_RULES, rules_text, write_rules
from soak.programs import FAMILIES, Fault, until


async def reload(world, rng):
    """New rules for all programs of a family; now and then a file that no program may take over."""
    family = rng.choice(FAMILIES)
    async with contextlib.AsyncExitStack() as stack:
        programs = [program for program in world.programs if program.family == family]
        for program in programs:
            # None of them may start with a broken file, or get the signal before it can handle it.
            await stack.enter_async_context(program.busy)
        if rng.random() < 0.25:
            await reload_broken(world, programs, family, rng)
        write_rules(world, family, rules_text(family, rng))
        for program in programs:
            program.signal_workers(signal.SIGHUP)
    world.count(reloads=1)


async def reload_broken(world, programs, family, rng):
    """All keep their rules, and say why."""
    write_rules(world, family, rng.choice(BROKEN_RULES))
    for program in programs:
        seen = program.log_size()
        program.signal_workers(signal.SIGHUP)
        await until(lambda: world.rules[family] in program.said(seen), f"{program.name} has not refused broken rules")
    world.count(refused_files=1)


async def restart(world, rng):
    """A server ends and starts again on the socket that `sok activate` holds, or a new one takes over."""
    program = rng.choice(world.servers())
    async with program.busy:
        seen, old = program.log_size(), program.workers()
        if rng.random() < 0.5:
            program.signal_workers(signal.SIGTERM)
        else:
            program.process.send_signal(signal.SIGHUP)
        await program.until_ready(seen)
        await until(lambda: len(program.workers()) == 1 and program.workers() != old,
                    f"{program.name} still runs its old server")
    world.count(restarts=1)


async def outage(world, rng):
    """A server and its socket are gone for a while: the clients of relays wait (--retry-for)."""
    program = rng.choice(world.servers())
    async with program.busy:
        program.calm.clear()
        # It could not serve those that it has not accepted yet.
        await until(lambda: not program.conversations, f"conversations with {program.name} have not ended")
        await program.stop()
        program.calm.set()
        await asyncio.sleep(rng.uniform(0, 1))
        await program.start()
    world.count(outages=1)


async def exhaust(world, rng):
    """A program has no descriptor left: it accepts later, and loses nobody."""
    # A server may just have ended.
    with contextlib.suppress(ProcessLookupError, FileNotFoundError, IndexError):
        pid = rng.choice(world.programs).workers()[0]
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        count = len(os.listdir(f"/proc/{pid}/fd"))
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (count + rng.randint(0, 4), hard))
            await asyncio.sleep(rng.uniform(0.2, 1.5))
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        world.count(exhaustions=1)


async def ask(world, rng):
    """A report of the open connections."""
    program = rng.choice(world.programs)
    async with program.busy:
        program.signal_workers(signal.SIGUSR1)
    world.count(reports=1)


async def watch(world, rng):
    """No program ends by itself or panics."""
    for program in world.programs:
        async with program.busy:
            if program.has_ended():
                raise Fault(f"{program.name} ended with {program.process.returncode}: {program.said()[-500:]}")
            if "panicked" in program.said():
                raise Fault(f"{program.name} panicked: {program.said()[-2000:]}")


# The mean time between two of a kind, in seconds.
EVENTS = {reload: 1, restart: 4, outage: 30, exhaust: 4, ask: 5, watch: 10}


async def repeat(world, event, rng, seconds):
    """Lets an event happen again and again, in random intervals, until the load ends."""
    while not await world.ends_within(rng.expovariate(1 / seconds)):
        try:
            await event(world, rng)
        except Fault as fault:
            world.fault(f"{event.__name__}: {fault}")
