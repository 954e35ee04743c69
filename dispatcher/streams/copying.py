"""Copies stored bytes from one source to another within the store."""

from dispatcher.errors import NotFound
from dispatcher.hooks.types import StreamId
from dispatcher.streams.address import is_address
from dispatcher.streams.locks import KeyedLocks
from dispatcher.streams.measured import MeasuredStore
from dispatcher.streams.places import find


class StreamCopier:
    """`locks` are those of everybody who writes to this store in this process."""

    def __init__(self, store: MeasuredStore, locks: KeyedLocks) -> None:
        self._store = store
        self._locks = locks

    async def copy(self, source_a: str, source_b: str, label: str, sha256: str) -> None:
        """Raises NotFound, also for what is no address: an insert may say anything."""
        origin, target = StreamId(source_a, label, sha256), StreamId(source_b, label, sha256)
        if not (is_address(origin) and is_address(target)):
            raise NotFound
        found = await find(self._store, origin)
        if found is None:
            raise NotFound
        async with self._locks(target):
            try:
                await self._store.copy(found[0], target)
            except FileNotFoundError:
                raise NotFound from None
