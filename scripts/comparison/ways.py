"""The relays, started on any address, and what they use."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

from comparison.bench import (
    PATIENCE, PROXYD, RELAY_DESCRIPTORS, Failed, held_connections, on_cpu, socat, text, remark)


def hostport(address):
    """The host without brackets and the port, or the path."""
    family, rest = address.split(":", 1)
    if family == "unix":
        return rest, None
    host, port = rest.rsplit(":", 1)
    return host.strip("[]"), int(port)


def free_address(bench, family):
    """A free address, for programs that do not print the one they got."""
    if family == "unix":
        return f"unix:{bench.path('s')}"
    kind, host, shown = {"inet": (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
                         "inet6": (socket.AF_INET6, "::1", "[::1]")}[family]
    with socket.socket(kind) as probe:
        probe.bind((host, 0))
        return f"{family}:{shown}:{probe.getsockname()[1]}"


def listens(address):
    """Whether a server listens on the address, checked without a connection."""
    name, port = hostport(address)
    if port is None:
        with open("/proc/net/unix") as table:
            rows = [line.split() for line in table if line.rstrip().endswith(" " + name)]
        # Who renames the file does so when it accepts; the table still has the other name.
        return os.path.exists(name) and all(r[3] == "00010000" for r in rows if r[5] == "01")
    with open("/proc/net/tcp" if address.startswith("inet:") else "/proc/net/tcp6") as table:
        rows = (line.split() for line in table)
        return any(r[1].endswith(f":{port:04X}") and r[3] == "0A" for r in rows)


def socat_relay(near, far, *options):
    name, port = hostport(near)
    listen = {"unix": f"UNIX-LISTEN:{name}", "inet": f"TCP4-LISTEN:{port},bind=127.0.0.1,reuseaddr",
              "inet6": f"TCP6-LISTEN:{port},bind=[::1],reuseaddr"}[near.split(":")[0]]
    return ["socat", *options, listen + ",fork,backlog=1024", socat(far)]


def most_connections(bench):
    """Those that are held, and some more."""
    return held_connections(bench.options, RELAY_DESCRIPTORS) + 1000


def haproxy(bench, near, far):
    def name(address):
        return {"unix": "unix@", "inet": "ipv4@", "inet6": "ipv6@"}[address.split(":")[0]] + address.split(":", 1)[1]

    config = bench.path("haproxy.cfg")
    with open(config, "w") as file:
        file.write(f"""
global
  maxconn {most_connections(bench)}
defaults
  mode tcp
  option splice-auto
  timeout connect 10s
  timeout client 1h
  timeout server 1h
listen relay
  bind {name(near)}
  server target {name(far)}
""")
    return ["haproxy", "-db", "-f", config]


def proxyd(bench, near, far):
    most = str(most_connections(bench))
    name, port = hostport(far)
    # It wants an IPv6 address without brackets, whatever the port is then divided by.
    target = name if port is None else f"{name}:{port}"
    return ["systemd-socket-activate", "-l", near.split(":", 1)[1], PROXYD, "-c", most, target]


def relays(bench):
    """The relays from one address to another, by name, that this machine has."""
    # Only the --max-connections of the idle ones is not the default.
    most = ["--max-connections", str(max(4096, most_connections(bench)))]
    ways = {
        "sok relay": lambda near, far: [bench.sok, "relay", near, far, *most],
        "socat": socat_relay,
        "socat -b 262144": lambda near, far: socat_relay(near, far, "-b", "262144"),
        "haproxy, splice-auto": lambda near, far: haproxy(bench, near, far),
        "systemd-socket-proxyd": lambda near, far: proxyd(bench, near, far),
    }
    there = {
        "sok relay": True,
        "socat": shutil.which("socat"),
        "socat -b 262144": shutil.which("socat"),
        "haproxy, splice-auto": shutil.which("haproxy"),
        "systemd-socket-proxyd": shutil.which("systemd-socket-activate") and os.path.exists(PROXYD),
    }
    for name in ways:
        if not there[name]:
            remark(f"  not installed, so left out: {name}")
    return {name: way for name, way in ways.items() if there[name]}


def until_listening(process, address, said=os.devnull):
    """Waits until a server accepts; `said` has its output if it does not."""
    late = time.monotonic() + PATIENCE
    while not listens(address):
        if process.poll() is not None or time.monotonic() > late:
            raise Failed(f"{process.args} does not listen: {text(said)}")
        time.sleep(0.005)


@contextlib.contextmanager
def relaying(bench, way, family, target):
    """Starts a relay on a fresh address of the family; returns its process and its address."""
    near = free_address(bench, family)
    said = bench.path("relay.log")
    with open(said, "w") as log:
        # In a process group of its own, in which its children stay even when they outlive it.
        process = bench.start(way(near, target), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                              preexec_fn=os.setpgrp)
    try:
        until_listening(process, near, said)
        yield process, near
    finally:
        bench.stop(process)
        end_at_once(process)


def end_at_once(process):
    """Ends a relay and its children."""
    # Nobody may be left.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def children(process):
    return text(f"/proc/{process.pid}/task/{process.pid}/children").split()


def processor_time(process):
    """The processor time of a process, and of its ended children, in seconds."""
    late = time.monotonic() + PATIENCE
    while children(process) and time.monotonic() < late:
        time.sleep(0.005)
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return on_cpu(process) / 1e9 + sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")
