"""What all rows share: the programs, the processes, the turns, and the report."""

import contextlib
import ctypes
import json
import os
import random
import resource
import select
import shutil
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 60
PROXYD = "/lib/systemd/systemd-socket-proxyd"


class Failed(Exception):
    """A measured program failed."""


# Those of which a failure is a result. When our own programs fail, nothing is measured.
PEERS = ("nc", "socat", "haproxy", "systemd-socket-proxyd", "sockperf")


def leave_out(name, error):
    """Reports that another program failed; raises the error if it was our own."""
    if not name.startswith(PEERS):
        raise error
    # Without the path of the machine, as the report has it too.
    remark(f"\n  {name} FAILED, skipped: {str(error).replace(ROOT + os.sep, '')}")


def note_loss(lost, name, right, got):
    """Records in `lost` that a program lost or changed bytes, if the digests differ."""
    if got == right:
        return
    whole, came = (int((each or "0").split()[0]) for each in (right, got))
    note = f"LOST {whole - came} bytes" if came != whole else "CHANGED the bytes"
    if not name.startswith(PEERS):
        raise Failed(f"{name} {note}")
    lost[name] = note


# The programs


def install_peers():
    """Installs missing programs with apt, if possible; those still missing are skipped."""
    # Any nc would start, but -N is OpenBSD's.
    usage = subprocess.run(["nc", "-h"], capture_output=True, text=True) if shutil.which("nc") else None
    missing = [] if usage and "OpenBSD" in usage.stdout + usage.stderr else ["netcat-openbsd"]
    missing += [name for name in ("socat", "haproxy", "sockperf", "wrk") if not shutil.which(name)]
    missing += [] if os.path.exists(PROXYD) else ["systemd"]
    packages = {"redis-server": "redis-server", "redis-benchmark": "redis-tools", "nginx": "nginx-light"}
    missing += [package for program, package in packages.items() if not shutil.which(program)]
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if missing and shutil.which("apt-get"):
        print("installing", *missing, file=sys.stderr)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([*as_root, "apt-get", "update", "-q"], **quiet)
        # A server among them must not be started by its installation.
        subprocess.run([*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1",
                        "apt-get", "install", "-qy", "--no-install-recommends", *missing], **quiet)


def build(given):
    """Builds sok, unless one is given, and the bare programs in release mode; returns their paths."""
    programs = [os.path.abspath(given)] if given else []
    folders = [(ROOT, "sok"), (os.path.join(ROOT, "scripts", "bare"), "bare")]
    for folder, name in folders[len(programs):]:
        built = subprocess.run(
            ["cargo", "build", "--release", "--locked", "--message-format=json-render-diagnostics"],
            # One target directory for both.
            env={"CARGO_TARGET_DIR": os.path.join(ROOT, "target"), **os.environ},
            cwd=folder, check=True, stdout=subprocess.PIPE, text=True,
        ).stdout
        artifacts = (json.loads(line) for line in built.splitlines())
        programs.append(next(a["executable"] for a in artifacts if a.get("executable") and a["target"]["name"] == name))
    return [installed(program, name) for program, (_, name) in zip(programs, folders)]


def installed(program, name):
    """A copy on a disk, as the peers are: what the linker has just written lies in the page cache piece by
    piece, which makes the start of a process slower by a tenth."""
    folder = os.path.join(ROOT, "target", "installed")
    os.makedirs(folder, exist_ok=True)
    copy = os.path.join(folder, name)
    # What another run of this script may still execute is replaced, not written over.
    os.replace(shutil.copy(program, copy + ".new"), copy)
    return copy


def raise_descriptor_limit(options):
    """Raises the limit of open files as far as possible."""
    wanted = options.connections * RELAY_DESCRIPTORS + 100
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# What a relay may take for each connection: HAProxy asks for more than two.
RELAY_DESCRIPTORS = 3


def held_connections(options, each):
    """The number of connections that the limit of open files allows."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(options.connections, (limit - 100) // each)


CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
CLONE_NEWNET = 0x40000000


def own_network(congestion):
    """Moves into a network namespace with only loopback, and sets its congestion control."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        sys.exit(f"scripts/compare: --congestion: cannot create a network namespace: {os.strerror(ctypes.get_errno())}; run as root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    try:
        with open(CONGESTION, "w") as file:
            file.write(congestion)
    except OSError as error:
        known = text("/proc/sys/net/ipv4/tcp_available_congestion_control")
        sys.exit(f"scripts/compare: --congestion {congestion}: {error.strerror}; known here are {known.strip()}")


class Bench:
    """What all rows share: the programs, a temporary directory, and the started processes."""

    def __init__(self, options, sok, bare, folder):
        self.options, self.sok, self.bare, self.folder = options, sok, bare, folder
        self.started = []
        self.names = 0

    def path(self, name):
        self.names += 1
        return os.path.join(self.folder, f"{self.names}-{name}")

    def start(self, command, **pipes):
        process = subprocess.Popen(command, text=True, **pipes)
        self.started.append(process)
        return process

    def stop(self, process):
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.started.remove(process)

    def stop_all(self):
        for process in list(self.started):
            self.stop(process)

    @contextlib.contextmanager
    def server(self, family, command):
        """Starts a server on a free address of the family, or of this prefix; yields its process and its address."""
        address = {"inet": "inet:127.0.0.1:0", "inet6": "inet6:[::1]:0", "udp4": "udp4:127.0.0.1:0",
                   "udp6": "udp6:[::1]:0"}.get(family) or f"{family}:{self.path('s')}"
        # The bare programs print their address as data, sok as talk.
        talks = {"stderr": subprocess.PIPE} if command[0] == self.sok else {"stdout": subprocess.PIPE}
        process = self.start([command[0], command[1], address, *command[2:]], stdin=subprocess.DEVNULL, **talks)
        output = process.stderr or process.stdout
        line = output.readline()
        if line.startswith("status on "):
            line = output.readline()
        if not line.startswith("listening on "):
            raise Failed(f"{command} said {line!r}")
        try:
            yield process, line.removeprefix("listening on ").strip()
        finally:
            self.stop(process)

    def run(self, *command, patience=PATIENCE):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=patience)
        if done.returncode:
            raise Failed(f"{command} ended with {done.returncode}")
        return done.stdout

    def rounds(self, contenders, once, count=None):
        """Runs each contender in turn, `count` times; `once` returns a figure. One list for each that did not fail."""
        return self.rounds_anew(lambda _: contextlib.nullcontext(contenders), lambda _, *turn: once(*turn), count)

    def rounds_anew(self, start, once, count=None):
        """The same with contenders that `start` returns for each round, and passes to `once`.

        `start` gets the names of those that failed, and adds those that do not start."""
        figures, failed = {}, set()
        for number in range((count or self.options.rounds) + 1):
            with start(failed) as contenders:
                # Whoever is measured feels what ran before: each has another neighbour each time.
                for name in random.sample(list(contenders), len(contenders)):
                    if name in failed:
                        continue
                    try:
                        figure = once(contenders, name, number)
                    except (Failed, subprocess.TimeoutExpired) as error:
                        leave_out(name, error)
                        failed.add(name)
                        continue
                    if number > 0:
                        figures.setdefault(name, []).append(figure)
        return {name: figures[name] for name in contenders if name not in failed}


@contextlib.contextmanager
def on_one_processor():
    """Processes started meanwhile run on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def netcat(address):
    """The arguments of nc to connect to an address."""
    family, rest = address.split(":", 1)
    if family == "unix":
        return ["-U", rest]
    host, port = rest.rsplit(":", 1)
    return [host.strip("[]"), port]


def socat(address):
    """The address in the syntax of socat."""
    family, rest = address.split(":", 1)
    return {"unix": "UNIX-CONNECT", "inet": "TCP4", "inet6": "TCP6"}[family] + ":" + rest


def text(path):
    with open(path) as file:
        return file.read()


def says(process, seconds=10):
    """Whether the program prints something within this many seconds."""
    return bool(select.select([process.stdout], [], [], seconds)[0])


def on_cpu(process):
    """The processor time of a process in nanoseconds; unlike its speed, other load changes it little."""
    tasks = f"/proc/{process.pid}/task"
    total = 0
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/schedstat") as spent:
            total += int(spent.read().split()[0])
    return total


def resident(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


# The report


# What else takes the tables: see report.py.
LISTENERS = []


def title(text, unit, target):
    for listener in LISTENERS:
        listener.title(text, unit, target)
    print(f"\n{text}\n  {'':34} {unit:>12}   ratio (least..greatest)   target {target}", flush=True)


def row(name, figures, ratios=None, met=None, note=""):
    middle = statistics.median(figures) if figures else None
    middle = f"{'-':>12}" if middle is None else f"{middle:12.{1 if middle >= 100 else 2}f}"
    ratio = "" if figures else f"{'-':>5}"
    if ratios:
        median = statistics.median(ratios)
        ratio = f"{median:5.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
        if met is not None:
            verdict = "met" if met(median) else "MISSED"
            note = f"{verdict}: {note}" if note else verdict
    for listener in LISTENERS:
        listener.row(name, statistics.median(figures) if figures else None, ratio.strip(), note)
    print(f"  {name:34} {middle}   {ratio:24} {note}".rstrip(), flush=True)


def remark(text):
    for listener in LISTENERS:
        listener.note(text)
    print(text, flush=True)


def divided(one, other):
    """The ratio of each round."""
    return [a / b for a, b in zip(one, other)]
