"""deploy/Containerfile: the static program, in an image if that can be built, and in a root folder of its own."""

import os
import re
import shutil
import subprocess

from deployment.common import DEPLOY, PATIENCE, ROOT, Background, apart, check, done, read, require
from packing.builds import WAYS

FILE = os.path.join(DEPLOY, "Containerfile")
IMAGE = "sok-try-deploy"
NOBODY = "65534:65534"


def try_container(_, folder, built=None):
    build_image()
    program = static_program(built)
    require("root", os.geteuid() == 0)
    apart(lambda: in_root_folder(program, folder))


def instructions(word):
    """The arguments of each instruction of this kind, with their continued lines."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", read(FILE), flags=re.M))
    return re.findall(rf"^\s*{word}\s+(.*)", text, re.M)


def build_image():
    """Builds the image, where one of the builders has or gets its base."""
    base = instructions("FROM")[0].split()[0]
    for builder in ("podman", "buildah", "docker"):
        if shutil.which(builder) and not subprocess.run([builder, "pull", base], capture_output=True).returncode:
            subprocess.run([builder, "build", "-t", IMAGE, "-f", FILE, ROOT], check=True)
            print(f"  built by {builder}", flush=True)
            return
    print(f"  no builder that has {base}: its command runs here, without an image", flush=True)


def static_program(built):
    """The program that the command of the Containerfile builds: `built`, if it is given, or here in the usual
    target folder."""
    command, = instructions("RUN")
    copied = [words.split() for words in instructions("COPY --from=build")]
    check(copied == [["/src/target/*/release/sok", "/sok"]], f"the Containerfile copies {copied}")
    flags = re.search('RUSTFLAGS="([^"]*)"', command)[1].split()
    check(flags == WAYS["static"]["flags"], f"the Containerfile builds with {flags}, scripts/package does not")
    if built:
        program = built
    else:
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        subprocess.run(["sh", "-euc", command], cwd=ROOT, check=True)
        host = re.search("^host: (.*)", done("rustc", "-vV"), re.M)[1]
        program = os.path.join(target, host, "release", "sok")
    headers = done("readelf", "--program-headers", "--dynamic", program)
    check("INTERP" not in headers and "NEEDED" not in headers, f"{program} is not static")
    print(f"  static, {os.path.getsize(program) / (1 << 20):.1f} MiB", flush=True)
    return program


def make_root(program, folder, name="root"):
    """A root folder as the image has it, with the files that every container gets."""
    root = os.path.join(folder, name)
    os.makedirs(os.path.join(root, "etc"))
    os.makedirs(os.path.join(root, "proc"))
    shutil.copy(program, os.path.join(root, "sok"))
    with open(os.path.join(root, "etc/hosts"), "w") as file:
        file.write("127.0.0.1 localhost target.example\n::1 localhost\n")
    return root


def contained(root, *command, user=NOBODY):
    """The command as a container runs it: another root, no rights, no new ones."""
    # With an empty bounding set, chroot(8) has only what it inherits; another user keeps none of it.
    inherited = ("setpriv", "--inh-caps=+sys_chroot,+setuid,+setgid")
    bounded = ("setpriv", "--no-new-privs", "--bounding-set=-all")
    return (*inherited, *bounded, "chroot", f"--userspec={user}", root, *command)


def in_root_folder(program, folder):
    root = make_root(program, folder)
    done("mount", "-t", "proc", "proc", os.path.join(root, "proc"))
    user, = instructions("USER")
    check(user == NOBODY, f"the image runs as {user}")
    entry, = instructions("ENTRYPOINT")
    health = instructions("HEALTHCHECK")[0].split("CMD", 1)[1]
    entry, health = (re.findall(r'"([^"]*)"', words) for words in (entry, health))
    with Background(folder) as programs:
        run = contained(root, *entry)
        check("Usage: sok" in done(*run, "--help"), "there is no help")
        programs.sok("server", *run, "serve", "tcp:localhost:7001", "--echo")
        # By a name of /etc/hosts: a static program has its own resolver, or none.
        relay = programs.sok("relay", *run, "relay", "inet:127.0.0.1:7000", "tcp:target.example:7001",
                             "--status", "@status")
        uid = re.search(r"^Uid:\s+(\d+)", read(f"/proc/{relay.pid}/status"), re.M)[1]
        check(uid == NOBODY.split(":")[0], f"it runs as user {uid}")
        check(done(*run, "call", "inet:127.0.0.1:7000", "hello") == "hello\n", "the relay does not answer")
        done(*contained(root, *health))
        relay.terminate()
        check(relay.wait(PATIENCE) == 0, f"it ended with {relay.returncode} after SIGTERM")
        unhealthy = subprocess.run(contained(root, *health), capture_output=True)
        check(unhealthy.returncode != 0, "the health check succeeds without a server")
    print("  runs as nobody in an empty root: name resolved, healthy, stopped", flush=True)
