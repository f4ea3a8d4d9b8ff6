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
ROUNDS = 15


def write(programs=None):
    programs = programs or {way: builds.build(way) for way in builds.WAYS}
    rows = ["| build | size | page faults of a call | " + " | ".join(FAMILIES.values()) + " |",
            "| --- | --- | --- | " + " | ".join("---" for _ in FAMILIES) + " |"]
    for way, program in programs.items():
        ratios, faults = measured(program)
        size = f"{os.path.getsize(program) / 1e6:.1f} MB"
        rows.append(f"| {way} | {size} | {faults} | " + " | ".join(ratios) + " |")
    libc = " ".join(os.confstr("CS_GNU_LIBC_VERSION").split())
    note = (f"Measured on {datetime.date.today()}: {platform.machine()}, {os.cpu_count()} processors, "
            f"Linux {platform.release()}, {libc}, {ROUNDS} rounds with Reno; the median, with the least and the "
            f"greatest round.\n")
    with open(PAGE) as file:
        page = file.read()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    with open(PAGE, "w") as file:
        file.write(before + BEGIN + "\n".join(rows) + "\n\n" + note + END + after)
    print("\n".join(rows))


def measured(program):
    """The ratio to `nc -N` on each family, and the page faults of a call on AF_UNIX."""
    said = output("scripts/compare", "call", "--congestion", "reno", "--quick", "--rounds", ROUNDS, "--sok", program)
    ratios, faults = [], None
    for family in FAMILIES:
        part = said.split(f"call over {family}:")
        ratio = re.search(r"^ *nc -N .*?(\d\.\d+ \(\d\.\d+\.\.\d\.\d+\))", part[1], re.MULTILINE) if part[1:] else None
        if not ratio:
            raise Failed(f"scripts/compare has no ratio for {family}:\n{said}")
        ratios.append(ratio[1])
        faults = faults or re.search(r"sok call .*?(\d+) page faults", part[1])[1]
    return ratios, faults
