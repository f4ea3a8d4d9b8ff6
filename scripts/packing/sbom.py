"""The software bill of materials: the crates in a program, as CycloneDX 1.5, from `cargo metadata`."""

import datetime
import json
import os
import tomllib

from .builds import WAYS
from .common import ARCHITECTURE, ROOT, TARGET, commit, output, source_date, version


def write(way, folder):
    """Writes the list of the program that is linked in this way, and returns its path."""
    path = os.path.join(folder, f"sok-{version()}-{ARCHITECTURE}-{way}.cdx.json")
    with open(path, "w") as file:
        json.dump(bill(way), file, indent=1)
        file.write("\n")
    return path


def linked(way):
    """The crates in the program that is linked in this way, sorted, with the packages and nodes of cargo."""
    # The flags decide which crates a program has: its own resolver is for a static one.
    environment = {**os.environ, "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(WAYS[way].get("flags", []))}
    said = output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET,
                  env=environment)
    metadata = json.loads(said)
    compiled = compiled_crates(environment)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    own = metadata["resolve"]["root"]
    found = reached(own, nodes, lambda one: (packages[one]["name"], packages[one]["version"]) in compiled)
    return own, found, packages, nodes


def bill(way):
    own, found, packages, nodes = linked(way)
    checksums = locked_checksums()
    time = datetime.datetime.fromtimestamp(source_date(), datetime.timezone.utc)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**component(packages[own], checksums, "application"),
                          "properties": [{"name": "commit", "value": commit() or "unknown"},
                                         {"name": "linked", "value": way}]},
        },
        "components": [component(packages[one], checksums) for one in found if one != own],
        "dependencies": [{"ref": reference(packages[one]),
                          "dependsOn": sorted(reference(packages[it]) for it in needs(nodes[one]) if it in found)}
                         for one in found],
    }


def compiled_crates(environment):
    """The names and versions of the crates. `cargo metadata` has more: what no enabled feature needs, too."""
    said = output("cargo", "tree", "--locked", "--target", TARGET, "--edges", "normal,build", "--prefix", "none",
                  "--no-dedupe", "--format", "{p}", env=environment)
    return {(words[0], words[1].removeprefix("v")) for words in map(str.split, said.splitlines())}


def needs(node):
    """The packages that are compiled for it, those of its tests left out."""
    return [one["pkg"] for one in node["deps"] if any(kind["kind"] != "dev" for kind in one["dep_kinds"])]


def reached(own, nodes, is_compiled):
    """All packages that `own` needs, sorted, with itself."""
    found, waiting = {own}, [own]
    while waiting:
        more = set(filter(is_compiled, needs(nodes[waiting.pop()]))) - found
        found |= more
        waiting += more
    return sorted(found)


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums, kind="library"):
    found = {
        "type": kind,
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        # An older form of "or".
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found


def locked_checksums():
    with open(os.path.join(ROOT, "Cargo.lock"), "rb") as file:
        locked = tomllib.load(file)["package"]
    return {(one["name"], one["version"]): one["checksum"] for one in locked if "checksum" in one}
