"""Well-behaved clients: they check every byte that comes back, and lose none."""

import asyncio
import errno
import random
import socket
import time

from soak.programs import PATIENCE, Fault

KIB = 1024
# Any piece up to this size, from anywhere in the noise.
PIECE_MAX = 1024 * KIB
KINDS = {"inet": socket.AF_INET, "inet6": socket.AF_INET6, "unix": socket.AF_UNIX}


def make_noise(seed):
    """Random bytes from which every client sends its own part, so that a byte of another one is noticed."""
    return memoryview(random.Random(f"{seed}/noise").randbytes(4 * PIECE_MAX))


def place(address):
    """An address as connect(2) wants it."""
    family, name = address.split(":", 1)
    if family == "unix":
        return name
    host, port = name.rsplit(":", 1)
    return host.strip("[]"), int(port)


def open_socket(address, source=None):
    """A socket that does not block, of the family of an address."""
    sock = socket.socket(KINDS[address.split(":")[0]], socket.SOCK_STREAM)
    sock.setblocking(False)
    if source:
        sock.bind((source, 0))
    return sock


async def dial(address, source=None):
    sock = open_socket(address, source)
    try:
        await asyncio.get_running_loop().sock_connect(sock, place(address))
    except BaseException:
        sock.close()
        raise
    return sock


class Conversation:
    """One connection of a well-behaved client."""

    def __init__(self, world, rng, sock):
        self.world, self.rng, self.sock = world, rng, sock
        self.loop = asyncio.get_running_loop()
        self.room = memoryview(bytearray(64 * KIB))
        self.sent = self.received = 0

    def piece(self, least, most):
        size = self.rng.randint(least, most)
        start = self.rng.randint(0, len(self.world.noise) - size)
        return self.world.noise[start:start + size]

    async def send(self, bytes_):
        await self.loop.sock_sendall(self.sock, bytes_)
        self.sent += len(bytes_)

    async def expect(self, bytes_, most=64 * KIB, pause=0.0):
        """Receives exactly these bytes, at most `most` at once with a pause after each."""
        done = 0
        while done < len(bytes_):
            room = self.room[:min(most, len(bytes_) - done)]
            count = await self.loop.sock_recv_into(self.sock, room)
            if count == 0:
                raise Fault(f"end of file after {done} of {len(bytes_)} bytes")
            if room[:count] != bytes_[done:done + count]:
                raise Fault(f"other bytes between {done} and {done + count} of {len(bytes_)}")
            done += count
            self.received += count
            if pause:
                await asyncio.sleep(pause)

    async def expect_end(self):
        count = await self.loop.sock_recv_into(self.sock, self.room)
        if count:
            raise Fault(f"{count} bytes after the last")

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    async def both_ways(self, bytes_, most=64 * KIB, pause=0.0):
        """Sends and receives at the same time."""
        async def send():
            await self.send(bytes_)
            self.half_close()

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            group.create_task(self.expect(bytes_, most, pause))
        await self.expect_end()

    # What a client may do.

    async def questions(self):
        """Small messages and their answers in turn."""
        for _ in range(self.rng.randint(1, 20)):
            piece = self.piece(1, 4 * KIB)
            await self.send(piece)
            await self.expect(piece)
        self.half_close()
        await self.expect_end()

    async def half_closed(self):
        """All is sent and the sending half closed before anything is received."""
        piece = self.piece(0, 16 * KIB)
        await self.send(piece)
        self.half_close()
        await asyncio.sleep(self.rng.uniform(0, 0.1))
        await self.expect(piece)
        await self.expect_end()

    async def bulk(self):
        """A large stream both ways at once, which a relay splices."""
        await self.both_ways(self.piece(128 * KIB, PIECE_MAX))

    async def slow_reader(self):
        """A client that reads much more slowly than it sends."""
        await self.both_ways(self.piece(64 * KIB, 512 * KIB), 8 * KIB, 0.01)

    async def silent(self):
        """A connection that is idle while others are restarted, reloaded and killed around it."""
        for _ in range(2):
            piece = self.piece(1, 64 * KIB)
            await self.send(piece[:len(piece) // 2])
            await asyncio.sleep(self.rng.uniform(0, 3))
            await self.send(piece[len(piece) // 2:])
            await self.expect(piece)
        self.half_close()
        await self.expect_end()

    SHAPES = {questions: 60, half_closed: 25, bulk: 5, slow_reader: 5, silent: 5}


async def converse(world, program, number):
    """Client `number` of the run: with the same seed it does the same."""
    rng = random.Random(f"{world.seed}/{number}")
    await program.until_open()
    shape, = rng.choices(list(Conversation.SHAPES), Conversation.SHAPES.values())
    conversation = None
    program.server.conversations += 1
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            conversation = Conversation(world, rng, await dial(program.address))
            with conversation.sock:
                await shape(conversation)
    except (Exception, ExceptionGroup) as error:
        world.lose(program, number, shape.__name__, error, conversation, time.monotonic() - began)
    finally:
        program.server.conversations -= 1
    world.count(connections=1)
    if conversation:
        world.count(sent=conversation.sent, received=conversation.received)


def is_broken(error):
    """Whether an error says that the server cut the connection off."""
    return isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN)
