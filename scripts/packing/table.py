"""The table of docs/install.md: what each way of linking costs."""

import datetime
import os
import platform
import re

from . import builds
from .common import ROOT, Failed, output

PAGE = os.path.join(ROOT, "docs", "install.md")
BEGIN, END = "<!-- written by scripts/package --table -->\n", "<!-- end of the table -->\n"
FAMILIES = {"unix": "AF_UNIX", "inet": "AF_INET", "inet6": "AF_INET6"}
ROUNDS = 21


def write():
    # Before the builds, which take minutes.
    if os.geteuid():
        raise Failed("--table measures in a network of its own; run it as root")
    programs = {way: builds.build(way) for way in builds.WAYS}
    load = os.getloadavg()[0]
    ratios, faults = measured(programs)
    rows = ["| build | size | page faults of a call | " + " | ".join(FAMILIES.values()) + " |",
            "| --- | --- | --- | " + " | ".join("---" for _ in FAMILIES) + " |"]
    for way, program in programs.items():
        size = f"{os.path.getsize(program) / 1e6:.1f} MB"
        rows.append(f"| {way} | {size} | {faults[way]} | " + " | ".join(ratios[way]) + " |")
    libc = " ".join(os.confstr("CS_GNU_LIBC_VERSION").split())
    note = (f"Measured on {datetime.date.today()}: {platform.machine()}, {os.cpu_count()} processors (load before: "
            f"{load:.2f}),\nLinux {platform.release()}, {libc}, {ROUNDS} rounds with Reno; the median, with the least "
            f"and the greatest round.\n")
    with open(PAGE) as file:
        page = file.read()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    with open(PAGE, "w") as file:
        file.write(before + BEGIN + "\n".join(rows) + "\n\n" + note + END + after)
    print("\n".join([*rows, "", note]), end="")


def measured(programs):
    """For each build the ratios to `nc -N`, one for each family, and the page faults of a call on AF_UNIX."""
    named = [word for way, program in programs.items() for word in ("--build", f"{way}={program}")]
    # Ahead of what else runs here. The builds and nc take turns process by process.
    said = output("nice", "-n", "-5", "scripts/compare", "call", "--congestion", "reno", "--rounds", ROUNDS,
                  "--sok", programs["dynamic"], *named)
    ratios, faults = {way: [] for way in programs}, {}
    for family in FAMILIES:
        part = said.partition(f"call over {family}:")[2].partition("\n\n")[0]
        for way in programs:
            row = re.search(
                rf"sok call \({re.escape(way)}\) .*?(\d\.\d+ \(\d\.\d+\.\.\d+\.\d+\)) .*?(\d+) page faults", part)
            if not row:
                raise Failed(f"scripts/compare has no ratio of {way} for {family}:\n{said}")
            ratios[way].append(row[1])
            faults.setdefault(way, row[2])
    return ratios, faults
