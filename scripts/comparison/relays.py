"""sok relay against the other relays."""

import contextlib
import json
import statistics
import subprocess

from comparison.bench import (
    PATIENCE, RELAY_DESCRIPTORS, Failed, divided, held_connections, leave_out, note_loss, on_one_processor, row, says,
    title)
from comparison.ways import children, end_at_once, processor_time, relaying, relays


def pairs(bench):
    return [(near, far) for near in bench.options.family for far in bench.options.family]


@contextlib.contextmanager
def all_relays(bench, near, target, failed):
    """One relay of each kind to the target: its process and its address by name; and no relay.

    Those that failed are not started; those that do not start are added to them."""
    with contextlib.ExitStack() as stack:
        ends = {}
        for name, way in relays(bench).items():
            if name in failed:
                continue
            try:
                ends[name] = stack.enter_context(relaying(bench, way, near, target))
            except Failed as error:
                leave_out(name, error)
                failed.add(name)
        yield {**ends, "no relay": (None, target)}


# Where the scheduler once put a program it often stays, so that one is as lucky as it was at its start: the
# rows below start all of them anew for each round.

# The limit of a relay that copies nothing: one client at a time, by blocking calls.
BARE_RELAY = "a bare splice loop"


def best_of(figures, lost, best):
    """The other program with the best median of those that lose nothing."""
    peers = [name for name in figures if name not in ("sok relay", "no relay", BARE_RELAY) and name not in lost]
    return best(peers, key=lambda name: statistics.median(figures[name]), default=None)


def compare_relay(bench):
    """Many bytes from a source through a relay to a sink."""
    gigabyte = bench.options.size / 1e9
    for near, far in pairs(bench):
        lost, seconds = {}, {}

        @contextlib.contextmanager
        def start(failed):
            with bench.server(far, [bench.bare, "sink"]) as (sink, target), \
                    all_relays(bench, near, target, failed) as ends, \
                    bench.server(near, [bench.bare, "relay", target]) as bare:
                yield {name: (*end, sink) for name, end in {**ends, BARE_RELAY: bare}.items()}

        def once(ends, name, number):
            process, address, sink = ends[name]
            before = processor_time(process) if process else 0
            try:
                right = bench.run(bench.bare, "push", address, str(bench.options.size)).strip()
                if not says(sink):
                    raise Failed("no end came at the sink")
            except (Failed, subprocess.TimeoutExpired) as error:
                # It must hold the sink no longer, and what the sink says of it must not be taken for the next one's.
                if process:
                    end_at_once(process)
                raise Failed(f"{error}; the sink then: {sink.stdout.readline() if says(sink) else None!r}") from error
            *got, took, _ = sink.stdout.readline().split(maxsplit=3)
            note_loss(lost, name, right, " ".join(got))
            if number > 0 and process:
                seconds.setdefault(name, []).append((processor_time(process) - before) / gigabyte)
            # Nothing at all may come in no time.
            return gigabyte / max(float(took), 1e-6)

        figures = bench.rounds_anew(start, once)
        title(f"relay from {near} to {far}: {bench.options.size >> 20} MiB", "GB/s",
              ">= 1.1 x the best peer, or its CPU time x 0.7")
        best = best_of(figures, lost, max)
        ours = figures["sok relay"]
        for name, theirs in figures.items():
            if name in lost:
                # The rate of a part says nothing.
                row(name, [], note=lost[name])
                continue
            ratios, met, note = None, None, ""
            if name in seconds:
                note = f"{statistics.median(seconds[name]):.2f} CPU s/GB "
            if theirs is not ours:
                ratios = divided(ours, theirs)
                note = "sok / this; " + note
            if name == "no relay" and near == far == "unix":
                met = lambda ratio: ratio >= 0.9
            if name == best:
                spent = statistics.median(seconds["sok relay"]) / max(statistics.median(seconds[name]), 0.001)
                met = lambda ratio, spent=spent: ratio >= 1.1 or spent <= 0.7
                note += f"(sok x {spent:.2f}) the best peer "
            row(name, theirs, ratios, met, note)


def compare_reqrep(bench):
    """Round trips of small messages through a relay."""
    for near, far in pairs(bench):
        subject = f"reqrep from {near} to {far}: 64 bytes, connections:"
        for count in (64, 1):
            reqrep_rows(bench, near, far, count, f"{subject} {count}")
        # With one connection one of three programs works at a time: on two processors most of a trip is
        # the wake-up of an idle one, and chance decides how many there are. On one it is the work itself.
        with on_one_processor():
            reqrep_rows(bench, near, far, 1, f"{subject} 1, all on one processor")


def reqrep_rows(bench, near, far, count, subject):
    notes = {}

    @contextlib.contextmanager
    def start(failed):
        with bench.server(far, [bench.bare, "echo"]) as (_, target), all_relays(bench, near, target, failed) as ends:
            yield ends

    def once(ends, name, number):
        process, address = ends[name]
        before = processor_time(process) if process else 0
        out = json.loads(bench.run(bench.bare, "load", address, str(count), str(bench.options.seconds), "64"))
        if number > 0:
            cpu = (processor_time(process) - before) * 1e6 / out["trips"] if process else 0
            notes.setdefault(name, []).append((out["p50_us"], out["p99_us"], cpu))
        return out["per_second"]

    figures = bench.rounds_anew(start, once, 2 * bench.options.rounds)
    title(subject, "trips/s", ">= 1.0 x the best peer")
    best = best_of(figures, {}, max)
    ours = figures["sok relay"]
    for name, theirs in figures.items():
        p50, p99, cpu = (statistics.median(each) for each in zip(*notes[name]))
        ratios = divided(ours, theirs) if theirs is not ours else None
        met = (lambda ratio: ratio >= 1.0) if name == best else None
        row(name, theirs, ratios, met, f"p50 {p50:.0f} us, p99 {p99:.0f} us, {cpu:.2f} us of CPU each")


def held_by(process):
    """The resident memory of a process and of its children, each shared page once."""
    total = 0
    for pid in [str(process.pid), *children(process)]:
        # A child may have ended meanwhile.
        with contextlib.suppress(ProcessLookupError, FileNotFoundError), open(f"/proc/{pid}/smaps_rollup") as file:
            total += next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))
    return total


def idle_relayed(bench, way, family, held):
    """The resident memory of a relay for each of this many connections, if it accepts them."""
    with bench.server(family, [bench.bare, "echo"]) as (_, target), \
            relaying(bench, way, family, target) as (process, address):
        bench.run(bench.bare, "load", address, "1", "0.1", "64")
        before = held_by(process)
        holder = bench.start([bench.bare, "hold", address, str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        all_held = says(holder, PATIENCE) and holder.stdout.readline() == "held\n"
        figures = [(held_by(process) - before) / held] if all_held else []
        holder.stdin.close()
        bench.stop(holder)
    return figures


def compare_idle_relay(bench):
    """Resident memory of a relay for each idle connection."""
    count = held_connections(bench.options, RELAY_DESCRIPTORS)
    for family in bench.options.family:
        title(f"idle relay from {family} to {family}: {count} connections, one 64-byte message each before",
              "bytes each", "<= 3072")
        for name, way in relays(bench).items():
            # A process for each connection: fewer tell as much.
            held = min(count, 200) if name.startswith("socat") else count
            try:
                figures = idle_relayed(bench, way, family, held)
            except (Failed, subprocess.TimeoutExpired) as error:
                leave_out(name, error)
                continue
            if not figures:
                note = f"did not take {held} connections"
                if name == "sok relay":
                    raise Failed(f"{name} {note}")
            elif held != count:
                note = f"{held} connections"
            else:
                note = "" if name != "sok relay" else "met" if figures[0] <= 3072 else "MISSED"
            row(name, figures, note=note)
