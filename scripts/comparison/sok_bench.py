"""sok bench against the bare programs and sockperf."""

import json
import re
import shutil
import statistics
import subprocess

from comparison.bench import Failed, divided, row, title, remark
from comparison.ways import hostport


def sockperf(bench, mode, address, size):
    """sockperf on an address, if it supports the family: AF_UNIX and IPv6 since 3.8."""
    name, port = hostport(address)
    known = subprocess.run(["sockperf", "ping-pong", "--help"], capture_output=True, text=True) \
        if shutil.which("sockperf") else None
    if known is None or not address.startswith("inet:") and "unix" not in known.stdout.lower():
        return None
    where = ["-i", name] if port is None else ["-i", name, "-p", str(port)]
    # Nothing but whole seconds; the first part of them it does not count.
    return ["sockperf", mode, "--tcp", *where, "-m", str(size), "-t", "1"]


def found(pattern, text):
    """The number that sockperf prints after a word."""
    at = re.search(pattern, text)
    if at is None:
        raise Failed(f"sockperf said {text!r}")
    return float(at.group(1))


def left_out(family):
    version = run_quietly("sockperf", "--version") if shutil.which("sockperf") else "not installed"
    remark(f"  sockperf does not know {family}, so left out: {version}")


def run_quietly(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return " ".join((done.stdout + done.stderr).split())[:60]


def compare_rtt(bench):
    """The median round trip of one connection to the same server, by each tool."""
    size, seconds = 64, bench.options.seconds
    for family in bench.options.family:
        with bench.server(family, [bench.bare, "mirror"]) as (_, address):
            theirs = sockperf(bench, "ping-pong", address, size)
            tools = ["sok bench rtt", "bare blocking pair"] + (["sockperf ping-pong"] if theirs else [])
            rates = {name: [] for name in tools}

            def once(name, number):
                if name == "sockperf ping-pong":
                    out = bench.run(*theirs)
                    # Half a round trip is what it prints.
                    trip = 2 * found(r"percentile 50.000 =\s*([0-9.]+)", out)
                    rate = found(r"ReceivedMessages=([0-9]+)\n", out.split("Valid Duration")[1]) \
                        / found(r"RunTime=([0-9.]+)", out.split("Valid Duration")[1])
                elif name == "bare blocking pair":
                    out = json.loads(bench.run(bench.bare, "pair", address, str(seconds), str(size)))
                    trip, rate = out["p50_us"], out["per_second"]
                else:
                    out = json.loads(bench.run(bench.sok, "bench", "rtt", address, "-q", "--json", "--size", str(size),
                                               "--duration", f"{int(seconds * 1000)}ms"))["results"][0]
                    trip, rate = out["times"]["p50_ns"] / 1000, out["per_second"]
                if number > 0:
                    rates[name].append(rate)
                return trip

            # Many short turns: where the scheduler puts the two ends changes from run to run.
            figures = bench.rounds(tools, once, 4 * bench.options.rounds)
        title(f"rtt over {family}: {size} bytes, 1 connection, the same server", "p50 us", "see each row")
        ours = figures["sok bench rtt"]
        for name, each in figures.items():
            limit = {"bare blocking pair": 0.05, "sockperf ping-pong": 0.15}.get(name)
            met = (lambda ratio, limit=limit: abs(ratio - 1) <= limit) if limit else None
            ratios = divided(ours, each) if each is not ours else None
            note = f"within {limit:.0%}; " if limit else ""
            row(name, each, ratios, met, f"{note}{statistics.median(rates[name]):.0f} trips/s")
        if not theirs:
            left_out(family)


def compare_throughput(bench):
    """The throughput of one connection into the same sink, by each tool."""
    # The largest message that sockperf knows.
    size, seconds = 65506, bench.options.seconds
    for family in bench.options.family:
        with bench.server(family, [bench.bare, "devour"]) as (_, address):
            theirs = sockperf(bench, "throughput", address, size)
            tools = ["sok bench throughput", "bare blocking writes"] + (["sockperf throughput"] if theirs else [])

            def once(name, _):
                if name == "sockperf throughput":
                    # Its mega is 2^20.
                    return found(r"BandWidth is ([0-9.]+) MBps", bench.run(*theirs)) * (1 << 20) / 1e9
                if name == "bare blocking writes":
                    return json.loads(bench.run(bench.bare, "pour", address, str(seconds), str(size)))["per_second"] / 1e9
                out = json.loads(bench.run(bench.sok, "bench", "throughput", address, "-q", "--json", "--size", str(size),
                                           "--duration", f"{int(seconds * 1000)}ms"))["results"][0]
                return out["bytes_per_second"]["mean"] / 1e9

            figures = bench.rounds(tools, once, 2 * bench.options.rounds)
        title(f"throughput over {family}: {size} bytes a send, 1 connection, the same sink", "GB/s", "see each row")
        ours = figures["sok bench throughput"]
        for name, each in figures.items():
            met = (lambda ratio: abs(ratio - 1) <= 0.05) if name == "bare blocking writes" else None
            ratios = divided(ours, each) if each is not ours else None
            row(name, each, ratios, met, "within 5%" if met else "sok / this" if ratios else "")
        if not theirs:
            left_out(family)


def compare_spin(bench):
    """Round trips to our own server: each family against inet, and polling against asleep."""
    families = bench.options.family
    ways = {"asleep": [], "polling": ["--spin"]}
    rates, medians = {}, {}

    def once(name, number):
        out = json.loads(bench.run(bench.sok, "bench", "rtt", "-q", "--json", "--families", ",".join(families),
                                   "--duration", f"{int(bench.options.seconds * 1000)}ms", *ways[name]))
        if number > 0:
            for one in out["results"]:
                rates.setdefault((one["family"], name), []).append(one["per_second"])
                medians.setdefault((one["family"], name), []).append(one["times"]["p50_ns"] / 1000)
        return out["results"][0]["per_second"]

    bench.rounds(ways, once, 2 * bench.options.rounds)
    title("spin: round trips to our own server, 64 bytes, 1 connection", "p50 us", "unix <= 0.65 x inet")
    for name in ways:
        for family in families:
            ours, inet = medians[family, name], medians.get(("inet", name))
            met = (lambda ratio: ratio <= 0.65) if (family, name) == ("unix", "asleep") else None
            ratios = divided(ours, inet) if inet and family != "inet" else None
            row(f"{family}, {name}", ours, ratios, met, "this / inet" if ratios else "")
    title("spin: the same", "trips/s", "unix >= 4 x asleep")
    for family in families:
        asleep, polling = rates[family, "asleep"], rates[family, "polling"]
        row(f"{family}, asleep", asleep)
        met = (lambda ratio: ratio >= 4) if family == "unix" else None
        row(f"{family}, polling", polling, divided(polling, asleep), met, "this / asleep")
