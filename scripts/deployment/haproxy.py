"""deploy/haproxy.cfg with three hosts in network namespaces, of which one is cut off while clients talk."""

import asyncio
import contextlib
import json
import os
import re
import socket
import time
from collections import Counter

import isolation
from deployment.common import (
    DEPLOY, PATIENCE, Background, Failed, apart, check, done, read, require, require_programs, until)

CONFIG = os.path.join(DEPLOY, "haproxy.cfg")
FRONT = ("192.0.2.10", 443)
CLIENTS = "192.0.2.20"
HOSTS = {"a": "192.0.2.11", "b": "192.0.2.12", "c": "192.0.2.13"}
ADDRESSES = {"front": FRONT[0], "clients": CLIENTS, **HOSTS}
CUT_OFF = "c"
# Connections that stay open all the time, and short ones that begin each second.
LONG, SHORT = 30, 40
# How long all hosts are there, before the cut and after it.
SECONDS = 3


def try_haproxy(sok, folder):
    require("root", os.geteuid() == 0)
    require_programs("haproxy", "ip")
    apart(lambda: hosts(sok, folder))


def hosts(sok, folder):
    make_network()
    with Background(folder) as programs:
        for host in HOSTS:
            # In front of a service that knows nothing of PROXY headers, as the configuration says.
            programs.sok(f"app-{host}", sok, "serve", f"{folder}/{host}.sock", "--framing", "line", "--suffix", f" {host}")
            relay = re.search(r"^#\s+sok (relay inet:0.0.0.0:8443) /run/app.sock (.*)", read(CONFIG), re.M)
            listen, proxy = relay[1].split(), relay[2].split()
            programs.sok(f"relay-{host}", *at(host), sok, "-v", "--json", *listen, f"{folder}/{host}.sock", *proxy)
        done("haproxy", "-c", "-f", CONFIG)
        front = programs.start("haproxy", *at("front"), "haproxy", "-db", "-f", CONFIG)
        enter("clients")
        until(lambda: probe(FRONT), lambda: f"HAProxy does not answer: {read(front.log)}")
        served = asyncio.run(talk(lambda: read(front.log)))
        shows_clients(programs, served)
        refuses_others(HOSTS["a"])


def make_network():
    """A namespace for each host, all on one switch."""
    done("mount", "-t", "tmpfs", "tmpfs", "/run")
    for name in ("switch", *ADDRESSES):
        done("ip", "netns", "add", name)
        done("ip", "-n", name, "link", "set", "lo", "up")
    done("ip", "-n", "switch", "link", "add", "bridge", "type", "bridge")
    done("ip", "-n", "switch", "link", "set", "bridge", "up")
    for name, address in ADDRESSES.items():
        link = f"to-{name}"
        done("ip", "-n", "switch", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        done("ip", "-n", "switch", "link", "set", link, "master", "bridge", "up")
        done("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        done("ip", "-n", name, "link", "set", "eth0", "up")


def at(host):
    return "ip", "netns", "exec", host


def enter(host):
    """Moves this process to a host."""
    with open(f"/run/netns/{host}") as namespace:
        check(isolation.libc.setns(namespace.fileno(), isolation.CLONE_NEWNET) == 0, "setns failed")


def switch(state):
    """Takes the link of a host away, or brings it back."""
    done("ip", "-n", "switch", "link", "set", f"to-{CUT_OFF}", state)


def probe(place):
    with contextlib.suppress(OSError), socket.create_connection(place, 2) as sock:
        sock.sendall(b"probe\n")
        return sock.recv(100).startswith(b"probe ")
    return False


class Clients:
    """All that clients see of the hosts."""

    def __init__(self):
        self.over = asyncio.Event()
        # From the cut on, until HAProxy has noticed it and closed the connections.
        self.cut = False
        # The host that each new connection reached, in the order of the first answers.
        self.reached = []
        self.served, self.lost, self.faults = Counter(), Counter(), []
        self.began = time.monotonic()

    def lose(self, host, error):
        """The host that is cut off may lose its connections, and those that no host has answered yet."""
        self.lost[host or "unanswered"] += 1
        if host not in (CUT_OFF, None) or not self.cut:
            after = time.monotonic() - self.began
            self.faults.append(f"after {after:.1f} s, a connection to {host or 'no host yet'} was lost: {error!r}")

    async def converse(self, lines, pause):
        """Sends numbered lines, each of which must come back from the same host; returns the host."""
        host = None
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(*FRONT)
            try:
                for number in range(lines):
                    writer.write(b"%d\n" % number)
                    async with asyncio.timeout(PATIENCE):
                        answer = await reader.readline()
                    if not answer:
                        raise ConnectionError(f"end of file instead of answer {number}")
                    said, now = answer.decode().split()
                    if int(said) != number or host not in (None, now):
                        raise ConnectionError(f"answer {answer!r} to {number} of {host}")
                    if host is None:
                        self.reached.append(now)
                    host = now
                    if self.over.is_set():
                        break
                    await asyncio.sleep(pause)
                writer.write_eof()
                if await reader.read():
                    raise ConnectionError("bytes after the last answer")
            finally:
                writer.close()
            self.served[host] += 1
        except (OSError, TimeoutError) as error:
            self.lose(host, error)
            return None
        return host

    async def long(self):
        """Connects again whenever its connection is lost, as clients of the host that is cut off must."""
        while not self.over.is_set():
            await self.converse(1_000_000, 0.05)

    async def short(self):
        async with asyncio.TaskGroup() as group:
            while not self.over.is_set():
                group.create_task(self.converse(3, 0.01))
                await asyncio.sleep(1 / SHORT)


async def until_true(condition, failure):
    """Waits for a condition, or fails with what was seen instead."""
    late = time.monotonic() + PATIENCE
    while not condition():
        check(time.monotonic() < late, failure())
        await asyncio.sleep(0.05)


async def until_reached(clients, hosts):
    """Waits until new connections have reached each of these hosts.

    How many reach which is HAProxy's choice: a host with fewer connections than the others gets all new ones.
    """
    before = len(clients.reached)
    await until_true(lambda: hosts <= set(clients.reached[before:]),
                     lambda: f"new connections reach only {Counter(clients.reached[before:])}, not all of {hosts}; "
                             f"faults: {clients.faults[:3]}")


async def talk(log):
    """Cuts a host off and brings it back while clients talk; returns how many connections each host served."""
    clients = Clients()
    async with asyncio.TaskGroup() as group:
        for _ in range(LONG):
            group.create_task(clients.long())
        group.create_task(clients.short())
        await until_reached(clients, set(HOSTS))
        await asyncio.sleep(SECONDS)
        clients.cut = True
        switch("down")
        down = f"Server hosts/{CUT_OFF} is DOWN"
        await until_true(lambda: down in log(), lambda: f"HAProxy does not say {down!r}: {log()}")
        before = len(clients.reached)
        await asyncio.sleep(SECONDS)
        check(CUT_OFF not in clients.reached[before:], f"a new connection reached {CUT_OFF}, which is cut off")
        clients.cut = False
        switch("up")
        await until_reached(clients, {CUT_OFF})
        await asyncio.sleep(SECONDS)
        clients.over.set()
    check(not clients.faults, f"{len(clients.faults)} faults, such as: {clients.faults[:3]}")
    check(clients.lost[CUT_OFF], f"nothing was lost with {CUT_OFF}, so it was not cut off")
    served = ", ".join(f"{host} {clients.served[host]}" for host in HOSTS)
    print(f"  connections served: {served}; with {CUT_OFF} cut off, {clients.lost[CUT_OFF]} of its own lost, "
          f"{clients.lost['unanswered']} not answered yet, none of the others", flush=True)
    return clients.served


def shows_clients(programs, served):
    """The relays know the clients by the addresses that the PROXY headers gave, not by HAProxy's."""
    for host in HOSTS:
        peers = Counter()
        for line in read(f"{programs.folder}/relay-{host}.log").splitlines():
            event = json.loads(line)
            if event.get("peer"):
                peers[event["peer"].split(":")[1]] += 1
        check(peers[CLIENTS] >= served[host], f"{host} says that its peers are {dict(peers)}")


def refuses_others(host):
    """Whoever is not HAProxy may not claim an address, however well it is written."""
    # It is reset, perhaps even before it has sent anything.
    with contextlib.suppress(ConnectionError), socket.create_connection((host, 8443), PATIENCE) as sock:
        sock.sendall(b"PROXY TCP4 192.0.2.99 192.0.2.11 1000 8443\r\nhello\n")
        answer = sock.recv(100)
        raise Failed(f"a client that claimed an address was answered {answer!r}")
