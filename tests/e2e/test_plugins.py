"""The example plugins as real processes against the real server: from an uploaded file to its final statuses."""

import asyncio
import base64
import io
import signal
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dispatcher_sdk.client import DispatcherClient
from dispatcher_sdk.http import Exchange
from dispatcher_sdk.models import Author, BinaryEntity, BinaryEvent, PathNode, Source, StatusEvent, decode, encode
from dispatcher_sdk.multipart import parts
from msgspec import Raw
from msgspec.json import decode as from_json

from dispatcher.testing import LocalDispatcher

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2] / "contrib_plugins"
CONTRIB = (ROOT / "url_finder" / "url_finder.py", ROOT / "unpack_zip" / "unpack_zip.py")


class Submitter:
    """Uploads files, publishes their events, and reads every binary and status event as the metastore would."""

    def __init__(self, url: str) -> None:
        self._client = DispatcherClient(url)
        self._http = Exchange(url, user_agent="test")
        self.statuses: list[StatusEvent] = []

    async def __aenter__(self) -> "Submitter":
        await self._client.__aenter__()
        await self._http.__aenter__()
        await self._read("status")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.__aexit__(None, None, None)
        await self._http.__aexit__(None, None, None)

    async def submit(self, data: bytes, filename: str) -> str:
        stored = await self._client.upload("test", "content", data)
        now, author = datetime.now(UTC), Author(name="submitter", version="1", category="user")
        node = PathNode(
            author=author, action="sourced", sha256=stored.sha256, timestamp=now, file_format=stored.file_format,
            size=stored.size, filename=filename,
        )  # fmt: skip
        event = BinaryEvent(
            model_version=6,
            timestamp=now,
            author=author,
            source=Source(name="test", path=[node], timestamp=now),
            entity=BinaryEntity(
                sha256=stored.sha256, size=stored.size, file_format=stored.file_format, datastreams=[stored]
            ),
            action="sourced",
        )
        await self._http.send(
            "POST", "/api/v2/event", query=[("model", "binary"), ("sync", "true")], body=encode(event)
        )
        return stored.sha256

    async def final(self, count: int) -> list[StatusEvent]:
        """The final statuses of all plugins, at least `count` of them."""
        while len(self._finished()) < count:
            self.statuses += [decode("status", raw) for raw in await self._read("status")]  # type: ignore[misc]
        return self._finished()

    async def binaries(self, count: int) -> list[BinaryEvent]:
        """At least `count` binary events, from the beginning."""
        found: list[BinaryEvent] = []
        while len(found) < count:
            found += [decode("binary", raw) for raw in await self._read("binary")]  # type: ignore[misc]
        return found

    def _finished(self) -> list[StatusEvent]:
        return [status for status in self.statuses if status.entity.status != "heartbeat"]

    async def _read(self, model: str) -> list[Raw]:
        query = [("name", "reader"), ("version", "1"), ("r-historic", "true"), ("count", "100"), ("deadline", "1")]
        body, kind = await self._http.send("GET", f"/api/v2/event/{model}/passive", query=query)
        found: list[Raw] = from_json(parts(body, kind)["events"], type=dict[str, list[Raw]])["events"]
        return found


@asynccontextmanager
async def served(url: str, *plugins: Path) -> AsyncIterator[None]:
    """`dispatcher-sdk serve` for each plugin; ended with SIGTERM, which must be clean."""
    processes = [await serve(url, plugin) for plugin in plugins]
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        codes = [await process.wait() for process in processes]
    assert codes == [0] * len(codes)


async def serve(url: str, plugin: Path) -> asyncio.subprocess.Process:
    script = "from dispatcher_sdk.cli import main; main()"
    options = ["serve", str(plugin), "--server", url, "--lease", "10"]
    return await asyncio.create_subprocess_exec(sys.executable, "-c", script, *options)


async def test_an_archive_is_unpacked_and_what_is_inside_is_searched(local_dispatcher: LocalDispatcher) -> None:
    hidden = b"a readable note that mentions http://hidden.example/path and nothing else at all"
    text = b"see http://first.example/ and '" + base64.b64encode(hidden) + b"'\n" * 3
    inner = zipped({"inner.txt": text})
    outer = zipped({"inner.zip": inner, "readme.txt": b"plain text, read https://second.example/x for more\n" * 5})
    async with Submitter(local_dispatcher.url) as submitter, served(local_dispatcher.url, *CONTRIB):
        await submitter.submit(outer, "outer.zip")
        statuses = await submitter.final(5)
    bad = [status.entity.message for status in statuses if status.entity.status not in ("completed", "completed-empty")]
    assert not bad
    names = [status.author.name for status in statuses]
    assert (names.count("unpack-zip"), names.count("url-finder")) == (2, 3)
    searched = [status.entity.input for status in statuses if status.author.name == "url-finder"]
    assert sorted(len(event.source.path) for event in searched) == [2, 3, 4]


GATED = """
from pathlib import Path
from dispatcher_sdk import Feature, Job, Plugin
GATE = Path(__file__).with_name("gate")
plugin = Plugin("gated", version="1", features=[Feature("word", str)])
@plugin.execute
def execute(job: Job) -> None:
    while job.read() == b"held" and not GATE.exists():
        pass
    job.add_feature("word", "done")
"""


async def test_jobs_of_a_killed_runner_go_to_the_next_one(local_dispatcher: LocalDispatcher, tmp_path: Path) -> None:
    (tmp_path / "gated.py").write_text(GATED)
    texts = [b"held", *(b"sample %d\n" % number * 5 for number in range(20))]
    async with Submitter(local_dispatcher.url) as submitter:
        first = await serve(local_dispatcher.url, tmp_path / "gated.py")
        sent = [await submitter.submit(text, "text") for text in texts]
        await submitter.final(len(texts) - 1)
        first.kill()
        await first.wait()
        (tmp_path / "gate").touch()
        async with served(local_dispatcher.url, tmp_path / "gated.py"):
            statuses = await submitter.final(len(texts))
    finished = [status.entity.input.entity.sha256 for status in statuses]
    assert sorted(finished) == sorted(sent), "each once"
    assert finished[-1] == sent[0]


BUSY = """
from pathlib import Path
from dispatcher_sdk import Feature, Job, Plugin, RetryLater
plugin = Plugin("busy", version="1", features=[Feature("word", str)])
@plugin.execute
async def execute(job: Job) -> None:
    marker = Path(__file__).with_name("asked-before")
    if not marker.exists():
        marker.touch()
        raise RetryLater("the sandbox is full", after=1)
    job.add_feature("word", "done")
    job.add_stream("text", b"the text of it", language="en")
    job.add_child(b"what was inside", relationship={"action": "cut"}, filename="inside.txt")
    job.add_info({"took": [1, 2]})
    job.add_problem("one page is missing")
"""


async def test_a_job_that_is_to_be_tried_later_comes_back_and_everything_it_finds_is_published(
    local_dispatcher: LocalDispatcher, tmp_path: Path
) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    async with Submitter(local_dispatcher.url) as submitter, served(local_dispatcher.url, tmp_path / "busy.py"):
        sha256 = await submitter.submit(b"sample", "sample.txt")
        (status,) = await submitter.final(1)
        events = {event.action: event for event in await submitter.binaries(3)}
    assert (status.entity.status, status.entity.message) == ("completed-with-errors", "one page is missing")
    augmented, extracted = events["augmented"], events["extracted"]
    assert augmented.entity.sha256 == sha256
    assert [stream.label for stream in augmented.entity.datastreams] == ["content", "text"]
    assert extracted.source.path[-1].filename == "inside.txt"
    assert extracted.entity.file_format.startswith("text/"), "identified by the server"


def zipped(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return raw.getvalue()
