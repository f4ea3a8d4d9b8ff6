"""The archive of the static program."""

import gzip
import io
import os
import tarfile

from . import documents, licenses
from .common import ARCHITECTURE, Failed, output, source_date, version
from .stage import files_of


def package(program, papers, out):
    """Writes the archive, and returns its path."""
    if "INTERP" in output("readelf", "--program-headers", program):
        raise Failed(f"{program} is not static")
    name = f"sok-{version()}-{ARCHITECTURE}-linux-static"
    files = {path: documents.read(path, {}) for path in documents.documents()}
    files.update({placed(path): read(os.path.join(papers, path)) for path in files_of(papers)})
    files.update({"sok": read(program), licenses.NAME: licenses.text("static")})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, text in sorted(files.items()):
            add(archive, f"{name}/{path}", text, 0o755 if path == "sok" else 0o644)
    path = os.path.join(out, f"{name}.tar.gz")
    with open(path, "wb") as file:
        file.write(gzip.compress(packed.getvalue(), 9, mtime=0))
    return path


def placed(path):
    """The place of a paper in the archive: man(1) finds a page in the folder of its section."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f"man{name[-1]}", name) if folder == "man" else path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def add(archive, path, text, mode):
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode, entry.mtime = len(text), mode, source_date()
    entry.uname = entry.gname = "root"
    archive.addfile(entry, io.BytesIO(text))
