"""Submitting files: hash, skip what is stored, upload, publish."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from dispatcher.cli.client import Client, ServerError
from dispatcher.cli.files import Found, reason
from dispatcher.cli.sourced import sourced, sourced_sha256

BLOCK = 1024 * 1024
BATCH = 100
"""Most events in one POST."""


@dataclass
class Outcome:
    """What became of the files so far."""

    submitted: int = 0
    """Uploaded, and their events published."""
    stored: int = 0
    """Skipped: the server had them, or the same bytes came twice."""
    empty: int = 0
    """Skipped: no bytes, nothing to analyse."""
    failed: int = 0
    bytes: int = 0
    """Of the submitted files."""


class _Uploaded(NamedTuple):
    found: Found
    sha256: str
    event: bytes


class Submission:
    """One run over many files, under one source and one source timestamp."""

    def __init__(
        self,
        client: Client,
        source: str,
        report: Callable[[Found, str], None],
        *,
        again: bool = False,
        workers: int = 8,
    ) -> None:
        """`report` is told of each file that is over, with the reason if it failed. `again` submits what is stored,
        too. `workers` files are under way at once."""
        self._client = client
        self._source = source
        self._report = report
        self._again = again
        self._workers = workers
        self.when = datetime.now(UTC)
        self._seen: set[bytes] = set()
        self.outcome = Outcome()

    async def run(self, files: Iterable[Found]) -> Outcome:
        """Submit them all; one that fails does not stop the others. Cancelled, it still publishes what is uploaded."""
        todo = iter(files)
        turn = asyncio.Lock()
        ready: asyncio.Queue[_Uploaded | None] = asyncio.Queue(4 * BATCH)

        async def work() -> None:
            while True:
                async with turn:
                    found = await asyncio.to_thread(next, todo, None)
                if found is None:
                    return
                await self._submit(found, ready)

        publisher = asyncio.create_task(self._publish_all(ready))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(work())
        finally:
            await ready.put(None)
            await publisher
        return self.outcome

    async def _submit(self, found: Found, ready: asyncio.Queue[_Uploaded | None]) -> None:
        if found.problem:
            return self._fail(found, found.problem)
        try:
            sha256, size = await asyncio.to_thread(_hash, found.path)
            if await self._is_over(found, sha256, size):
                return None
            data = await self._client.upload(self._source, found.path, sha256)
        except OSError as error:
            return self._fail(found, reason(error))
        except ServerError as error:
            return self._fail(found, str(error))
        await ready.put(_Uploaded(found, sha256, sourced(self._source, found.name, data, self.when)))

    async def _is_over(self, found: Found, sha256: str, size: int) -> bool:
        """Whether there is nothing to do for this file."""
        if size == 0:
            self.outcome.empty += 1
        elif await self._is_known(sha256):
            self.outcome.stored += 1
        else:
            return False
        self._report(found, "")
        return True

    async def _is_known(self, sha256: str) -> bool:
        digest = bytes.fromhex(sha256)
        if digest in self._seen:
            return True
        self._seen.add(digest)  # before the server is asked, as a copy of this file may be under way
        return not self._again and await self._client.is_stored(self._source, sha256)

    async def _publish_all(self, ready: asyncio.Queue[_Uploaded | None]) -> None:
        """Publish until None comes: as many at once as came while the last request was under way."""
        last = False
        while not last:
            taken = [await ready.get()]
            while len(taken) < BATCH and not ready.empty():
                taken.append(ready.get_nowait())
            last = None in taken
            if batch := [item for item in taken if item is not None]:
                await self._publish(batch)

    async def _publish(self, batch: list[_Uploaded]) -> None:
        try:
            reply = await self._client.publish("binary", [item.event for item in batch])
            refused = {sourced_sha256(failure.event): failure.error for failure in reply.failures}
        except ServerError as error:
            refused = {item.sha256: str(error) for item in batch}
        for item in batch:
            if item.sha256 in refused:
                self._fail(item.found, refused[item.sha256])
            else:
                self.outcome.submitted += 1
                self.outcome.bytes += item.found.size
                self._report(item.found, "")

    def _fail(self, found: Found, reason: str) -> None:
        self.outcome.failed += 1
        self._report(found, reason)


def _hash(path: Path) -> tuple[str, int]:
    """sha256 in hex and size in bytes. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
