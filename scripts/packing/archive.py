"""The archive of the static program."""

import gzip
import io
import os
import tarfile

from .common import ARCHITECTURE, ROOT, Failed, output, source_date, version
from .stage import files_of

PAPERS = ["README.md", "LICENSE", "CHANGELOG.md"]


def package(program, papers, out):
    """Writes the archive, and returns its path."""
    if "INTERP" in output("readelf", "--program-headers", program):
        raise Failed(f"{program} is not static")
    name = f"sok-{version()}-{ARCHITECTURE}-linux-static"
    files = {"sok": program, **{paper: os.path.join(ROOT, paper) for paper in PAPERS}}
    files.update({placed(path): os.path.join(papers, path) for path in files_of(papers)})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, source in sorted(files.items()):
            add(archive, f"{name}/{path}", source, 0o755 if path == "sok" else 0o644)
    path = os.path.join(out, f"{name}.tar.gz")
    with open(path, "wb") as file:
        file.write(gzip.compress(packed.getvalue(), 9, mtime=0))
    return path


def placed(path):
    """The place of a paper in the archive: man(1) finds a page in the folder of its section."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f"man{name[-1]}", name) if folder == "man" else path


def add(archive, path, source, mode):
    with open(source, "rb") as file:
        text = file.read()
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = len(text), mode, source_date()
    entry.uname = entry.gname = "root"
    archive.addfile(entry, io.BytesIO(text))
