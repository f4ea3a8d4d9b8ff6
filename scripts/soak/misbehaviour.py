"""Clients that must not disturb the others: killed, reset, stalled, half-closed and left, refused."""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess

from soak.clients import KIB, dial, is_broken, open_socket, place
from soak.programs import FAMILIES, Fault

# Peers that every version of the rules refuses.
INTRUDERS = {"inet": "127.0.0.66", "inet6": "fd00::66", "unix": 65534}
# close(2) then resets, see SO_LINGER in socket(7).
RESET = struct.pack("ii", 1, 0)


def reset(sock):
    """Closes a socket so that its peer sees an error, if its family can."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


async def send_blindly(sock, bytes_):
    """Sends what the other side takes, without a thought for the answer."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(0.2):
            await asyncio.get_running_loop().sock_sendall(sock, bytes_)


async def resets(world, program, rng):
    """Resets in the middle of a message."""
    sock = await dial(program.address)
    await send_blindly(sock, world.noise[:rng.choice([0, 1, 3000, 300 * KIB])])
    await asyncio.sleep(rng.uniform(0, 0.05))
    reset(sock)


async def stalls(world, program, rng):
    """Sends, and never reads the answer."""
    with await dial(program.address) as sock:
        await send_blindly(sock, world.noise[:rng.randint(1, 4096 * KIB)])
        await asyncio.sleep(rng.uniform(0.5, 3))


async def leaves(world, program, rng):
    """Half-closes and leaves before the answer, or without a question."""
    with await dial(program.address) as sock:
        await send_blindly(sock, world.noise[:rng.choice([0, 1, 20 * KIB])])
        with contextlib.suppress(OSError):
            sock.shutdown(rng.choice([socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR]))
        await asyncio.sleep(rng.uniform(0, 0.1))


async def waits(world, program, rng):
    """Connects and says nothing."""
    with await dial(program.address):
        await asyncio.sleep(rng.uniform(0.5, 3))


async def kills(world, program, rng):
    """A client process that is killed in the middle of its transfer, with an answer it has not read."""
    with open(world.noise_file, "rb") as noise, subprocess.Popen(
            [world.sok, "-q", "connect", program.address], stdin=noise, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True) as process:
        await asyncio.sleep(rng.uniform(0.02, 0.5))
        process.kill()


async def intrudes(world, program, rng):
    """Comes from an address or a user that the rules refuse, however often they are reloaded."""
    sock = connected_intruder(program)
    if sock is None:
        return
    loop = asyncio.get_running_loop()
    with sock:
        try:
            async with asyncio.timeout(20):
                if program.family != "unix":
                    await loop.sock_connect(sock, place(program.address))
                await loop.sock_sendall(sock, b"let me in")
                answer = await loop.sock_recv(sock, 100)
        except OSError as error:
            if not is_broken(error):
                raise
            answer = b""
    if answer:
        raise Fault(f"{program.name} served a peer that its rules refuse")


def connected_intruder(program):
    """A socket of a refused peer; on AF_UNIX it is connected, as that is when its user counts."""
    intruder = INTRUDERS[program.family]
    if program.family != "unix":
        return open_socket(program.address, intruder)
    sock = open_socket(program.address)
    try:
        os.seteuid(intruder)
    except OSError:
        # Only root has another user.
        sock.close()
        return None
    try:
        sock.connect(place(program.address))
    except BaseException:
        sock.close()
        raise
    finally:
        os.seteuid(0)
    return sock


# How many of each in a hundred.
MISBEHAVIOUR = {resets: 30, stalls: 15, leaves: 25, waits: 10, kills: 10, intrudes: 10}


async def misbehave(world, way, program, rng):
    """One client that behaves badly. That it finds no server is no fault: it does not wait for one."""
    try:
        await way(world, program, rng)
        world.count(**{way.__name__: 1})
    except Fault as fault:
        world.fault(str(fault))
    except (OSError, TimeoutError) as error:
        if program.listens.is_set() and not is_broken(error):
            world.fault(f"{program.name}: a client that {way.__name__} failed: {error!r}")


def rules_text(family, rng):
    """Rules that refuse the intruder and nobody who behaves; what else they say differs each time."""
    intruder = INTRUDERS[family]
    others = {"inet": lambda: f"10.{rng.randrange(256)}.{rng.randrange(256)}.0/24",
              "inet6": lambda: f"2001:db8:{rng.randrange(65536):x}::/48",
              "unix": lambda: f"uid:{rng.randrange(100_000, 200_000)}"}[family]
    lines = [f"{rng.choice(['allow', 'deny'])} {others()}" for _ in range(rng.choice([0, 1, 10, 1000]))]
    lines.insert(rng.randint(0, len(lines)), f"deny {'uid:' if family == 'unix' else ''}{intruder}")
    return "# Reloaded under load.\n" + "\n".join([*lines, "allow any"]) + "\n"


BROKEN_RULES = ("allow everybody\n", "allow any\ndeny 10.0.0.0/99\n", "deny\n", "allow any\n\0\n")


def write_rules(world, family, text):
    """Replaces the file at once, so that nobody reads half of it."""
    path = world.rules[family]
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def first_rules(world, rng):
    for family in FAMILIES:
        write_rules(world, family, rules_text(family, rng))
