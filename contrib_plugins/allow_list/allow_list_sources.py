"""Which files the hashes come from, and whether they have changed."""

import json
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple


class BadSource(Exception):
    """A file or folder that cannot be read; the text begins with its name."""


class Look(NamedTuple):
    """The files as they are now. `note` is the same as long as they are."""

    files: tuple[str, ...]
    note: str


def look(paths: Iterable[Path]) -> Look:
    """Files as they are named, and those right in folders but for hidden ones. Raises BadSource."""
    found = [seen for path in paths for seen in _seen(path)]
    return Look(tuple(name for name, *_ in found), json.dumps({"paths": _names(paths), "files": found}))


def is_made_of(note: bytes, paths: Iterable[Path]) -> bool:
    """Was a set with this note made of these paths, as they were then?"""
    try:
        return bool(json.loads(note)["paths"] == _names(paths))
    except (ValueError, TypeError, KeyError):
        return False


def _names(paths: Iterable[Path]) -> list[str]:
    return [str(path) for path in paths]


def _seen(path: Path) -> list[tuple[str, int, int, int]]:
    """(name, bytes, time of change, inode) of each file."""
    try:
        kind = path.stat()
        if S_ISDIR(kind.st_mode):
            inside = sorted(child for child in path.iterdir() if not child.name.startswith(".") and child.is_file())
            return [seen for child in inside for seen in _seen(child)]
    except OSError as problem:
        raise BadSource(f"{problem.filename or path}: {problem.strerror}") from None
    if not S_ISREG(kind.st_mode):
        raise BadSource(f"{path}: neither a file nor a folder")
    return [(str(path), kind.st_size, kind.st_mtime_ns, kind.st_ino)]
