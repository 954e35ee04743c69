"""An operator asks a running server what its hook packages do."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import BaseModel, SecretStr

from dispatcher.hooks import Header, HookContext, Notice, Subscription, hookimpl
from dispatcher.testing import LocalDispatcher
from tests.shapes import binary, status_of


class Refuses:
    name = "Refuses"

    def __init__(self, source: str) -> None:
        self._source = source

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        return "unwanted" if header.source == self._source else None


class Package:
    name = "mine"
    __version__ = "1.2"

    class Options(BaseModel):
        source: str
        token: SecretStr = SecretStr("")

    @hookimpl
    def register_filters(self, context: HookContext) -> list[Refuses]:
        context.problem("first")
        context.problem("rules.txt:3: " + "x" * 1000)
        return [Refuses(context.options.source)]


async def test_packages_and_what_they_cost(tmp_path: Path, log: dict[str, str]) -> None:
    options = {"mine": {"source": "lab", "token": "s3cret"}}
    async with (
        LocalDispatcher(tmp_path, hooks=[Package()], hook_options=options, **log) as server,
        aiohttp.ClientSession(server.url) as http,
    ):

        async def poll(deadline: int) -> dict[str, Any]:
            query = f"name=plug&version=1&r-live=true&r-historic=true&deadline={deadline}"
            path = f"/api/v2/event/binary/passive?{query}"
            async with http.get(path, headers={"Accept": "application/json"}) as reply:
                return dict(await reply.json())

        await poll(0)
        events = [binary("1" * 64, "lab"), binary("2" * 64, "web")]
        async with http.post("/api/v2/event?model=binary", json=events) as reply:
            assert (await reply.json())["total_ok"] == 2, await reply.text()
        got = [await poll(5), await poll(1)]
        assert [event["source"]["name"] for reply_ in got for event in reply_["events"]] == ["web"]
        async with http.get("/api/v2/admin/hooks") as reply:
            text = await reply.text()
            own, mine = (await reply.json())["packages"]
        assert "s3cret" not in text
        assert (own["name"], own["origin"], own["error"]) == ("built-in", "built-in", "")
        assert (mine["name"], mine["version"], mine["origin"]) == ("mine", "1.2", "given")
        assert mine["options"] == {"source": "lab", "token": "***"}
        assert (mine["problems"], mine["last_problem"][:12], len(mine["last_problem"])) == (2, "rules.txt:3:", 300)
        assert (own["problems"], own["last_problem"]) == (0, "")
        (rule,) = mine["objects"]
        assert rule["object"] == "header filter Refuses"
        assert rule["calls"] >= 2
        assert (rule["errors"], rule["last_error"], rule["in_place_of_builtin"]) == (0, "", False)


class Diary:
    name = "Diary"

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self.news = asyncio.Event()

    async def observe(self, notices: Sequence[Notice]) -> None:
        self.seen += [(notice.what, notice.plugin or notice.author, notice.status) for notice in notices]
        self.news.set()

    async def until(self, entry: tuple[str, str, str]) -> None:
        async with asyncio.timeout(10):
            while entry not in self.seen:
                self.news.clear()
                await self.news.wait()


class Observing:
    name = "observing"

    def __init__(self, diary: Diary) -> None:
        self.diary = diary

    @hookimpl
    def register_observers(self) -> list[Diary]:
        return [self.diary]


async def test_an_observer_hears_what_becomes_of_a_job(tmp_path: Path, log: dict[str, str]) -> None:
    diary = Diary()
    async with (
        LocalDispatcher(tmp_path, hooks=[Observing(diary)], **log) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        query = "name=plug&version=1&r-live=true&r-historic=true&deadline=5"
        async with http.post("/api/v2/event?model=binary", json=[binary()]) as reply:
            assert reply.status == 200
        await diary.until(("published", "tester", ""))
        path = f"/api/v2/event/binary/active?{query}"
        async with http.get(path, headers={"Accept": "application/json"}) as reply:
            (job,) = (await reply.json())["events"]
        await diary.until(("delivered", "plug", ""))
        async with http.post("/api/v2/event?model=status", json=status_of(job)) as reply:
            assert reply.status == 200
        await diary.until(("finished", "plug", "completed-empty"))
    assert diary.seen == [
        ("published", "tester", ""),
        ("delivered", "plug", ""),
        ("published", "tester", "completed-empty"),
        ("finished", "plug", "completed-empty"),
    ]
