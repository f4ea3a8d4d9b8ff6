"""The pages of the project, and the files of deploy/: in a package, their links lead to one another too."""

import os
import re

from .common import ROOT
from .stage import files_of

TOP = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"]
# What Debian calls otherwise.
DEBIAN = {"CHANGELOG.md": "changelog.gz", "LICENSE": "copyright"}
LINK = re.compile(r'\]\(([^)\s#]+)(?:#[^)\s]*)?\)|(?:src|srcset|href)="([^"#]+)')


def documents():
    """The paths in the repository."""
    docs = [os.path.join("docs", name) for name in files_of(os.path.join(ROOT, "docs")) if "/" not in name]
    deploy = [os.path.join("deploy", name) for name in files_of(os.path.join(ROOT, "deploy"))]
    return TOP + docs + [path for path in deploy if not path.startswith("deploy/debian/")]


def read(path, renamed):
    """A document, with links to the new names of `renamed`."""
    with open(os.path.join(ROOT, path), "rb") as file:
        text = file.read()
    if path.endswith(".md"):
        for name, other in renamed.items():
            text = re.sub(rf"\]\(((?:\.\./)*){re.escape(name)}(#[^)]*)?\)".encode(), rf"](\1{other})".encode(), text)
    return text


def dead_links(folder):
    """The links of the pages in `folder` that lead to no file of it, or out of it."""
    dead = []
    for page in files_of(folder):
        if not page.endswith(".md"):
            continue
        with open(os.path.join(folder, page)) as file:
            found = [one or other for one, other in LINK.findall(file.read())]
        for link in found:
            path = os.path.normpath(os.path.join(os.path.dirname(page), link))
            is_elsewhere = re.match("[a-z]+:", link)
            if not is_elsewhere and (path.startswith("..") or not os.path.exists(os.path.join(folder, path))):
                dead.append(f"{page}: {link}")
    return dead
