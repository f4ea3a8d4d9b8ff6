"""Redis and nginx on a socket file, offered on TCP by the relays."""

import contextlib
import os
import re
import shutil
import subprocess

from comparison.bench import Failed, divided, row, title, remark
from comparison.relays import all_relays, best_of
from comparison.ways import free_address, hostport, until_listening


@contextlib.contextmanager
def application(bench, command, address):
    process = bench.start(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_listening(process, address)
        yield
    finally:
        bench.stop(process)


def networks(bench):
    return [family for family in bench.options.family if family != "unix"]


def through_relays(bench, path, subject, load, direct):
    """The requests a second that `load` returns for each relay from TCP to the socket file, and for the
    `direct` address of each family."""
    for near in networks(bench):
        def once(ends, name, _):
            return load(direct[near] if name == "no relay" else ends[name][1])

        figures = bench.rounds_anew(lambda failed: all_relays(bench, near, f"unix:{path}", failed), once)
        title(f"{subject} from {near} to unix", "requests/s", ">= 0.9 x the best peer")
        best = best_of(figures, {}, max)
        ours = figures["sok relay"]
        for name, theirs in figures.items():
            ratios = divided(ours, theirs) if theirs is not ours else None
            met = (lambda ratio: ratio >= 0.9) if name == best else None
            row(name, theirs, ratios, met, "the best peer" if name == best else "")


def compare_redis(bench):
    """GET requests, one and 16 at a time on each of 50 connections."""
    if not (shutil.which("redis-server") and shutil.which("redis-benchmark")):
        remark("\n  not installed, so left out: redis-server, redis-benchmark")
        return
    path = bench.path("redis")
    server = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", bench.folder]
    with application(bench, server, f"unix:{path}"):
        for pipelined in (1, 16):
            requests = int(100_000 * bench.options.seconds) * (1 if pipelined == 1 else 8)

            def load(address):
                name, port = hostport(address)
                where = ["-s", name] if port is None else ["-h", name, "-p", str(port)]
                out = bench.run("redis-benchmark", *where, "-n", str(requests), "-P", str(pipelined), "-t", "get", "--csv")
                found = re.search(r'"GET","([0-9.]+)"', out)
                if not found:
                    raise Failed(f"redis-benchmark said {out!r}")
                return float(found.group(1))

            direct = dict.fromkeys(networks(bench), f"unix:{path}")
            through_relays(bench, path, f"redis, {pipelined} at a time", load, direct)


def compare_http(bench):
    """GET requests for a small page, on 64 connections."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not (os.path.exists(nginx) and shutil.which("wrk")):
        remark("\n  not installed, so left out: nginx, wrk")
        return
    path, config, pid = bench.path("nginx"), bench.path("nginx.conf"), bench.path("nginx.pid")
    # On TCP too, as wrk cannot ask a socket file.
    direct = {family: free_address(bench, family) for family in networks(bench)}
    listens = "".join(f"    listen {address.split(':', 1)[1]};\n" for address in direct.values())
    with open(config, "w") as file:
        file.write(f"""
daemon off;
worker_processes 1;
error_log /dev/null;
pid {pid};
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  server {{
    listen unix:{path};
{listens}    return 200 "hello\\n";
  }}
}}
""")

    def load(address):
        host, port = address.split(":", 1)[1].rsplit(":", 1)
        out = bench.run("wrk", "-t", "1", "-c", "64", "-d", "1s", f"http://{host}:{port}/")
        faults = re.search("Socket errors.*|Non-2xx.*", out)
        if faults:
            raise Failed(f"wrk said {faults.group()!r}")
        return float(re.search(r"Requests/sec:\s*([0-9.]+)", out).group(1))

    with application(bench, [nginx, "-c", config], f"unix:{path}"):
        through_relays(bench, path, "http", load, direct)
