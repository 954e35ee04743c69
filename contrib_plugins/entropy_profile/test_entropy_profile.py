"""Entropy by block: the figures, the verdicts, and a running server."""

import io
import math
import os
import random
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import entropy_blocks
import entropy_profile
import msgspec
import pytest
from entropy_blocks import LOOKED_AT, MOST_BLOCKS, measure
from entropy_profile import Profiles, with_profile
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from dispatcher.testing import LocalDispatcher

RANDOM = random.Random(7).randbytes
TEXT = Path(entropy_blocks.__file__).read_bytes()
PROGRAM = Path(os.__file__).read_bytes()


def measured(data: bytes) -> dict[str, Any]:
    return measure(io.BytesIO(data), len(data))


def shannon(data: bytes) -> float:
    """By the book."""
    shares = [data.count(bytes((value,))) / len(data) for value in set(data)]
    return -sum(share * math.log2(share) for share in shares)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=2000))
def test_figures_are_those_of_the_book(data: bytes) -> None:
    result = measured(data)
    assert result["overall"] == pytest.approx(shannon(data), abs=1e-4)
    step, count = result["block_size"], result["block_count"]
    pieces = [data[number * step : (number + 1) * step] for number in range(count - 1)] + [data[(count - 1) * step :]]
    assert result["blocks"] == pytest.approx([shannon(piece) for piece in pieces], abs=1e-3)


@pytest.mark.parametrize(
    ("size", "blocks", "block_size"),
    [(1, 1, 1), (511, 1, 511), (512, 2, 256), (64 * 256, 64, 256), (64 * 257 - 1, 64, 256), (10_000_000, 64, 156_250)],
)
def test_blocks_are_few_and_not_too_small(size: int, blocks: int, block_size: int) -> None:
    result = measured(bytes(size))
    assert (len(result["blocks"]), result["block_count"], result["block_size"]) == (blocks, blocks, block_size)


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (RANDOM(100), "small"),
        (bytes(100_000), "flat"),
        (b"ab" * 100, "small"),
        (TEXT, "plain"),
        (PROGRAM, "plain"),
        (PROGRAM.hex().encode(), "plain"),
        (zlib.compress(PROGRAM), "packed"),
        (RANDOM(256), "packed"),
        (RANDOM(1_000_000), "packed"),
        (RANDOM(100_000) + bytes(200_000), "mixed"),
        (RANDOM(1000) + TEXT * 20, "plain"),
    ],
)
def test_verdicts(data: bytes, verdict: str) -> None:
    assert measured(data)["verdict"] == verdict


class Counting(io.BytesIO):
    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_a_large_file_is_looked_at_in_samples() -> None:
    half = MOST_BLOCKS * LOOKED_AT * 2
    data = RANDOM(half) + bytes(half)
    file = Counting(data)
    result = measure(file, len(data))
    assert file.taken == MOST_BLOCKS * LOOKED_AT
    assert result["overall"] == pytest.approx(shannon(data), abs=0.01)
    assert result["blocks"][:32] == pytest.approx([8.0] * 32, abs=0.02)
    assert result["blocks"][32:] == [0.0] * 32
    assert result["verdict"] == "mixed"


@pytest.mark.parametrize(
    "data", [{"label": "report", "size": 5}, {"label": "content"}, {"label": "content", "size": 0}]
)
def test_other_streams_are_left_alone(data: dict[str, object]) -> None:
    assert entropy_blocks.profile(__file__, data) == {}


def test_profiles_are_bounded() -> None:
    profiles = Profiles(2)
    for name in ("a", "b", "a", "c"):
        profiles.put(name, name.encode())
    assert [profiles.get(name) for name in "abc"] == [b"a", None, b"c"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (UNSET, {"entropy": 1}),
        (Raw(b"{}"), {"entropy": 1}),
        (Raw(b"null"), {"entropy": 1}),
        (Raw(b'{"x": [1, 1e2]}'), {"x": [1, 100], "entropy": 1}),
        (Raw(b'{"entropy": "mine"}'), {"entropy": "mine"}),
        (Raw(b"[1]"), [1]),
        (Raw(b'"text"'), "text"),
    ],
)
def test_what_is_in_an_events_info_stays(before: Any, after: object) -> None:
    assert msgspec.json.decode(with_profile(before, b"1")) == after


async def test_in_a_server_uploads_and_their_events_have_a_profile(tmp_path: Path) -> None:
    server = LocalDispatcher(tmp_path, hooks=[entropy_profile])
    async with server, aiohttp.ClientSession(server.url) as http:
        data = RANDOM(50_000)
        async with http.post("/api/v3/stream/lab/content", data=data) as reply:
            answer = await reply.json()
        profile = answer["info"]["entropy"]
        assert profile == measured(data)
        assert profile["verdict"] == "packed"
        async with http.post("/api/v3/stream/lab/report", data=data) as reply:
            assert "info" not in await reply.json()
        events = [binary("sourced", answer["data"]), binary("enriched", answer["data"])]
        stranger = binary("sourced", {**answer["data"], "sha256": "1" * 64})
        async with http.post("/api/v2/event?model=binary", json=[*events, stranger]) as reply:
            assert (await reply.json())["total_ok"] == 3, await reply.text()
        query = {"name": "reader", "version": "1", "r-historic": "true", "deadline": "1", "count": "10"}
        headers = {"Accept": "application/json"}
        async with http.get("/api/v2/event/binary/passive", params=query, headers=headers) as reply:
            got = (await reply.json())["events"]
        infos = {(event["action"], event["entity"]["sha256"][:1]): event["entity"].get("info") for event in got}
        assert infos == {
            ("sourced", answer["data"]["sha256"][0]): {"entropy": profile, "mine": 1},
            ("enriched", answer["data"]["sha256"][0]): {"mine": 1},
            ("sourced", "1"): {"mine": 1},
        }


async def test_events_can_be_left_alone(tmp_path: Path) -> None:
    options = {"entropy_profile": {"events": False}}
    async with LocalDispatcher(tmp_path, hooks=[entropy_profile], hook_options=options) as server:
        assert server.app.hooks.packages[-1].objects == ("worker enricher entropy",)


def binary(action: str, data: dict[str, Any]) -> dict[str, Any]:
    sha = data["sha256"]
    author = {"name": "tester", "version": "1", "category": "user"}
    node = {"author": author, "action": action, "sha256": sha, "timestamp": "2024-05-01T10:00:00Z"}
    streams = {} if action == "enriched" else {"datastreams": [data]}
    return {
        "model_version": 6,
        "kafka_key": "placeholder",
        "timestamp": "2024-05-01T10:00:00Z",
        "author": author,
        "source": {"name": "lab", "path": [node], "timestamp": "2024-05-01T10:00:00Z"},
        "entity": {"sha256": sha, "info": {"mine": 1}, **streams},
        "action": action,
        "flags": {},
    }
