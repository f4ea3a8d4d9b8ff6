"""The licences of what is in a program beside our own code, as one text."""

import os
import re

from .common import Failed, output
from .sbom import linked

NAME = "THIRD-PARTY-LICENSES.txt"
HEAD = """\
sok itself has the licence in the file LICENSE, or copyright. The program contains, or was made with, the crates
below, in the terms that follow the names. Of terms that a crate lets one choose, they are those of the MIT
licence where it is among them.
"""
GLIBC = """\
The program is linked statically with the GNU C Library, whose terms are those below. Its source is that of the
package glibc of the Debian that built the program. With the source of sok you can link it with another one, as
docs/install.md says.
"""
LGPL = "/usr/share/common-licenses/LGPL-2.1"
WANTED = re.compile(r"(licen[sc]es?|copying|copyright|notices?|unlicense)([-._].*)?", re.IGNORECASE)


def text(way):
    """The licences of the program that is linked in this way."""
    own, found, packages, _ = linked(way)
    users = {}
    for package in (packages[one] for one in found if one != own):
        texts = terms(package)
        if not texts:
            raise Failed(f"the crate {package['name']} comes without the text of its licence, {package['license']}")
        for one in texts:
            users.setdefault(one, []).append(f"{package['name']} {package['version']} ({package['license']})")
    users.setdefault(read(standard_library()), []).append("the Rust standard library (MIT OR Apache-2.0)")
    parts = [HEAD] + [section(names, one) for one, names in sorted(users.items(), key=lambda it: it[1])]
    if way.startswith("static"):
        parts.append(section(["the GNU C Library (LGPL-2.1-or-later)"], f"{GLIBC}\n{read(LGPL)}"))
    return "\n".join(parts).encode()


def section(names, terms_of_them):
    line = "=" * 78
    return "\n".join([line, *sorted(names), line, "", terms_of_them, ""])


def terms(package):
    """The texts of the licence that are in the source of the crate."""
    folder = os.path.dirname(package["manifest_path"])
    names = sorted(name for name in os.listdir(folder) if WANTED.fullmatch(name))
    # All of "A AND B" apply.
    is_choice = package["license"] and "AND" not in package["license"].split()
    mit = [name for name in names if re.fullmatch(r"licen[sc]e-mit(\..*)?", name, re.IGNORECASE)]
    if is_choice and mit:
        names = mit + [name for name in names if re.match("copyright|notice", name, re.IGNORECASE)]
    paths = []
    for name in names:
        path = os.path.join(folder, name)
        paths += sorted(os.path.join(path, file) for file in os.listdir(path)) if os.path.isdir(path) else [path]
    return [read(path) for path in paths]


def standard_library():
    return os.path.join(output("rustc", "--print", "sysroot"), "share", "doc", "rust", "licenses", "MIT.txt")


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.rstrip() for line in file.read().strip("\n\f").splitlines()]
    except OSError as error:
        raise Failed(f"the text of a licence: {error}")
    return "\n".join(lines)
