"""The Debian package, by cargo-deb; Cargo.toml has its fields."""

import email.utils
import os
import re
import shutil

from . import documents, licenses
from .common import ROOT, TARGET, output, run, source_date, version
from .stage import compressed, files_of, install

# The version with which the packages have been tried.
CARGO_DEB = "3.8.0"
# It packs what is here, see `package.metadata.deb` in Cargo.toml.
STAGE = os.path.join(ROOT, "target", "deb-root")
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions",
    "zsh": "usr/share/zsh/vendor-completions",
    "fish": "usr/share/fish/vendor_completions.d",
}
UNITS = os.path.join(ROOT, "deploy", "systemd")
DEBIAN = os.path.join(ROOT, "deploy", "debian")


def package(program, papers, out):
    """Writes the package, and returns its path."""
    shutil.rmtree(STAGE, ignore_errors=True)
    put(program, "usr/bin/sok", 0o755)
    # As Debian's own packages: without the versions of the compilers.
    output("objcopy", "--remove-section=.comment", os.path.join(STAGE, "usr/bin/sok"))
    for page in files_of(os.path.join(papers, "man")):
        section = page.rsplit(".", 1)[1]
        write(f"usr/share/man/man{section}/{page}.gz", compressed(read(os.path.join(papers, "man", page))))
    for path in files_of(os.path.join(papers, "completions")):
        shell, name = path.split("/")
        put(os.path.join(papers, "completions", path), f"{COMPLETIONS[shell]}/{name}")
    for unit in files_of(UNITS):
        put(os.path.join(UNITS, unit), f"usr/lib/systemd/system/{unit}")
    for path in documents.documents():
        # cargo-deb writes the one, and the other is below.
        if path not in documents.DEBIAN:
            write(f"usr/share/doc/sok/{path}", documents.read(path, documents.DEBIAN))
    write(f"usr/share/doc/sok/{licenses.NAME}.gz", compressed(licenses.text("dynamic")))
    put(os.path.join(DEBIAN, "lintian-overrides"), "usr/share/lintian/overrides/sok")
    write("usr/share/doc/sok/changelog.gz", compressed(read(os.path.join(ROOT, "CHANGELOG.md"))))
    write("usr/share/doc/sok/changelog.Debian.gz", compressed(changelog().encode()))
    # The command looks at the program for the libraries that it depends on.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(source_date())}
    path = output(cargo_deb(), "--no-build", "--no-strip", "--target", TARGET, "--output", out, env=environment)
    return path.splitlines()[-1]


def cargo_deb():
    """The program in its version, which is installed if it is missing."""
    tools = os.path.join(ROOT, "target", "tools")
    own = os.path.join(tools, "bin", "cargo-deb")
    for found in filter(None, [shutil.which(own), shutil.which("cargo-deb")]):
        if output(found, "--version").split()[-1] == CARGO_DEB:
            return found
    run("cargo", "install", "--locked", "--force", "--version", CARGO_DEB, "--root", tools, "cargo-deb",
        env={**os.environ, "RUSTFLAGS": ""})
    return own


def changelog():
    """Debian's form of what has changed: it names the version, and the other file has the rest."""
    maintainer = re.search(r'^maintainer = "(.+)"', read(os.path.join(ROOT, "Cargo.toml")).decode(), re.MULTILINE)[1]
    date = email.utils.formatdate(source_date())
    return (f"sok ({version()}-1) unstable; urgency=medium\n\n"
            f"  * A release of the authors; changelog.gz has its changes.\n\n"
            f" -- {maintainer}  {date}\n")


def put(source, path, mode=0o644):
    install(source, os.path.join(STAGE, path), mode)


def write(path, text):
    target = os.path.join(STAGE, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(text)
    os.utime(target, (source_date(), source_date()))


def read(path):
    with open(path, "rb") as file:
        return file.read()
