"""A hook package whose native code dies on a file: the upload is answered, the server and other uploads go on."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from dispatcher.hooks import WorkerEnricher, hookimpl
from dispatcher.testing import LocalDispatcher

FUNCTIONS = Path(__file__).parents[1] / "unit" / "streams" / "functions"
FILES = [Path(module).read_bytes() for module in (__file__, aiohttp.__file__, pytest.__file__)]
UPLOAD = "/api/v3/stream/samples/content"


class FatalPackage:
    """Tells the worker to die, or to hang, on every file."""

    name = "fatal-package"

    @hookimpl
    def register_enrichers(self) -> list[WorkerEnricher]:
        return [
            WorkerEnricher("dies", "hostile_enrichers:aborts"),
            WorkerEnricher("hangs", "hostile_enrichers:hangs", timeout=0.2),
        ]


async def test_a_parser_that_dies_costs_its_field_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: dict[str, str]
) -> None:
    monkeypatch.syspath_prepend(str(FUNCTIONS))
    async with (
        LocalDispatcher(tmp_path, hooks=[FatalPackage()], **log) as server,
        aiohttp.ClientSession(server.url) as session,
    ):

        async def upload(content: bytes) -> dict[str, object]:
            async with session.post(UPLOAD, data=content) as reply:
                assert reply.status == 200
                data: dict[str, object] = (await reply.json())["data"]
                return data

        for data, content in zip(await asyncio.gather(*map(upload, FILES)), FILES, strict=True):
            assert data["size"] == len(content)
            assert str(data["mime"]).startswith("text/"), "the parsers beside the fatal ones still answer"
            async with session.get(f"{UPLOAD}/{data['sha256']}") as stored:
                assert await stored.read() == content
        async with session.get("/metrics") as reply:
            text = await reply.text()
        assert f'dispatcher_parser_failures_total{{cause="crash",parser="dies"}} {len(FILES)}.0' in text
        assert f'dispatcher_parser_failures_total{{cause="timeout",parser="hangs"}} {len(FILES)}.0' in text
