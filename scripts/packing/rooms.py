"""Bare Debian systems, in which a package is tried."""

import contextlib
import os
import shutil
import subprocess
import tempfile

from .common import ROOT, Failed, version

ROOTS = os.path.join(ROOT, "target", "roots")
MIRROR = "http://deb.debian.org/debian"
# Without them, debootstrap takes what any mirror gives.
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Runs in namespaces of its own; the changes are in memory, and end with it.
ROOM = r"""
root=$1 package=$2 script=$3 changes=$5
mount --make-rprivate /
mount -t tmpfs tmpfs "$changes"; cd "$changes"
mkdir upper work merged
mount -t overlay overlay -o "lowerdir=$root,upperdir=upper,workdir=work" merged
mount -t proc proc merged/proc
mount -t tmpfs tmpfs merged/tmp
cp "$package" merged/tmp/
ip link set lo up
exec chroot merged env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C VERSION="$4" \
  /bin/sh -euc "$script" sh "/tmp/$(basename "$package")"
"""

# What both packages must do; the program is in the search path.
CALLS = r"""
expect() { [ "$1" = "$2" ] || { echo "got: $1" >&2; echo "expected: $2" >&2; exit 1; }; }
expect "$(sok --version | head -n 1)" "sok $VERSION"
sok tour > /tmp/tour || { cat /tmp/tour; exit 1; }
for address in unix:/run/here.sock inet:127.0.0.1:7 'inet6:[::1]:7'; do
  sok serve "$address" 2> /dev/null & server=$!
  sok wait "$address" --timeout 2m
  expect "$(sok call "$address" hello)" hello
  kill "$server"; wait "$server"
done
sok serve /run/app.sock 2> /dev/null & server=$!
sok relay inet:127.0.0.1:8 /run/app.sock 2> /dev/null & bridge=$!
sok wait /run/app.sock inet:127.0.0.1:8 --timeout 2m
expect "$(sok call inet:127.0.0.1:8 hello)" hello
kill "$bridge" "$server"; wait "$bridge" "$server"
# A script finds out why a call failed.
code=0; sok call /run/here.sock hello 2> /dev/null || code=$?
expect "$code" 3
echo '127.0.0.1 here.test' >> /etc/hosts
code=0; said=$(sok call here.test:9 hello 2>&1) || code=$?
expect "$code" 3
case $said in *inet:127.0.0.1:9*) ;; *) echo "$said" >&2; exit 1;; esac
"""

INSTALL = r"""
listed() {
  find / -xdev -path /proc -prune -o -path /tmp -prune -o -path /var/lib/dpkg -prune -o \
    -path /var/log/dpkg.log -o -printf '%p %y %m %U:%G %l\n' | sort
}
listed > /tmp/before
dpkg --install "$1" > /dev/null
dpkg --verify sok
""" + CALLS.replace("echo '127.0.0.1 here.test' >> /etc/hosts", r"""
cp -p /etc/hosts /tmp/hosts 2> /dev/null || :
echo '127.0.0.1 here.test' >> /etc/hosts""") + r"""
rm /etc/hosts; [ ! -e /tmp/hosts ] || cp -p /tmp/hosts /etc/hosts
listed > /tmp/installed
! cmp -s /tmp/before /tmp/installed
dpkg --purge sok > /dev/null
listed > /tmp/after
diff /tmp/before /tmp/after
grep -q '^Package: sok$' /var/lib/dpkg/status && exit 1 || :
"""

STATIC = r"""
cd /tmp; tar xzf "$1" 2> /dev/null || gzip -dc "$1" | tar xf -
set -- /tmp/sok-*-static; PATH=$1:$PATH
""" + CALLS


def has(program):
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is not None


def root(suite, programs=()):
    """The folder of a system with only these programs, which is made if it is missing; nothing if it cannot be."""
    folder = os.path.join(ROOTS, "-".join([suite, *programs]))
    if os.geteuid() or not has("ip"):
        return None
    if os.path.isdir(folder):
        return folder
    if not has("debootstrap"):
        return None
    os.makedirs(ROOTS, exist_ok=True)
    print(f"  debootstrap of {os.path.basename(folder)}", flush=True)
    options = ["--variant=minbase", *(["--force-check-gpg"] if os.path.exists(KEYRING) else []),
               *([f"--include={','.join(programs)}"] if programs else [])]
    with tempfile.TemporaryDirectory(prefix=f"{os.path.basename(folder)}.", dir=ROOTS) as partial:
        made = os.path.join(partial, "root")
        done = subprocess.run(["debootstrap", *options, suite, made, MIRROR], capture_output=True, text=True)
        if done.returncode:
            print("  " + "\n  ".join((done.stdout + done.stderr).splitlines()[-5:]), flush=True)
            return None
        os.rename(made, folder)
    return folder


@contextlib.contextmanager
def command(folder, package, script):
    """The command that runs `script` so. Its changes are mounted on a folder, which is removed."""
    with tempfile.TemporaryDirectory(prefix="sok-room-") as changes:
        yield ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-euc", ROOM, "sh",
               folder, package, script, version(), changes]


def inside(folder, package, script):
    """Runs `script` with the path of a copy of `package` in the bare system; its files stay as they are."""
    with command(folder, package, script) as words:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"in {folder}: exit {done.returncode}\n{done.stdout}{done.stderr}")
