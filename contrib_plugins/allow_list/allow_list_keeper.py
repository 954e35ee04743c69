"""Keeps a set of hashes up to date while the server runs: looks for changes, has a new set made, swaps."""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import allow_list_build
from allow_list_build import BadList
from allow_list_index import BadIndex, HashSet
from allow_list_sources import BadSource, Look, is_made_of, look

log = logging.getLogger(__name__)

INDEX: Final = "known-good.index"
AGAIN_SECONDS: Final = 60.0
"""After a full disk, or a process that was killed."""
LEFT_BEHIND_SECONDS: Final = 86_400.0
_PASSED_ON: Final = ("PATH", "LANG", "LC_", "LD_LIBRARY_PATH", "DYLD_")


class Keeper:
    """`start`, then `known` always is the last good set; `close` at the end.

    paths: files, and folders of files. folder: where the set is kept, also over a restart. problem: is told, in words,
    of every attempt that came to nothing; the set before it stays.
    """

    def __init__(
        self, paths: Sequence[Path], folder: Path, check_seconds: float, problem: Callable[[str], None]
    ) -> None:
        self._paths = paths
        self._folder = folder
        self._check_seconds = check_seconds
        self._problem = problem
        self._tried = ""
        self._said = ""
        self._not_before = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.known: HashSet | None = None

    async def start(self) -> None:
        """Takes up the set of the last run, if it is of the same files. Raises OSError."""
        await asyncio.to_thread(self._tidy)
        await self._take_up()
        self._task = asyncio.create_task(self._watch(), name="allow list")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._swap(None)

    async def check(self) -> None:
        """Look at the files, and make a new set if they have changed."""
        async with self._one_at_a_time:
            try:
                await self._renew(await asyncio.to_thread(look, self._paths))
            except (BadSource, BadList) as bad:
                self._complain(str(bad))
            except (OSError, BadIndex) as problem:
                self._not_before = asyncio.get_running_loop().time() + AGAIN_SECONDS
                self._complain(str(problem))

    async def _renew(self, seen: Look) -> None:
        """Raises BadList, BadIndex, OSError."""
        if seen.note == self._tried or asyncio.get_running_loop().time() < self._not_before:
            return
        try:
            await self._build(seen)
        except BadList:
            self._tried = seen.note  # it stays bad until somebody changes it
            raise
        found = await asyncio.to_thread(HashSet, self._folder / INDEX)
        self._tried, self._said = seen.note, ""
        self._swap(found)
        log.info("%d known hashes from %d files", len(found), len(seen.files), extra={"action": "load_list"})

    async def _watch(self) -> None:
        while True:
            try:
                await self.check()
            except Exception as problem:
                log.exception("looking for changed lists failed", extra={"action": "load_list"})
                self._problem(f"{type(problem).__name__}: {problem}")
            await asyncio.sleep(self._check_seconds)

    def _complain(self, text: str) -> None:
        """Once, however often it is found."""
        if text == self._said:
            return
        self._said = text
        kept = len(self.known) if self.known else 0
        log.error("%s; the last good list stays (%d hashes)", text, kept, extra={"action": "load_list"})
        self._problem(text)

    async def _take_up(self) -> None:
        try:
            found = await asyncio.to_thread(HashSet, self._folder / INDEX)
        except (OSError, BadIndex):
            return  # none yet, or broken: it is made anew
        if is_made_of(found.note, self._paths):
            self._tried = found.note.decode()
            self._swap(found)
        else:
            found.close()

    def _swap(self, found: HashSet | None) -> None:
        before, self.known = self.known, found
        if before is not None:
            before.close()

    async def _build(self, seen: Look) -> None:
        """Raises BadList, OSError."""
        wanted = {
            "files": seen.files,
            "folder": str(self._folder),
            "target": str(self._folder / INDEX),
            "note": seen.note,
        }
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", allow_list_build.__file__),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(wanted).encode() + b"\n")
            with suppress(ConnectionError):
                await child.stdin.drain()
            said = await child.stdout.readline()
        finally:
            child.stdin.close()
            with suppress(ProcessLookupError):
                child.kill()
            await asyncio.shield(child.wait())
        _check(said)

    def _tidy(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(f"{allow_list_build.PREFIX}*"):
            with suppress(OSError):
                if time.time() - left.stat().st_mtime > LEFT_BEHIND_SECONDS:
                    left.unlink()


def _check(said: bytes) -> None:
    """What the process answers. Raises BadList, OSError."""
    if not said:
        raise OSError("the process that sorts the lists has died")
    answer = json.loads(said)
    if answer.get("line"):
        raise BadList(answer["file"], answer["line"], answer["error"])
    if "error" in answer:
        raise OSError(f"{answer['file']}: {answer['error']}")


def _environment() -> dict[str, str]:
    """What the server can import, the process can import; it learns none of the server's secrets."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
