"""The checksums of the files of a release."""

import hashlib
import os

NAME = "SHA256SUMS"


def write(folder):
    """Writes them in the form that `sha256sum --check` reads."""
    lines = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name != NAME and os.path.isfile(path):
            with open(path, "rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    with open(os.path.join(folder, NAME), "w") as file:
        file.writelines(lines)
