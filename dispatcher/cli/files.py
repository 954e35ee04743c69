"""Finding the files below paths that people name."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Found(NamedTuple):
    """A file to read, or (with `problem`) a path that cannot be one."""

    path: Path
    name: str
    """How the file is called for people: its path below the folder that was named, slashes between."""
    size: int = 0
    """Bytes, as the folder says."""
    problem: str = ""


def find(paths: Iterable[Path]) -> Iterator[Found]:
    """All files of these paths, folders recursively in order of names.

    Links to folders inside a folder are not followed (they may lead in circles); a device or pipe is a problem,
    as reading it may never end.
    """
    for path in paths:
        todo = [(path, "")]  # a stack, as a hostile tree may be deeper than calls can nest
        while todo:
            here, name = todo.pop()
            try:
                facts = here.stat()
                if stat.S_ISDIR(facts.st_mode):
                    todo += _entries(here, name)
                else:
                    problem = "" if stat.S_ISREG(facts.st_mode) else "not a regular file"
                    yield Found(here, _text(name or here.name), facts.st_size, problem)
            except OSError as error:
                yield Found(here, _text(name or here.name), problem=reason(error))


def reason(error: OSError) -> str:
    """What went wrong with a file, in the system's words."""
    return (error.strerror or str(error)).lower()


def _entries(folder: Path, name: str) -> list[tuple[Path, str]]:
    if name and folder.is_symlink():
        return []
    return [
        (folder / entry, f"{name}/{entry}" if name else entry) for entry in sorted(os.listdir(folder), reverse=True)
    ]


def _text(name: str) -> str:
    """File names are bytes on Linux; what is no UTF-8 in them becomes a replacement sign."""
    return os.fsencode(name).decode("utf-8", "replace")
