"""sok relay with messages, against the relays that know datagrams."""

import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import time

from comparison.bench import PATIENCE, Failed, divided, leave_out, row, says, text, title
from comparison.ways import end_at_once, processor_time

KINDS = {"unixgram": socket.SOCK_DGRAM, "unixpacket": socket.SOCK_SEQPACKET,
         "udp4": socket.SOCK_DGRAM, "udp6": socket.SOCK_DGRAM}
HOSTS = {"udp4": (socket.AF_INET, "127.0.0.1", "127.0.0.1"), "udp6": (socket.AF_INET6, "::1", "[::1]")}
MODULES = ["/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/share/nginx/modules/ngx_stream_module.so"]


def free_address(bench, prefix):
    if prefix not in HOSTS:
        return f"{prefix}:{bench.path('m')}"
    family, host, shown = HOSTS[prefix]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return f"{prefix}:{shown}:{probe.getsockname()[1]}"


def socat_one_way(near, far):
    """One process for all senders, one way only."""
    prefix, name = near.split(":", 1)
    target = far.split(":", 1)[1]
    if prefix == "unixpacket":
        return ["socat", "-u", f"UNIX-LISTEN:{name},type=5,fork", f"UNIX-CONNECT:{target},type=5"]
    if prefix == "unixgram":
        return ["socat", "-u", f"UNIX-RECV:{name}", f"UNIX-SENDTO:{target}"]
    host, port = name.rsplit(":", 1)
    version = prefix[-1]
    return ["socat", "-u", f"UDP{version}-RECV:{port},bind={host}", f"UDP{version}-SENDTO:{target}"]


def socat_both_ways(near, far):
    """A process for each sender."""
    prefix, name = near.split(":", 1)
    target = far.split(":", 1)[1]
    if prefix == "unixpacket":
        return ["socat", f"UNIX-LISTEN:{name},type=5,fork,backlog=1024", f"UNIX-CONNECT:{target},type=5"]
    if prefix == "unixgram":
        return None
    host, port = name.rsplit(":", 1)
    version = prefix[-1]
    return ["socat", f"UDP{version}-LISTEN:{port},bind={host},fork", f"UDP{version}:{target}"]


def nginx(bench, near, far):
    """None where it has no such sockets."""
    module = next((path for path in MODULES if os.path.exists(path)), None)
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not near.startswith("udp") or module is None or not os.path.exists(program):
        return None
    config, pid = bench.path("nginx-stream.conf"), bench.path("nginx-stream.pid")
    with open(config, "w") as file:
        file.write(f"""
load_module {module};
daemon off;
master_process off;
pid {pid};
error_log /dev/null;
worker_processes 1;
events {{ worker_connections 4096; }}
stream {{
  server {{
    listen {near.split(":", 1)[1]} udp;
    proxy_pass {far.split(":", 1)[1]};
    proxy_timeout 30s;
  }}
}}
""")
    return [program, "-c", config]


@contextlib.contextmanager
def relaying(bench, way, prefix, target):
    """Starts a relay on a fresh address; yields its process and its address, or None if it has none."""
    near = free_address(bench, prefix)
    command = way(near, target)
    if command is None:
        yield None
        return
    said = bench.path("relay.log")
    with open(said, "w") as log:
        process = bench.start(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=os.setpgrp)
    try:
        late = time.monotonic() + PATIENCE
        while not is_bound(near):
            if process.poll() is not None or time.monotonic() > late:
                raise Failed(f"{command} does not start: {text(said)}")
            time.sleep(0.005)
        yield process, near
    finally:
        bench.stop(process)
        end_at_once(process)


def is_bound(address):
    prefix, name = address.split(":", 1)
    if prefix not in HOSTS:
        return os.path.exists(name)
    port = int(name.rsplit(":", 1)[1])
    with open("/proc/net/udp" if prefix == "udp4" else "/proc/net/udp6") as table:
        return any(f":{port:04X}" in line.split()[1] for line in table)


def contenders(bench, ways, prefix, target, stack, failed):
    ends = {}
    for name, way in ways.items():
        if name in failed:
            continue
        try:
            end = stack.enter_context(relaying(bench, way, prefix, target))
        except Failed as error:
            leave_out(name, error)
            failed.add(name)
            continue
        if end:
            ends[name] = end
    return ends


def compare_flow(bench, prefix):
    """Messages one way, as fast as the sender can."""
    count = 40_000 if bench.options.quick else 400_000
    ways = {"sok relay": lambda near, far: [bench.sok, "relay", near, far], "socat -u": socat_one_way,
            "nginx stream": lambda near, far: nginx(bench, near, far)}
    losses, seconds = {}, {}

    @contextlib.contextmanager
    def start(failed):
        with contextlib.ExitStack() as stack:
            sink, target = stack.enter_context(bench.server(prefix, [bench.bare, "tally"]))
            ends = contenders(bench, ways, prefix, target, stack, failed)
            yield {name: (*end, sink) for name, end in {**ends, "no relay": (None, target)}.items()}

    def once(ends, name, number):
        process, address, sink = ends[name]
        before = processor_time(process) if process else 0
        bench.run(bench.bare, "flow", address, str(count), "64")
        if not says(sink):
            raise Failed("no end came at the sink")
        came, in_order, took = sink.stdout.readline().split()
        if number > 0:
            losses.setdefault(name, []).append(1 - int(came) / count)
            if process:
                seconds.setdefault(name, []).append((processor_time(process) - before) / count * 1e6)
        if prefix.startswith("unix") and int(in_order) != count:
            note = f"LOST {count - int(in_order)} of {count} messages"
            raise Failed(note)
        return int(came) / max(float(took), 1e-6)

    figures = bench.rounds_anew(start, once)
    title(f"relay-{'seqpacket' if prefix == 'unixpacket' else 'dgram'} over {prefix}: {count} messages of 64 bytes one way",
          "messages/s", ">= 1.2 x the best peer, no more lost")
    table(figures, "sok relay", losses, seconds)


def table(figures, own, losses, seconds):
    peers = [name for name in figures if name not in (own, "no relay")]
    best = max(peers, key=lambda name: statistics.median(figures[name]), default=None)
    for name, theirs in figures.items():
        note = ""
        if name in losses:
            note += f"{statistics.median(losses[name]):.1%} lost "
        if name in seconds:
            note += f"{statistics.median(seconds[name]):.2f} us of CPU each "
        ratios = divided(figures[own], theirs) if name != own else None
        met = (lambda ratio: ratio >= 1.2) if name == best else None
        row(name, theirs, ratios, met, note + ("the best peer" if name == best else ""))


def compare_trips(bench, prefix):
    """Round trips of 64 senders, each with one message under way."""
    ways = {"sok relay": lambda near, far: [bench.sok, "relay", near, far], "socat, fork": socat_both_ways,
            "nginx stream": lambda near, far: nginx(bench, near, far)}
    seconds = {}

    @contextlib.contextmanager
    def start(failed):
        with contextlib.ExitStack() as stack:
            _, target = stack.enter_context(bench.server(prefix, [bench.bare, "echo"]))
            ends = contenders(bench, ways, prefix, target, stack, failed)
            yield {**ends, "no relay": (None, target)}

    def once(ends, name, number):
        process, address = ends[name]
        before = processor_time(process) if process else 0
        out = json.loads(bench.run(bench.bare, "load", address, "64", str(bench.options.seconds), "64"))
        if number > 0 and process:
            seconds.setdefault(name, []).append((processor_time(process) - before) / out["trips"] * 1e6)
        return out["per_second"]

    figures = bench.rounds_anew(start, once)
    title(f"relay-{'seqpacket' if prefix == 'unixpacket' else 'dgram'} over {prefix}: 64 bytes, 64 senders", "trips/s",
          ">= 1.2 x the best peer")
    table(figures, "sok relay", {}, seconds)


def compare_relay_dgram(bench):
    prefixes = {"unix": "unixgram", "inet": "udp4", "inet6": "udp6"}
    for family in bench.options.family:
        compare_flow(bench, prefixes[family])
        compare_trips(bench, prefixes[family])


def compare_relay_seqpacket(bench):
    compare_flow(bench, "unixpacket")
    compare_trips(bench, "unixpacket")
