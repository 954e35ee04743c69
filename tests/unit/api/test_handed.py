"""Replies that wait for word, without HTTP around them: how many may, and which ones go first."""

from dispatcher.api.handed import HandedBatches
from tests.unit.api.conftest import MemoryBatch


def hand(handed: HandedBatches, name: str, *, leased: bool = False, events: int = 1) -> MemoryBatch:
    batch = MemoryBatch([b"{}"] * events)
    with handed.under_way(name, leased=leased) as parcel:
        parcel.fill(batch)
    return batch


async def test_too_many_replies_wait() -> None:
    handed = HandedBatches(60, most=2)
    oldest, job, latest = hand(handed, "a"), hand(handed, "b", leased=True), hand(handed, "c")
    assert [batch.fate for batch in (oldest, job, latest)] == ["given back", "", ""]
    hand(handed, "d")
    assert job.fate == "delivered", "its lease decides"
    handed.close()


async def test_too_many_events_wait() -> None:
    handed = HandedBatches(60, most_events=10)
    large, small = hand(handed, "a", events=8), hand(handed, "b", events=2)
    assert not large.fate
    later = hand(handed, "c", events=7)
    assert [batch.fate for batch in (large, small, later)] == ["given back", "", ""]
    handed.close()
    assert [batch.fate for batch in (small, later)] == ["given back", "given back"]
    assert not hand(handed, "d", events=10).fate, "what went does not count any more"
    handed.close()


async def test_a_name_that_is_used_twice() -> None:
    handed = HandedBatches(60)
    first, second = hand(handed, "a"), hand(handed, "a")
    assert (first.fate, second.fate) == ("given back", "")
    handed.close()
    assert second.fate == "given back"


async def test_a_name_that_comes_again_while_its_reply_is_written() -> None:
    """A connection that broke is replaced, with the same request: only the second reply can arrive."""
    handed = HandedBatches(60)
    first = MemoryBatch([b"{}"])
    with handed.under_way("a", leased=True) as parcel:
        parcel.fill(first)
        second = hand(handed, "a", leased=True)
    assert (first.fate, second.fate) == ("given back", "")
    handed.close()
    assert second.fate == "delivered"


async def test_without_events_or_without_a_name_nothing_waits() -> None:
    handed = HandedBatches(60)
    assert hand(handed, "a", events=0).fate == "delivered"
    assert hand(handed, "").fate == "delivered"
