"""The bench measures what it says: bytes by kind of request, and rows that run."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.wiretap import Tally, growth
from tests.kafka.broker import KafkaBroker

PRODUCE, FETCH, UNKNOWN = 0, 1, 999


def frame(kind: int, size: int) -> bytes:
    """Of `size` bytes in all."""
    return (size - 4).to_bytes(4, "big") + kind.to_bytes(2, "big") + b"x" * (size - 6)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


exchanges = st.lists(st.tuples(st.sampled_from([PRODUCE, FETCH, UNKNOWN]), st.integers(8, 60), st.integers(8, 60)))
places = st.lists(st.integers(0, 10_000))


@given(exchanges, places, places)
def test_frames_are_counted_by_kind_however_they_are_cut(
    exchanges: list[tuple[int, int, int]], asking: list[int], answering: list[int]
) -> None:
    tally = Tally()
    requests, replies = tally.connection()
    for piece in cut(b"".join(frame(kind, sent) for kind, sent, _ in exchanges), asking):
        requests.feed(piece)
    for piece in cut(b"".join(frame(0, received) for _, _, received in exchanges), answering):
        replies.feed(piece)
    for kind, name in ((PRODUCE, "produce"), (FETCH, "fetch"), (UNKNOWN, "others")):
        found = tally.counts.get(name, {"requests": 0, "sent": 0, "received": 0})
        own = [(sent, received) for one, sent, received in exchanges if one == kind]
        assert found["requests"] == len(own)
        assert (found["sent"], found["received"]) == (sum(s for s, _ in own), sum(r for _, r in own))


def test_replies_belong_to_the_requests_of_their_own_connection() -> None:
    tally = Tally()
    (asking, answering), (other_asking, other_answering) = tally.connection(), tally.connection()
    asking.feed(frame(FETCH, 20))
    other_asking.feed(frame(PRODUCE, 30))
    before = json.loads(json.dumps(tally.counts))
    other_answering.feed(frame(0, 8))
    answering.feed(frame(0, 500))
    assert growth(before, tally.counts) == {
        "fetch": {"requests": 0, "sent": 0, "received": 500},
        "produce": {"requests": 0, "sent": 0, "received": 8},
    }


def bench(*arguments: str, out: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.bench.run", *arguments, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=80)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(out.read_text())
    return found


@pytest.mark.e2e
def test_a_row_runs_on_the_embedded_log(tmp_path: Path) -> None:
    found = bench("--rows", "post-1-sync", "--seconds", "0.3", "--repeat", "1", out=tmp_path / "bench.json")
    row = found["rows"]["embedded"]["post-1-sync"]  # type: ignore[index]
    assert row["operations"] > 0
    assert row["server_cpu_us"] > 0
    assert row["broker_cpu_us"] == 0


@pytest.mark.e2e
@pytest.mark.timeout(90)
def test_a_few_subscribers_on_kafka_read_what_is_written_once(kafka: KafkaBroker, tmp_path: Path) -> None:
    """On a broker of its own; asks for the shared one only to be skipped where there is none."""
    numbers = ("--subscribers", "3", "--kinds", "2", "--seconds", "2", "--rate", "300", "--backlog", "2000")
    found = bench("flat", *numbers, out=tmp_path / "bench.json")
    row = found["flat"]["3"]  # type: ignore[index]
    assert row["delivered_per_event"] == 1.5
    assert 0.8 < row["wire_live"] < 1.3
    assert 0.9 < row["values_live"] < 1.1


def test_an_unknown_row_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.run", "--rows", "post-2", "--out", str(tmp_path / "bench.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25)
    assert done.returncode == 2
    assert "no row 'post-2'" in done.stderr
    assert "post-345-sync" in done.stderr
