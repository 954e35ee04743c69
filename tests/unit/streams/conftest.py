from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatcher.hooks.types import WorkerEnricher
from dispatcher.streams.workers import WorkerPool


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch):
    """hostile("name") is an enricher whose function is that one of functions/hostile_enrichers.py."""
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("functions")))

    def make(function: str, timeout: float = 10.0, **more: bool) -> WorkerEnricher:
        return WorkerEnricher(function, f"hostile_enrichers:{function}", timeout=timeout, **more)

    return make


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    async with WorkerPool(1, memory_bytes=400 << 20) as pool:
        yield pool
