"""What objects of packages cost is counted, none of them lasts for ever, and a failure is what it was."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dispatcher_sdk.models import BinaryEvent

from dispatcher.hooks import Header, HookContext, StreamId, Subscription, hookimpl
from dispatcher.hooks.guarded import TookTooLong
from dispatcher.hooks.manager import HookManager

ASKED = Subscription("plug", "1", "binary")
HERE = StreamId("lab", "content", "a" * 64)


class Strict:
    name = "strict"

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        if header.source == "bad":
            raise ValueError("bad source")
        return "no"


class Slow:
    name = "slow"
    budget = 0.01

    def applies(self, subscription: Subscription) -> bool:
        return True

    async def reject(self, view: Any, subscription: Subscription) -> str | None:
        if view == "own":
            raise TimeoutError("of its own")
        await asyncio.Event().wait()
        return None


class Tags:
    name = "tags"

    async def enrich(self, event: BinaryEvent) -> None:
        event.kafka_key = "tagged"


class Store:
    async def put(self, where: StreamId, path: Path) -> None:
        raise OSError("disk full")

    async def info(self, where: StreamId) -> None:
        return None

    async def read(self, where: StreamId, start: int, length: int) -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("bad sector")

    async def copy(self, origin: StreamId, target: StreamId) -> None: ...
    async def delete(self, where: StreamId) -> bool:
        return True

    async def close(self) -> None: ...


class Package:
    name = "mine"

    @hookimpl
    def register_filters(self) -> list[object]:
        return [Strict(), Slow()]

    @hookimpl
    def register_enrichers(self) -> list[object]:
        return [Tags()]

    @hookimpl
    def register_stores(self) -> dict[str, object]:
        async def opened(url: str) -> Store:
            return Store()

        return {"odd": opened}


@pytest.fixture
def manager() -> HookManager:
    made = HookManager(HookContext(), packages=[Package()], entry_points=())
    made.load()
    return made


def account(manager: HookManager, thing: str) -> tuple[int, int, str]:
    found = manager.accounts["mine"][thing]
    assert found.seconds >= 0
    return found.calls, found.errors, found.last_error


def test_a_header_filter(manager: HookManager) -> None:
    (rule,) = manager.header_filters
    assert rule.reject(Header(source="lab"), ASKED) == "no"
    with pytest.raises(ValueError, match="bad source"):
        rule.reject(Header(source="bad"), ASKED)
    assert account(manager, "header filter strict") == (2, 1, "ValueError: bad source")


async def test_an_event_filter_that_does_not_answer_is_ended(manager: HookManager) -> None:
    (rule,) = manager.event_filters
    assert rule.applies(ASKED)
    with pytest.raises(TookTooLong, match=r"no answer within 0\.01 s"):
        await rule.reject("view", ASKED)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError, match="of its own"):
        await rule.reject("own", ASKED)  # type: ignore[arg-type]
    calls, errors, last = account(manager, "event filter slow")
    assert (calls, errors, last) == (2, 2, "TimeoutError: of its own")


async def test_a_client_that_goes_away_is_no_error_of_the_filter(manager: HookManager) -> None:
    class Patient(Slow):
        budget = 60.0

    class Other(Package):
        @hookimpl
        def register_filters(self) -> list[object]:
            return [Patient()]

    made = HookManager(HookContext(), packages=[Other()], entry_points=())
    made.load()
    asking = asyncio.create_task(made.event_filters[0].reject("view", ASKED))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert account(made, "event filter slow")[:2] == (1, 0)


async def test_an_enricher(manager: HookManager) -> None:
    (enricher,) = manager.event_enrichers
    event = BinaryEvent()
    await enricher.enrich(event)
    assert event.kafka_key == "tagged"
    assert account(manager, "event enricher tags") == (1, 0, "")


async def test_a_store(manager: HookManager, tmp_path: Path) -> None:
    store = await manager.stores["odd"]("odd://x")
    with pytest.raises(OSError, match="disk full"):
        await store.put(HERE, tmp_path)
    assert await store.info(HERE) is None
    assert await store.delete(HERE)
    reading = store.read(HERE, 0, 2)
    assert await anext(reading) == b"a"
    with pytest.raises(OSError, match="bad sector"):
        await anext(reading)
    assert account(manager, "store odd") == (4, 2, "OSError: bad sector")


def test_the_servers_own_objects_are_used_as_they_are() -> None:
    own = Package()
    manager = HookManager(HookContext(), builtins=[own], entry_points=())
    manager.load()
    assert isinstance(manager.header_filters[0], Strict)
    assert manager.accounts == {}
