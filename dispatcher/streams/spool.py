"""Where uploads wait on disk while they arrive: one folder per process, gone with the process.

A lock on the folder shows that its owner lives; the kernel drops it even on kill -9. At start the folders of the
dead are removed, those of other servers in the same place are not touched.
"""

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

_LOCK = ".lock"


class Spool:
    """`open()` makes this process's folder, `close()` removes it. Both block for a moment of disk time."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._folder: Path | None = None
        self._lock = -1

    def open(self) -> None:
        """Raises OSError when the folder cannot be made."""
        self._root.mkdir(parents=True, exist_ok=True)
        for old in self._root.iterdir():
            _remove_if_dead(old)
        folder = self._root / f"uploads-{os.getpid()}-{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        self._lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._folder = folder

    def close(self) -> None:
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
        self._folder = None

    def fresh(self) -> Path:
        """A path for one upload; the file does not exist yet."""
        if self._folder is None:
            raise RuntimeError("the spool is not open")
        return self._folder / secrets.token_hex(16)


def _remove_if_dead(folder: Path) -> None:
    # No lock file yet: its owner is just starting, or died right there and left an empty folder.
    if not folder.name.startswith("uploads-"):
        return
    with suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
