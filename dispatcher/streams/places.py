"""Where an object may be: as asked, or in the old root layout, without source and label."""

from collections.abc import Iterable

from dispatcher.hooks.types import StoredInfo, StreamId
from dispatcher.streams.measured import MeasuredStore


def places(wanted: StreamId) -> Iterable[StreamId]:
    """Where to look, in this order."""
    return dict.fromkeys((wanted, StreamId("", "", wanted.sha256)))


async def find(store: MeasuredStore, wanted: StreamId) -> tuple[StreamId, StoredInfo] | None:
    """Where the object really is, and its size."""
    for where in places(wanted):
        if info := await store.info(where):
            return where, info
    return None
