"""sok serve, sok call and sok connect against nc, socat and the bare programs."""

import contextlib
import json
import os
import random
import select
import shutil
import statistics
import subprocess
import time

from comparison.bench import (
    PATIENCE, Failed, divided, held_connections, netcat, note_loss, on_cpu, resident, row, says, socat, title)


def compare_call(bench):
    """The wall time of a process that makes one call."""
    hello = bench.path("hello")
    with open(hello, "w") as file:
        file.write("hello\n")
    for family in bench.options.family:
        with bench.server(family, [bench.bare, "echo"]) as (_, address):
            commands = {
                "sok call": [bench.sok, "call", address, "hello"],
                "nc -N": ["nc", "-N", *netcat(address)],
                "socat -": ["socat", "-", socat(address)],
                "a bare program": [bench.bare, "call", address, "hello"],
            }
            commands.update({called(name): [file, "call", address, "hello"] for name, file in bench.options.build})
            commands = {name: c for name, c in commands.items() if shutil.which(c[0])}
            figures = {name: [] for name in commands}
            faults = {name: page_faults(command, hello) for name, command in commands.items()}
            for number in range(bench.options.rounds + 1):
                # The programs take turns process by process, not only round by round, in another order each time.
                order = random.sample(list(commands), len(commands))
                words = [word for name in order for word in ["--", *commands[name]]]
                out = bench.run(bench.bare, "race", str(bench.options.runs), hello, "hello", *words)
                for name, micros in zip(order, json.loads(out)):
                    if number > 0:
                        figures[name].append(micros)
        most = 1.0 if family == "unix" else 0.95
        title(f"call over {family}: {bench.options.runs} processes a round", "us a process", f"<= {most:.2f} x nc -N")
        ours, netcats = figures.pop("sok call"), figures.get("nc -N")
        row("sok call", ours, note=f"{faults['sok call']} page faults")
        builds = {called(name) for name, _ in bench.options.build}
        for name, theirs in figures.items():
            if name in builds:
                ratios = divided(theirs, netcats) if netcats else None
                row(name, theirs, ratios, note=f"this / nc -N, {faults[name]} page faults")
                continue
            met = (lambda ratio: ratio <= most) if name == "nc -N" else None
            row(name, theirs, divided(ours, theirs), met, f"sok / this, {faults[name]} page faults")


def called(build):
    return f"sok call ({build})"


def page_faults(command, hello):
    """The minimum of page faults of a process that makes one call: most of the cost of its start."""
    counts = []
    for _ in range(5):
        with open(hello) as stdin:
            process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failed(f"{command} ended with {process.returncode}")
        counts.append(used.ru_minflt)
    return min(counts)


def compare_echo(bench):
    """Round trips of small messages over many connections."""
    servers = {
        "bare epoll loop": [bench.bare, "echo"],
        "sok serve --threads 1": [bench.sok, "serve", "--echo", "--threads", "1"],
        "sok serve --threads 2": [bench.sok, "serve", "--echo", "--threads", "2"],
    }
    for family in bench.options.family:
        with contextlib.ExitStack() as stack:
            running = {name: stack.enter_context(bench.server(family, c)) for name, c in servers.items()}
            notes = {name: [] for name in servers}

            def once(name, number):
                process, address = running[name]
                before = on_cpu(process)
                out = json.loads(bench.run(bench.bare, "load", address, "64", str(bench.options.seconds), "64"))
                if number > 0:
                    cpu = (on_cpu(process) - before) / 1000 / out["trips"]
                    notes[name].append((out["p50_us"], out["p99_us"], cpu))
                return out["per_second"]

            # Many short turns: another load of the machine then falls on neighbours alike.
            figures = bench.rounds(servers, once, 4 * bench.options.rounds)
        title(f"echo over {family}: 64 bytes, 64 connections", "trips/s", ">= 0.90 x bare")
        bare = figures["bare epoll loop"]
        for name, ours in figures.items():
            p50, p99, cpu = (statistics.median(each) for each in zip(*notes[name]))
            met = (lambda ratio: ratio >= 0.9) if name == "sok serve --threads 1" else None
            ratios = divided(ours, bare) if ours is not bare else None
            row(name, ours, ratios, met, f"p50 {p50:.0f} us, p99 {p99:.0f} us, {cpu:.2f} us of CPU each")


def compare_echo_datagrams(bench):
    """Round trips of small datagrams, with one peer and with many."""
    servers = {
        "bare recvfrom, sendto": [bench.bare, "echo"],
        "sok serve --threads 1": [bench.sok, "serve", "--echo", "--threads", "1"],
    }
    prefixes = {"unix": "unixgram", "inet": "udp4", "inet6": "udp6"}
    for family, peers in ((family, peers) for family in bench.options.family for peers in ["1", "64"]):
        prefix = prefixes[family]
        with contextlib.ExitStack() as stack:
            running = {name: stack.enter_context(bench.server(prefix, c)) for name, c in servers.items()}
            notes = {name: [] for name in servers}

            def once(name, number):
                process, address = running[name]
                before = on_cpu(process)
                out = json.loads(bench.run(bench.bare, "load", address, peers, str(bench.options.seconds), "64"))
                if number > 0:
                    notes[name].append((out["p50_us"], (on_cpu(process) - before) / 1000 / out["trips"]))
                return out["per_second"]

            figures = bench.rounds(servers, once, 4 * bench.options.rounds)
        title(f"echo over {prefix}: 64 bytes, {peers} peers", "trips/s", ">= 0.90 x bare")
        bare = figures["bare recvfrom, sendto"]
        for name, ours in figures.items():
            p50, cpu = (statistics.median(each) for each in zip(*notes[name]))
            is_ours = ours is not bare
            met = (lambda ratio: ratio >= 0.9) if is_ours else None
            row(name, ours, divided(ours, bare) if is_ours else None, met, f"p50 {p50:.0f} us, {cpu:.2f} us of CPU each")


def compare_idle(bench):
    """Resident memory for each idle connection."""
    count = held_connections(bench.options, 1)
    limit = str(2 * count)
    servers = {
        "bare epoll loop": [bench.bare, "echo"],
        "sok serve --threads 1": [bench.sok, "serve", "--threads", "1", "--max-connections", limit],
        "sok serve --threads 2": [bench.sok, "serve", "--threads", "2", "--max-connections", limit],
        "sok serve --framing line": [bench.sok, "serve", "--threads", "1", "--framing", "line",
                                     "--max-connections", limit],
    }
    for family in bench.options.family:
        title(f"idle over {family}: {count} connections, one 64-byte message each before", "bytes each",
              "<= 2048")
        for name, command in servers.items():
            figures = []
            for _ in range(min(bench.options.rounds, 3)):
                # A new server each time: one that has had them keeps what it allocated.
                with bench.server(family, command) as (process, address):
                    bench.run(bench.bare, "load", address, "1", "0.1", "64")
                    before = resident(process)
                    holder = bench.start([bench.bare, "hold", address, str(count)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                    if holder.stdout.readline() != "held\n":
                        raise Failed(f"{name} did not take {count} connections")
                    figures.append((resident(process) - before) / count)
                    holder.stdin.close()
                    bench.stop(holder)
            note = "" if name == "bare epoll loop" else "met" if statistics.median(figures) <= 2048 else "MISSED"
            row(name, figures, note=note)


def content(bench, path):
    """Fills a file with bytes that do not repeat, and returns their digest."""
    with open(path, "wb") as file:
        left = bench.options.size
        while left:
            piece = os.urandom(min(left, 1 << 24))
            file.write(piece)
            left -= len(piece)
    return digest(bench, path)


def digest(bench, path):
    with open(path, "rb") as file:
        return subprocess.run([bench.bare, "digest"], stdin=file, stdout=subprocess.PIPE, text=True).stdout.strip()


def clients(bench, address, receive):
    """The ways to move bytes between the standard streams and an address."""
    all_ways = {
        "sok connect": [bench.sok, "connect", address],
        "nc -N": ["nc", "-N", *netcat(address)],
        "socat -": ["socat", "-", socat(address)],
        # Not the default, but the way to make socat wait for all of it.
        "socat -u": ["socat", "-u", *([socat(address), "-"] if receive else ["-", socat(address)])],
    }
    return {name: command for name, command in all_ways.items() if shutil.which(command[0])}


def move(bench, command, stdin, stdout):
    """Runs a client to its end; returns the time it took."""
    began = time.monotonic()
    process = bench.start(command, stdin=stdin, stdout=stdout)
    for end in (stdin, stdout):
        if end not in (None, subprocess.DEVNULL):
            end.close()
    # Popen.wait with a limit looks every 50 ms.
    ends = os.pidfd_open(process.pid)
    ended = select.select([ends], [], [], PATIENCE)[0]
    took = time.monotonic() - began
    os.close(ends)
    bench.stop(process)
    if not ended:
        raise Failed(f"{command} did not end")
    return took


def compare_stream(bench):
    """Many bytes, from the standard input and to the standard output."""
    given = bench.path("content")
    right = content(bench, given)
    gigabyte = bench.options.size / 1e9
    for family in bench.options.family:
        for receive in (False, True):
            service = [bench.bare, "source", given] if receive else [bench.bare, "sink"]
            with bench.server(family, service) as (server, address):
                for by in ("file", "pipe"):
                    stream_row(bench, family, receive, by, server, address, given, right, gigabyte)


def stream_row(bench, family, receive, by, server, address, given, right, gigabyte):
    commands = clients(bench, address, receive)
    lost = {}

    def line(process):
        if not says(process):
            raise Failed(f"no word came from {process.args}")
        return process.stdout.readline().strip()

    def send(name):
        feeder = None
        if by == "file":
            stdin = open(given, "rb")
        else:
            feeder = bench.start([bench.bare, "feed", given], stdout=subprocess.PIPE)
            stdin = feeder.stdout
        try:
            took = move(bench, commands[name], stdin, subprocess.DEVNULL)
        finally:
            if feeder:
                bench.stop(feeder)
        return took, " ".join(line(server).split()[:2])

    def fetch(name):
        if by == "file":
            # A new file each time, so that none has its pages already.
            target = bench.path("received")
            took = move(bench, commands[name], subprocess.DEVNULL, open(target, "wb"))
            got = digest(bench, target)
            os.unlink(target)
        else:
            reader = bench.start([bench.bare, "digest"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                took = move(bench, commands[name], subprocess.DEVNULL, reader.stdin)
                got = line(reader)
            finally:
                bench.stop(reader)
        line(server)
        return took, got

    def once(name, _):
        try:
            took, got = fetch(name) if receive else send(name)
        except Failed:
            # What the server says of it must not be taken for the next one's.
            if says(server):
                server.stdout.readline()
            raise
        note_loss(lost, name, right, got)
        return gigabyte / took

    figures = bench.rounds(commands, once)
    way = f"the socket to a {by}" if receive else f"a {by} to the socket"
    title(f"stream over {family}: {way}", "GB/s", ">= 1.00 x each")
    ours = figures["sok connect"]
    for name, theirs in figures.items():
        if name in lost:
            # The rate of a part says nothing.
            row(name, [], note=lost[name])
            continue
        met = (lambda ratio: ratio >= 1.0) if name in ("nc -N", "socat -") else None
        ratios = divided(ours, theirs) if theirs is not ours else None
        row(name, theirs, ratios, met, "sok / this" if ratios else "")
