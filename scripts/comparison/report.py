"""The report: every table as a page, with the machine, the versions, and pictures."""

import datetime
import json
import os
import platform
import re
import shutil
import subprocess

from comparison.bench import CONGESTION, PROXYD, ROOT, text
from comparison.picture import bars

# The headings, and what is measured, in the order of the page.
SECTIONS = {
    "call": ("A call from a script", "The time of a whole process that sends one line and prints the reply, on the "
             "same server. Most of it is the start of a program, which page faults dominate."),
    "echo": ("A server of small messages", "Round trips of 64 bytes over 64 connections."),
    "echo-dgram": ("A server of datagrams", "Round trips of datagrams of 64 bytes."),
    "accept": ("Accepting connections", "Connections a second: each sends 64 bytes, gets them back, and is reset."),
    "idle": ("Idle connections", "The memory that the server takes for each."),
    "stream": ("A file through a client", "One file through `sok connect` and others, each way."),
    "relay": ("A relay in bulk", "One connection with much data through a relay, every family to every family. Three "
              "programs share the processors. *no relay* is the limit of the sockets."),
    "reqrep": ("A relay of requests", "Messages of 64 bytes and their echoes through the same relays. One connection "
               "across two processors is mostly their wake-ups, so it is also measured on one."),
    "idle-relay": ("Idle connections of a relay", "The memory that the relay takes for each."),
    "relay-dgram": ("A relay of datagrams", "Datagrams of 64 bytes through a relay."),
    "relay-seqpacket": ("A relay of messages on AF_UNIX", "The same over seqpacket sockets."),
    "redis": ("Redis behind a relay", "redis-benchmark over TCP to a Redis on a socket file."),
    "http": ("nginx behind a relay", "wrk over TCP to an nginx on a socket file."),
    "rtt": ("Is `sok bench rtt` right?", "The round trip on one server by several tools."),
    "throughput": ("Is `sok bench throughput` right?", "The throughput into one sink by several tools."),
    "spin": ("Asleep and polling", "Round trips to the server of `sok bench`. Most of the time, the scheduler wakes the "
             "two ends in turn; `--spin` polls, which leaves the cost of the sockets."),
}
# The sections with a picture.
DRAWN = ("call", "echo", "relay")
# Rows that are no competitor: what the sockets or the kernel allow.
LIMITS = ("bare", "a bare", "no relay")


class Table:
    def __init__(self, section, title, unit, target):
        self.section, self.title, self.unit, self.target = section, title, unit, target
        self.rows = []


class Report:
    """Collects what the rows print."""

    def __init__(self):
        self.tables, self.notes, self.section = [], [], None
        self.load = os.getloadavg()[0]

    def title(self, title, unit, target):
        self.tables.append(Table(self.section, title, unit, target))

    def row(self, name, middle, ratio, note):
        self.tables[-1].rows.append((name, middle, ratio, note.strip(" ;")))

    def note(self, text):
        self.notes.append((self.section, " ".join(text.split())))

    def write(self, path, options, sok):
        """Writes the page, and the pictures beside it."""
        folder = os.path.dirname(os.path.abspath(path))
        page = [f"# Speed\n\n{introduction(options)}\n"]
        page.append("## The machine and the programs\n\n" + table(["what", "which"], machine(sok, self.load)))
        if not options.congestion and {"rtt", "spin"} <= set(options.rows):
            page.append(families(sok, folder, options))
        for section in (name for name in SECTIONS if name in options.rows):
            heading, what = SECTIONS[section]
            mine = [one for one in self.tables if one.section == section and one.rows]
            page.append(f"## {heading}\n\n{what}\n")
            if section in DRAWN and mine:
                name = f"speed-{section}.svg"
                with open(os.path.join(folder, name), "w") as file:
                    # The two families of TCP look alike.
                    few = [one for one in mine if "inet6" not in one.title] or mine
                    file.write(bars([drawn(one) for one in few]))
                page.append(f"![{heading}: {mine[0].unit}, by program]({name})\n")
            page += [f"{caption(one)}:\n\n{cells(one)}" for one in mine]
            page += [f"- {note}\n" for of, note in self.notes if of == section]
        with open(path, "w") as file:
            file.write("\n".join(page))


def introduction(options):
    quick = "--quick " if options.quick else ""
    return f"""\
This page was written by `scripts/compare {quick}--report docs/speed.md`. The programs take turns in every round,
so that other load affects all of them, and the first round is a warm-up; there were
{options.rounds} rounds, or a multiple of that. A figure is the median, a ratio the median of the ratios of the rounds, with the least and the
greatest; where a note says *sok / this*, it is the figure of `sok` divided by that of the row. *Met* and *MISSED*
are about the target. All bytes are checked. Only loopback is used. Rows in *italics* are the limit: a bare loop
with the system calls that the task needs, or the sockets without a relay.

A congestion control of TCP that paces, such as BBR, sets a timer for each segment. Loopback does not need
pacing, so a socket of `sok` that listens on or connects to a loopback address uses Reno instead, unless
`--congestion NAME` sets another one for all TCP sockets of a command. `sok bench` always measures the system's."""


def caption(one):
    target = one.target.replace("<=", "at most").replace(">=", "at least")
    target = "" if target.startswith("see ") else f"; the target is {target}"
    return one.title[0].upper() + one.title[1:] + target


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(escaped(cell) for cell in line) + " |\n" for line in lines)


def escaped(cell):
    return str(cell).replace("|", "\\|")


def cells(one):
    rows = []
    for name, middle, ratio, note in one.rows:
        style = "*" if name.startswith(LIMITS) else "**" if name.startswith("sok") else ""
        rows.append([f"{style}{name}{style}", figure(middle), ratio, note])
    return table(["program", one.unit, "ratio (least..greatest)", "notes"], rows)


def figure(middle):
    if middle is None:
        return "-"
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.2f}"


def drawn(one):
    kept = [(name, middle, name.startswith("sok"), name.startswith(LIMITS))
            for name, middle, _, _ in one.rows if middle is not None]
    return f"{one.title} ({one.unit})", kept, figure


# The machine


def machine(sok, load):
    processor = re.search(r"model name\s*:\s*(.*)", text("/proc/cpuinfo"))
    memory = int(re.search(r"MemTotal:\s*(\d+)", text("/proc/meminfo")).group(1)) >> 20
    rows = [
        ["machine", f"{os.cpu_count()} processors ({processor.group(1) if processor else platform.machine()}), {memory} GiB"],
        ["kernel", f"Linux {platform.release()}"],
        ["congestion control of TCP", text(CONGESTION).strip()],
        ["date", f"{datetime.date.today():%Y-%m-%d}"],
        ["load before", f"{load:.2f}: what other programs use of the processors is missing in the figures"],
        ["sok", f"{first_line(sok, '--version').removeprefix('sok ')}, commit {first_line('git', '-C', ROOT, 'describe', '--always', '--dirty')}"],
    ]
    asked = {"socat": ["-V"], "nc": ["-h"], "haproxy": ["-v"], "nginx": ["-v"], "sockperf": ["--version"],
             "redis-server": ["--version"], "redis-benchmark": ["--version"], "wrk": ["-v"]}
    for name, words in asked.items():
        rows.append([name, version([name, *words]) if shutil.which(name) else "not installed, left out"])
    rows.append(["systemd-socket-proxyd", version([PROXYD, "--version"]) if os.path.exists(PROXYD) else "not installed, left out"])
    return rows


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout or done.stderr or "unknown").splitlines()[0].strip()


def version(command):
    """The first version number that a program prints; OpenBSD's nc has only that of its package."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if command[0] == "nc":
        package = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "netcat-openbsd"], capture_output=True, text=True)
        return f"{package.stdout or 'unknown'} (OpenBSD)"
    found = re.search(r"\d+(\.\d+)+|(?<=systemd )\d+", done.stdout + done.stderr)
    return found.group(0) if found else "unknown"


# What each family costs


def families(sok, folder, options):
    """The table and the picture of `sok bench`."""
    seconds = "500ms" if options.quick else "3s"
    of = ",".join(sorted(options.family, key=["inet", "inet6", "unix"].index))
    command = [sok, "bench", "-q", "--json", "--duration", seconds, "--families", of]
    results = json.loads(subprocess.run([*command, "--svg", os.path.join(folder, "bench.svg")],
                                        check=True, capture_output=True, text=True).stdout)["results"]
    polled = [sok, "bench", "rtt", "--spin", *command[2:]]
    polled = json.loads(subprocess.run(polled, check=True, capture_output=True, text=True).stdout)["results"]
    names = [one["family"] for one in polled]
    lines = []

    def line(what, found, value, unit):
        first = value(found[0])
        lines.append([what] + [unit(value(one)) + (f" (x {value(one) / first:.2f})" if one is not found[0] else "")
                               for one in found])

    def measured(measure):
        return [one for one in results if one["measure"] == measure]

    def micros(nanos):
        return f"{nanos / 1000:.3g} us"

    for percentile, name in (("p50_ns", "p50"), ("p99_ns", "p99"), ("p999_ns", "p99.9")):
        line(f"round trip of 64 bytes, {name}", measured("rtt"), lambda one: one["times"][percentile], micros)
    line("the same, polling, p50", polled, lambda one: one["times"]["p50_ns"], micros)
    for percentile, name in (("p50_ns", "p50"), ("p99_ns", "p99")):
        line(f"connect, first message and echo, {name}", measured("connect"), lambda one: one["times"][percentile], micros)
    line("throughput, 64 KiB a send", measured("throughput"), lambda one: one["bytes_per_second"]["mean"],
         lambda rate: f"{rate / 1e9:.2f} GB/s")
    return (f"## What each family costs\n\nBy `sok bench`, with the ratio to {names[0]}:\n\n{table(['', *names], lines)}\n"
            "![Percentiles of a round trip and of a connection on each family, and the bulk rate](bench.svg)\n")


REPORT = Report()
