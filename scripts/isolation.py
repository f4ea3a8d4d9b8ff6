"""Runs a function in namespaces of its own: no other program sees its network, and its processes end with it."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import traceback

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
NETWORK_AND_PROCESSES = CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS
ALL = NETWORK_AND_PROCESSES | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC
PR_SET_PDEATHSIG = 1
# Users of a container, those that systemd's DynamicUser takes included.
USERS = 65536

libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *arguments):
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def unshare(kinds):
    """unshare(2)"""
    _call("unshare", kinds)


def raise_loopback():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def own_mounts():
    """Keeps all mounts that follow in this mount namespace."""
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def _map_users(child, count):
    """Maps the first `count` users of the namespace of a child to the same users outside, or only root to us."""
    maps = {"uid_map": f"0 0 {count}" if count > 1 else f"0 {os.geteuid()} 1",
            "gid_map": f"0 0 {count}" if count > 1 else f"0 {os.getegid()} 1"}
    if os.geteuid():
        with open(f"/proc/{child}/setgroups", "w") as file:
            file.write("deny")
    for name, text in maps.items():
        with open(f"/proc/{child}/{name}", "w") as file:
            file.write(text)


def isolated(work, kinds=NETWORK_AND_PROCESSES, users=None, handles_signals=True):
    """Runs `work` as process 1 of new namespaces and returns the exit code that it returns.

    `users` makes a user namespace of that many users; without root, there is always one, of one user.
    All processes that `work` started end with it. Ctrl-C and SIGTERM are for `work` to handle, or kill it.
    """
    if os.geteuid():
        users = 1
    outer, inner = os.pipe(), os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _exit_with(lambda: _between(work, kinds, users, outer, inner))
    os.close(outer[1])
    os.close(inner[0])
    # End of file without a byte: the namespace was refused.
    if users and os.read(outer[0], 1):
        _map_users(child, users)
    with contextlib.suppress(BrokenPipeError):
        os.write(inner[1], b"x")
    os.close(outer[0])
    os.close(inner[1])
    return _wait_for(child, handles_signals)


def _wait_for(child, handles_signals=True):
    """Waits for a child, which gets the signals; returns its exit code."""
    kill = lambda *_: os.kill(child, signal.SIGTERM if handles_signals else signal.SIGKILL)
    # Ctrl-C reaches the whole process group by itself.
    handlers = {signal.SIGINT: signal.SIG_IGN if handles_signals else kill, signal.SIGTERM: kill}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _between(work, kinds, users, outer, inner):
    """In the child: makes the namespaces, and waits for process 1 of them."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.close(outer[0])
    if users:
        unshare(CLONE_NEWUSER)
        os.write(outer[1], b"x")
    os.close(outer[1])
    os.read(inner[0], 1)
    if users:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    unshare(kinds)
    first = os.fork()
    if first == 0:
        _exit_with(lambda: _first(work, kinds))
    return _wait_for(first)


def _first(work, kinds):
    """In process 1 of the namespaces."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    own_mounts()
    subprocess.run(["mount", "-t", "proc", "proc", "/proc"], check=True)
    if kinds & CLONE_NEWNET:
        raise_loopback()
    return work()


def _exit_with(work):
    """Ends this process with the exit code that `work` returns."""
    code = 1
    try:
        code = work() or 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
