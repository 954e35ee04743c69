"""Real files that every machine with Python has: its library, and an archive made of some of it."""

import sysconfig
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from dispatcher.cli.files import Found, find

_LEFT_OUT = frozenset(("__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib"))


def library(most: int) -> Iterator[Found]:
    """At most so many files of the interpreter's library, without packages that were installed into it."""
    folder = Path(sysconfig.get_path("stdlib"))
    wanted = (found for found in find([folder]) if not _LEFT_OUT.intersection(found.name.split("/")))
    return islice(wanted, most)


def archive(folder: Path, most: int) -> Path:
    """A zip file of library modules in `folder`, for the plugin that unpacks."""
    path = folder / "library.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for found in library(most):
            if not found.problem:
                made.write(found.path, found.name)
    return path
