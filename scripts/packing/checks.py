"""What must hold before a release; each fault is a sentence."""

import os
import re

from .common import ROOT, git, version

# Each has an entry of the version.
LOCKS = ["Cargo.lock", "tests/embedded/Cargo.lock", "fuzz/Cargo.lock"]


def of_repository():
    if not git("rev-parse", "HEAD"):
        return ["this is no git repository with a commit"]
    faults = []
    changed = git("status", "--porcelain").splitlines()
    if changed:
        names = ", ".join(line.split(maxsplit=1)[1] for line in changed)
        faults.append(f"the working tree has changes: {names}; commit or remove them")
    tag = f"v{version()}"
    if git("tag", "--list", tag):
        faults.append(f"the tag {tag} exists; give Cargo.toml the next version")
    return faults


def of_files():
    faults = []
    if section(version()) is None:
        faults.append(f"CHANGELOG.md has no section '## {version()} - YYYY-MM-DD'")
    if section("Unreleased"):
        faults.append(f"CHANGELOG.md has entries under Unreleased; move them to {version()}")
    for lock in LOCKS:
        with open(os.path.join(ROOT, lock)) as file:
            if f'name = "sok"\nversion = "{version()}"\n' not in file.read():
                faults.append(f"{lock} has another version of sok; run cargo metadata in its folder")
    return faults


def section(name):
    """The text of a section of the changelog, nothing if there is none. A version needs its date."""
    with open(os.path.join(ROOT, "CHANGELOG.md")) as file:
        parts = re.split(r"^## (.+)\n", file.read(), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2]))
    for title, text in sections.items():
        if title == name == "Unreleased" or re.fullmatch(rf"{re.escape(name)} - \d{{4}}-\d\d-\d\d", title):
            return text.strip()
    return None
