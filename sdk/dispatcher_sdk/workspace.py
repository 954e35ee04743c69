"""Private folders: one per running SDK process, in it one per job. Nothing else is ever deleted."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

from dispatcher_sdk.errors import OutputError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

_PREFIX: Final = "dispatcher-sdk-"
_LOCK: Final = "in-use"
_SETTLED_SECONDS: Final = 60.0
"""A folder younger than this may not have locked itself yet."""


class JobFolder:
    """`content` is the input, `out` holds children and streams, `scratch` belongs to the plugin."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.content = root / "content"
        self.out = root / "out"
        self.scratch = root / "scratch"

    def create(self) -> "JobFolder":
        for folder in (self.root, self.out, self.scratch):
            folder.mkdir(mode=0o700)
        return self

    def open_out(self, file: str) -> BinaryIO:
        """A result for reading. A worker may have been taken over by its sample: only plain files of this folder.

        Raises OutputError for anything else (a link, a device, another folder), and OSError.
        """
        if not file.isascii() or not file.isdigit() or self.out.is_symlink():
            raise OutputError(f"{file!r} is not a result of this job")
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(self.out / file, flags)
        except OSError as problem:
            if problem.errno in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENXIO):
                raise OutputError(f"the result {file!r} is gone or was replaced: {problem.strerror}") from None
            raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OutputError(f"the result {file!r} is not a plain file")
        return os.fdopen(descriptor, "rb")

    def remove(self) -> None:
        remove_tree(self.root)


class Workspace:
    """The folder of one process, locked while it lives, so that the next one can tell what was left behind."""

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent or Path(tempfile.gettempdir())
        self._jobs = 0
        self._lock: BinaryIO | None = None
        self._root: Path | None = None

    def __enter__(self) -> "Workspace":
        self._sweep()
        self._root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
        self._lock = (self._root / _LOCK).open("wb")
        _lock(self._lock)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lock is not None:
            self._lock.close()
        if self._root is not None:
            remove_tree(self._root)

    def job(self) -> JobFolder:
        """A new, empty folder."""
        assert self._root is not None, "enter the workspace first"
        self._jobs += 1
        return JobFolder(self._root / f"job-{self._jobs}").create()

    def _sweep(self) -> None:
        """Remove what killed processes of this user left behind."""
        for folder in self._parent.glob(_PREFIX + "*"):
            with contextlib.suppress(OSError):
                if _abandoned(folder):
                    remove_tree(folder)


def _abandoned(folder: Path) -> bool:
    facts = folder.lstat()
    if (
        not stat.S_ISDIR(facts.st_mode)
        or facts.st_uid != os.getuid()
        or time.time() - facts.st_mtime < _SETTLED_SECONDS
    ):
        return False
    with (folder / _LOCK).open("rb+") as lock:
        return _lock(lock)


def _lock(file: BinaryIO) -> bool:
    """Whether the lock was free. It is held until the file is closed or the process dies."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_tree(root: Path) -> None:
    """Remove a folder even when a plugin took away its own rights to it. What cannot go is left."""

    def retry(remove: Callable[[str], Any], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
            if remove is os.unlink:
                os.unlink(path)
            elif not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)

    shutil.rmtree(root, onerror=retry)
