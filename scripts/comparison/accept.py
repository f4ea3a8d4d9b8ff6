"""Connections a second: sok serve against a bare loop and socat, sok relay against HAProxy."""

import contextlib
import ipaddress
import json
import os
import shutil
import statistics
import subprocess

from comparison.bench import divided, row, title
from comparison.relays import all_relays
from comparison.ways import end_at_once, free_address, hostport, processor_time, until_listening

CLIENTS = "4"
RULES = 10_000
WITH_RULES = f"sok with {RULES:,} rules"
WITH_STATUS = "sok with a status"
WITH_HEADER = "sok with PROXY header"
HEADER = "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n"


class Dialled:
    """The connections a second of each contender, and its processor time for each connection."""

    def __init__(self, bench):
        self.bench, self.micros = bench, {}

    def once(self, name, number, end):
        process, address = end
        before = processor_time(process) if process else 0
        header = [HEADER] if name == WITH_HEADER else []
        seconds = str(self.bench.options.seconds)
        out = json.loads(self.bench.run(self.bench.bare, "dial", address, CLIENTS, seconds, *header))
        if number > 0 and process:
            spent = (processor_time(process) - before) * 1e6 / out["connections"]
            self.micros.setdefault(name, []).append(spent)
        return out["per_second"]

    def note(self, name):
        return f", {statistics.median(self.micros[name]):.1f} us of CPU each" if name in self.micros else ""


@contextlib.contextmanager
def socat_echo(bench, family):
    """socat with a process for each connection; yields its process and its address."""
    address = free_address(bench, family)
    name, port = hostport(address)
    listen = {"unix": f"UNIX-LISTEN:{name}", "inet": f"TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr",
              "inet6": f"TCP6-LISTEN:{port},bind=[::1],reuseaddr"}[family]
    process = bench.start(["socat", listen + ",fork,backlog=1024", "PIPE"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=os.setpgrp)
    try:
        until_listening(process, address)
        yield process, address
    finally:
        bench.stop(process)
        end_at_once(process)


def many_rules(bench, family):
    """A file of rules of which none matches a client, with prefixes of every length."""
    if family == "unix":
        rules = [f"deny uid:{100_000 + number}" for number in range(RULES)]
    else:
        bits = {"inet": 32, "inet6": 128}[family]
        make = {"inet": ipaddress.IPv4Network, "inet6": ipaddress.IPv6Network}[family]
        rules = []
        for number in range(RULES):
            length = 8 + number % (bits - 7)
            # The first bits are those of no loopback address.
            first = 64 << (bits - 8) | number * 2654435761 % (1 << (bits - 8))
            rules.append(f"deny {make((first >> (bits - length) << (bits - length), length))}")
    path = bench.path("rules")
    with open(path, "w") as file:
        file.write("\n".join(rules) + "\n")
    return path


def compare_accept(bench):
    """Short connections, one after the other from each of four clients."""
    for family in bench.options.family:
        served(bench, family)
    for family in bench.options.family:
        relayed(bench, family)


def served(bench, family):
    with contextlib.ExitStack() as stack:
        servers = {"bare epoll loop": [bench.bare, "echo"],
                   "sok serve": [bench.sok, "serve", "--echo", "--threads", "1"],
                   WITH_RULES: [bench.sok, "serve", "--echo", "--threads", "1",
                                "--rules", many_rules(bench, family)],
                   WITH_STATUS: [bench.sok, "serve", "--echo", "--threads", "1",
                                 "--status", f"unix:{bench.path('status')}"],
                   WITH_HEADER: [bench.sok, "serve", "--echo", "--threads", "1", "--accept-proxy"]}
        ends = {name: stack.enter_context(bench.server(family, command)) for name, command in servers.items()}
        if shutil.which("socat"):
            ends["socat fork"] = stack.enter_context(socat_echo(bench, family))
        # Many short turns: another load of the machine then falls on neighbours alike.
        dialled = Dialled(bench)
        figures = bench.rounds(
            ends, lambda name, number: dialled.once(name, number, ends[name]), 4 * bench.options.rounds)
    title(f"accept over {family}: {CLIENTS} clients", "a second",
          ">= 0.9 x bare, >= 5 x socat fork, with rules, header or status >= 0.95 x without")
    least = {"bare epoll loop": 0.9, "socat fork": 5.0}
    ours = figures["sok serve"]
    for name, theirs in figures.items():
        if name == "sok serve":
            row(name, ours, note="its own" + dialled.note(name))
            continue
        if name in (WITH_RULES, WITH_HEADER, WITH_STATUS):
            row(name, theirs, divided(theirs, ours), lambda ratio: ratio >= 0.95,
                "this / sok serve" + dialled.note(name))
            continue
        row(name, theirs, divided(ours, theirs), lambda ratio, name=name: ratio >= least[name],
            "sok / this" + dialled.note(name))


def relayed(bench, family):
    dialled = Dialled(bench)
    with bench.server(family, [bench.bare, "echo"]) as (_, target):
        figures = bench.rounds_anew(
            lambda failed: all_relays(bench, family, target, failed),
            lambda ends, name, number: dialled.once(name, number, ends[name]), 2 * bench.options.rounds)
    title(f"accept through a relay from {family} to {family}: {CLIENTS} clients", "a second", ">= 1.0 x haproxy")
    ours = figures["sok relay"]
    for name, theirs in figures.items():
        ratios = divided(ours, theirs) if theirs is not ours else None
        met = (lambda ratio: ratio >= 1.0) if name.startswith("haproxy") else None
        row(name, theirs, ratios, met, ("sok / this" if ratios else "its own") + dialled.note(name))
