"""The curl lines of the original's README, as they are written there, with real files."""

import asyncio
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dispatcher.testing import LocalDispatcher
from tests.shapes import binary

ROOT = Path(__file__).parents[2]
UPLOAD = "curl -XPOST -d @Dockerfile http://localhost:8111/api/v1/data"
FETCH = "curl 'http://localhost:8111/api/v1/events/binary?name=mytest&version=1.0'"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


@pytest.fixture
def run(local_dispatcher: LocalDispatcher, tmp_path: Path) -> Any:
    """Runs a line in a folder with our Dockerfile, against this server; what it prints."""
    shutil.copy(ROOT / "Dockerfile", tmp_path)

    async def run(line: str) -> bytes:
        process = await asyncio.create_subprocess_shell(
            line.replace("http://localhost:8111", local_dispatcher.url),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, problems = await process.communicate()
        assert process.returncode == 0, problems
        return printed

    return run


async def test_upload(run: Any) -> None:
    """curl says that it sends a form, and takes the ends of the lines away."""
    sent = (ROOT / "Dockerfile").read_bytes().replace(b"\n", b"")
    data = json.loads(await run(UPLOAD))["data"]
    assert (data["size"], data["sha256"]) == (len(sent), hashlib.sha256(sent).hexdigest())
    assert (data["label"], data["file_format"]) == ("content", "text/plain")
    assert await run(f"curl http://localhost:8111/api/v3/stream/any/content/{data['sha256']}") == sent


async def test_a_first_fetch_waits_and_says_that_there_is_nothing(run: Any) -> None:
    reply = json.loads(await run(FETCH))
    assert (reply["events"], reply["info"]["fetched"], reply["info"]["paused"]) == ([], 0, False)


async def test_fetches_bring_one_event_after_the_other(run: Any, tmp_path: Path) -> None:
    for digit in "12":
        (tmp_path / "event.json").write_text(json.dumps(binary(digit * 64)))
        posted = json.loads(await run("curl -d @event.json 'http://localhost:8111/api/v2/event?model=binary'"))
        assert posted["total_ok"] == 1
    found = [event["entity"]["sha256"] for _ in "12" for event in json.loads(await run(FETCH))["events"]]
    assert found == ["1" * 64, "2" * 64]
