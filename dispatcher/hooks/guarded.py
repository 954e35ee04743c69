"""Objects of hook packages, watched: calls, time and errors are counted, and no call lasts for ever.

The server's own objects are used as they are, so an installation without packages pays nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dispatcher_sdk.models import AnyEvent

from dispatcher.hooks.header import Header
from dispatcher.hooks.types import (
    EventEnricher,
    EventFilter,
    EventView,
    Fetched,
    FetchingStore,
    HeaderFilter,
    Notice,
    ObjectStore,
    Observer,
    StoredInfo,
    StoreFactory,
    StreamId,
    Subscription,
    Upload,
    UploadEnricher,
)

LONGEST_ERROR: Final = 300


class TookTooLong(Exception):
    """A call did not end within its time."""


@dataclass
class Account:
    """What one object has cost so far. `seconds` is wall time."""

    calls: int = 0
    seconds: float = 0.0
    errors: int = 0
    last_error: str = ""

    def problem(self, text: str) -> None:
        """An error that no call had."""
        self.errors += 1
        self.last_error = text[:LONGEST_ERROR]

    @contextmanager
    def call(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        except Exception as problem:
            self.errors += 1
            self.last_error = f"{type(problem).__name__}: {problem}"[:LONGEST_ERROR]
            raise
        finally:
            self.calls += 1
            self.seconds += time.perf_counter() - began

    @asynccontextmanager
    async def timed(self, budget: float) -> AsyncIterator[None]:
        """Raises TookTooLong after `budget` seconds."""
        with self.call():
            limit = asyncio.timeout(budget)
            try:
                async with limit:
                    yield
            except TimeoutError as late:
                if not limit.expired():
                    raise
                raise TookTooLong(f"no answer within {budget:g} s") from late


class GuardedHeaderFilter:
    def __init__(self, inner: HeaderFilter, account: Account, budget: float) -> None:
        self.name = inner.name
        self._reject = inner.reject
        self._account = account

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        with self._account.call():
            return self._reject(header, subscription)


class GuardedEventFilter:
    def __init__(self, inner: EventFilter, account: Account, budget: float) -> None:
        self.name = inner.name
        self.applies: Callable[[Subscription], bool] = inner.applies
        self._reject = inner.reject
        self._account = account
        self._budget = budget

    async def reject(self, view: EventView, subscription: Subscription) -> str | None:
        async with self._account.timed(self._budget):
            return await self._reject(view, subscription)


class GuardedEventEnricher:
    def __init__(self, inner: EventEnricher, account: Account, budget: float) -> None:
        self.name = inner.name
        self._enrich = inner.enrich
        self._account = account
        self._budget = budget

    async def enrich(self, event: AnyEvent) -> None:
        async with self._account.timed(self._budget):
            await self._enrich(event)


class GuardedUploadEnricher:
    def __init__(self, inner: UploadEnricher, account: Account, budget: float) -> None:
        self.name = inner.name
        self._enrich = inner.enrich
        self._account = account
        self._budget = budget

    async def enrich(self, upload: Upload) -> None:
        async with self._account.timed(self._budget):
            await self._enrich(upload)


class GuardedStore:
    """Implements ObjectStore. What moves bytes takes as long as they take; only the rest has a limit."""

    def __init__(self, inner: ObjectStore, account: Account, budget: float) -> None:
        self._inner = inner
        self._account = account
        self._budget = budget

    async def put(self, where: StreamId, path: Path) -> None:
        with self._account.call():
            await self._inner.put(where, path)

    async def info(self, where: StreamId) -> StoredInfo | None:
        async with self._account.timed(self._budget):
            return await self._inner.info(where)

    async def read(self, where: StreamId, start: int, length: int) -> AsyncIterator[bytes]:
        self._account.calls += 1
        try:
            async for piece in self._inner.read(where, start, length):
                yield piece
        except FileNotFoundError:
            raise
        except Exception as problem:
            self._account.errors += 1
            self._account.last_error = f"{type(problem).__name__}: {problem}"[:LONGEST_ERROR]
            raise

    async def copy(self, origin: StreamId, target: StreamId) -> None:
        with self._account.call():
            await self._inner.copy(origin, target)

    async def delete(self, where: StreamId) -> bool:
        async with self._account.timed(self._budget):
            return await self._inner.delete(where)

    async def close(self) -> None:
        await self._inner.close()


class GuardedFetchingStore(GuardedStore):
    """The same of a store that can fetch."""

    def __init__(self, inner: FetchingStore, account: Account, budget: float) -> None:
        super().__init__(inner, account, budget)  # type: ignore[arg-type]
        self._fetch = inner.fetch

    async def fetch(self, where: StreamId, most: int) -> Fetched | None:
        with self._account.call():
            return await self._fetch(where, most)


class GuardedObserver:
    def __init__(self, inner: Observer, account: Account, budget: float) -> None:
        self.name = inner.name
        self._observe = inner.observe
        self._account = account
        self._budget = budget

    async def observe(self, notices: Sequence[Notice]) -> None:
        async with self._account.timed(self._budget):
            await self._observe(notices)


def guarded_factory(factory: StoreFactory, account: Account, budget: float) -> StoreFactory:
    async def open_store(url: str) -> ObjectStore:
        store = await factory(url)
        if isinstance(store, FetchingStore):
            return GuardedFetchingStore(store, account, budget)
        return GuardedStore(store, account, budget)

    return open_store


_GUARDS: Final[dict[str, Callable[[Any, Account, float], Any]]] = {
    "header filter": GuardedHeaderFilter,
    "event filter": GuardedEventFilter,
    "event enricher": GuardedEventEnricher,
    "upload enricher": GuardedUploadEnricher,
    "store": guarded_factory,
    "observer": GuardedObserver,
}


def guarded(kind: str, thing: Any, account: Account, budget: float) -> Any:
    """The same object, watched; as it is where something else watches it (worker enrichers). An object's own `budget`
    in seconds goes before the server's."""
    guard = _GUARDS.get(kind)
    return thing if guard is None else guard(thing, account, float(getattr(thing, "budget", budget)))
