"""The units of deploy/systemd: their syntax, their exposure, and a real systemd that runs them."""

import glob
import os
import re
import shutil
import subprocess
import sys

import isolation
from deployment.common import DEPLOY, apart, check, done, read, require, require_programs

UNITS = os.path.join(DEPLOY, "systemd")
SYSTEMD = "/lib/systemd/systemd"
UNDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "under_systemd.py")
# What a machine starts early in its boot, which this one has done.
EARLY = ("sysinit.target.wants", "sockets.target.wants", "local-fs.target.wants", "timers.target.wants")
# Where systemd lets one group of processes be managed.
GROUPS = "/sys/fs/cgroup/unified"


def try_systemd(sok, folder):
    require("root", os.geteuid() == 0)
    require_programs("systemd-analyze", "systemctl", "setpriv")
    apart(lambda: analyze(sok, folder))
    require("systemd", os.path.exists(SYSTEMD) and os.path.isdir(group_root()))
    boot(sok, folder)


def analyze(sok, folder):
    """Checks the units where /usr/local/bin has sok, and the figure of exposure that the unit states."""
    install(sok)
    units = []
    for name in os.listdir(UNITS):
        # Only an instance can be analyzed.
        units.append(shutil.copy(os.path.join(UNITS, name), os.path.join(folder, name.replace("@", "@demo"))))
    # The manual pages that they name come with a package.
    done("systemd-analyze", "verify", "--man=no", *units)
    service, = [unit for unit in units if unit.endswith(".service")]
    said = done("systemd-analyze", "security", "--offline=yes", "--no-pager", service)
    measured = re.search(r"Overall exposure level for \S+: (\S+)", said)[1]
    stated = re.search(r"exposure level (\S+)", read(service))[1]
    print(f"  systemd-analyze: verified, exposure {measured}", flush=True)
    # Another version of systemd weighs other settings.
    if "systemd 252" in done("systemd-analyze", "--version"):
        check(measured == stated, f"the unit states an exposure of {stated}, and it is {measured}")


def install(sok):
    """Puts sok where systemd finds programs, in this mount namespace only."""
    done("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/usr/local/bin")
    shutil.copy(sok, "/usr/local/bin/sok")


def group_root():
    return GROUPS if os.path.isdir(GROUPS) else "/sys/fs/cgroup"


def boot(sok, folder):
    """Boots systemd in namespaces of its own, with its own users, so that it can change nothing outside."""
    group = os.path.join(group_root(), f"sok-deploy-{os.getpid()}")
    os.mkdir(group)
    log = os.path.join(folder, "under-systemd.log")
    open(log, "w").close()
    try:
        move_to(group)
        # What systemd does at SIGTERM is not to end.
        apart(lambda: become_systemd(sok, log), isolation.ALL, isolation.USERS, handles_signals=False)
    finally:
        print(read(log), end="", flush=True)
        move_to(group_root())
        for path in sorted(glob.glob(group + "/**/", recursive=True), reverse=True):
            os.rmdir(path)


def move_to(group):
    """Moves this process into a control group."""
    with open(os.path.join(group, "cgroup.procs"), "w") as file:
        file.write(str(os.getpid()))


def overlay(path):
    """Lets files be added to a folder, in this mount namespace only."""
    upper, work = f"/run/upper{path}", f"/run/work{path}"
    os.makedirs(upper)
    os.makedirs(work)
    done("mount", "-t", "overlay", "-o", f"lowerdir={path},upperdir={upper},workdir={work}", "overlay", path)


def become_systemd(sok, log):
    """As process 1: makes a machine with only our units, and becomes systemd, which runs under_systemd.py."""
    install(sok)
    # What is below /sys/fs/cgroup belongs to other controllers.
    subprocess.run(["umount", "--recursive", "/sys/fs/cgroup"], stderr=subprocess.DEVNULL)
    done("mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    done("mount", "-o", "bind,ro", "/proc/sys", "/proc/sys")
    done("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    overlay("/etc")
    os.makedirs("/etc/sok")
    for name in ("/etc/systemd/system", *(f"/lib/systemd/system/{name}" for name in EARLY)):
        if os.path.isdir(name):
            done("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", name)
    for name in os.listdir(UNITS):
        shutil.copy(os.path.join(UNITS, name), "/etc/systemd/system")
    with open("/etc/systemd/system/try.service", "w") as unit:
        unit.write(f"""
[Unit]
DefaultDependencies=no
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
StandardOutput=append:{log}
StandardError=append:{log}
ExecStart={sys.executable} -B {UNDER} {sok}
""")
    with open("/etc/systemd/system/try.target", "w") as unit:
        unit.write("[Unit]\nDefaultDependencies=no\nRequires=try.service\n")
    environment = {"container": "sok", "PATH": os.environ["PATH"]}
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(quiet, number)
    os.execve(SYSTEMD, [SYSTEMD, "--unit=try.target", "--log-target=null"], environment)
