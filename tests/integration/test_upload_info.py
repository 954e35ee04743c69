"""What a worker enricher says besides fields: in the answer to the upload, and for upload enrichers."""

from pathlib import Path

import aiohttp
import pytest

from dispatcher.hooks import Upload, WorkerEnricher, hookimpl
from dispatcher.testing import LocalDispatcher

FUNCTIONS = Path(__file__).parents[1] / "unit" / "streams" / "functions"
SAID = {"lines": [1, 2], "deep": {"er": None}}


class Listens:
    name = "listens"

    async def enrich(self, upload: Upload) -> None:
        if upload.info:
            upload.data.language = ",".join(upload.info["says"])


class Package:
    name = "package"

    @hookimpl
    def register_enrichers(self) -> list[object]:
        return [WorkerEnricher("says", "hostile_enrichers:says_more"), Listens()]


async def test_it_comes_beside_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FUNCTIONS))
    async with (
        LocalDispatcher(tmp_path, hooks=[Package()]) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        async with http.post("/api/v3/stream/samples/content", data=b"hello") as reply:
            answer = await reply.json()
        assert answer["info"] == {"says": SAID}
        assert answer["data"]["language"] == "lines,deep"
        query = {"skip-identify": "true", "expected-sha256": answer["data"]["sha256"]}
        async with http.post("/api/v3/stream/samples/content", data=b"hello", params=query) as reply:
            assert list(await reply.json()) == ["data"], "as strict a reply as ever where there is nothing to say"
