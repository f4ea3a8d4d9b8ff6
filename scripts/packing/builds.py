"""Builds the program in each way of linking it."""

import os
import shutil

from .common import ROOT, TARGET, commit, run

# In the order of the table.
WAYS = {
    "dynamic": {},
    "dynamic PIE": {"pie": True},
    "static": {"flags": ["-Ctarget-feature=+crt-static", "-Crelocation-model=static"]},
    "static PIE": {"flags": ["-Ctarget-feature=+crt-static"]},
}


def build(way):
    """Builds the release program, and returns the path of a copy that the next build leaves."""
    target = os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target")
    environment = {**os.environ, "CARGO_INCREMENTAL": "0"}
    # The paths of this machine are not those of another one.
    cargo = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    flags = [*WAYS[way].get("flags", []), f"--remap-path-prefix={cargo}=/cargo", f"--remap-path-prefix={ROOT}=/sok"]
    environment["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(flags)
    environment["SOK_COMMIT"] = commit()
    environment.pop("SOK_PIE", None)
    if WAYS[way].get("pie"):
        environment["SOK_PIE"] = "1"
    # With a target given, the flags are not for the programs that run during the build.
    run("cargo", "build", "--locked", "--release", "--bin", "sok", "--target", TARGET, env=environment)
    copy = os.path.join(target, "builds", way.replace(" ", "-"), "sok")
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    shutil.copy2(os.path.join(target, TARGET, "release", "sok"), copy)
    return copy
