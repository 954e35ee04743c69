"""Identify files on this machine, without a server but with the same worker processes."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatcher_sdk.models import Datastream

from dispatcher.streams.frames import Fields
from dispatcher.streams.hashing import Hasher
from dispatcher.streams.identify.builtin import builtin_enrichers
from dispatcher.streams.parsers.identify import EMPTY
from dispatcher.streams.workers import WorkerPool

_BLOCK = 1 << 20


class Identifier:
    """For many files: `with Identifier() as identify: identify(path)`. Not from inside a running event loop."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._pool = WorkerPool(1)
        self._enrichers = builtin_enrichers()

    def __enter__(self) -> Self:
        self._runner.run(self._pool.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._pool.close())
        self._runner.close()

    def __call__(self, path: Path) -> Datastream:
        """All fields that an upload of this file would have. Raises OSError when it cannot be read."""
        known = _hashed(path)
        if not known["size"]:
            return _stream(known | EMPTY)
        findings = self._runner.run(self._pool.run(path.resolve(), known, self._enrichers))
        return _stream(known | findings.fields)


def identify_file(path: Path) -> Datastream:
    """One file; starts and ends a worker process (0.1 s). Raises OSError when it cannot be read."""
    with Identifier() as identify:
        return identify(path)


def _hashed(path: Path) -> Fields:
    hasher = Hasher()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return {"size": hasher.size, "label": "content", **hasher.digests()}


def _stream(fields: Fields) -> Datastream:
    return Datastream(**fields)  # type: ignore[arg-type]
