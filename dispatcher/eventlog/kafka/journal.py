"""The journal on Kafka: a compacted topic whose partitions are the slots, each written by one owner at a time."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dispatcher.eventlog.base import SLOTS, Fenced, LogUnavailable, TopicPartition, TopicSpec
from dispatcher.eventlog.kafka.folding import CLAIM, Folded, fence_tag, item_key
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.kafka.records import headers_of
from dispatcher.eventlog.kafka.writing import Row, Written

logger = logging.getLogger(__name__)

REPLAY_SECONDS: Final = 60.0
WATCH_SECONDS: Final = 1.0
CONFIG: Final = {
    "segment.bytes": str(4 << 20),
    "segment.ms": "600000",
    "min.compaction.lag.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
}
"""Small segments are compacted soon, so that a new owner has little to read."""
_UNKNOWN = -1

State = dict[bytes, bytes]


def journal_spec(topic: str, replication: int = 1) -> TopicSpec:
    """How the journal's topic is made."""
    return TopicSpec(topic, partitions=SLOTS, config=CONFIG, replication=replication)


def _ignore(slot: int) -> None:
    pass


@dataclass
class _Owned:
    fence: int
    end: int
    """One past the last record that is ours; a next one of ours elsewhere means that somebody else has written."""
    lost: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KafkaJournal:
    """Implements base.Journal. `on_lost` hears of a slot that another process has claimed, at most once per claim.

    A put does not only carry its fence: it is checked, from the offsets that it got, that no newer claim lies
    before it. So a put that returns was made by the owner.
    """

    def __init__(
        self,
        log: KafkaLog,
        spec: TopicSpec,
        *,
        on_lost: Callable[[int], None] = _ignore,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self._log = log
        self._spec = spec
        self._on_lost = on_lost
        self._watch_seconds = watch_seconds
        self._owned: dict[int, _Owned] = {}
        self._task: asyncio.Task[None] | None = None

        self._starting = asyncio.Lock()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def open(self, slot: int) -> tuple[int, State]:
        return (await self.open_many([slot]))[slot]

    async def open_many(self, slots: Sequence[int]) -> dict[int, tuple[int, State]]:
        """See base.Journal. Raises LogUnavailable, TopicRefused."""
        await self._start()
        claimed = await asyncio.gather(*(self._claim(slot) for slot in slots))
        fences = dict(zip(slots, claimed, strict=True))
        folded = await self._replay({slot: fence + 1 for slot, fence in fences.items()})
        for slot, fence in fences.items():
            self._owned[slot] = owned = _Owned(fence, fence + 1)
            async with owned.lock:
                await self._repair(slot, owned, folded[slot])
        return {slot: (fences[slot], folded[slot].state) for slot in slots}

    async def peek(self, slot: int) -> State:
        """See base.Journal. Raises LogUnavailable, TopicRefused."""
        await self._start()
        start, end = (await self._log.bounds([self._partition(slot)]))[self._partition(slot)]
        return (await self._replay({slot: end}))[slot].state if start < end else {}

    async def put(self, slot: int, fence: int, items: Mapping[bytes, bytes | None]) -> None:
        """See base.Journal: together as far as they fit into one batch of 1 MiB, otherwise in order.

        Raises Fenced, LogUnavailable, RecordTooLarge.
        """
        owned = self._owned.get(slot)
        if owned is None or owned.fence != fence:
            raise Fenced(f"slot {slot}: fence {fence} is not the newest")
        async with owned.lock:
            self._check(slot, owned)
            if items:
                await self._write(slot, owned, items)
                self._check(slot, owned)

    # ---- claims

    async def _start(self) -> None:
        """Make the topic, and from then on look for claims of others."""
        async with self._starting:
            if self._task is None:
                await self._log.ensure_topics([self._spec])
                self._task = asyncio.create_task(self._watch(), name="claims in the journal")

    async def _claim(self, slot: int) -> int:
        row = Row(0, CLAIM, os.urandom(8), [])
        [claim] = await self._log.write(self._partition(slot), [row])
        return claim.offset

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_seconds)
            try:
                await self._look()
            except LogUnavailable as problem:
                logger.warning("claims cannot be looked for: %s", problem, extra={"action": "journal"})
            except Exception:
                logger.exception("looking for claims failed", extra={"action": "journal"})

    async def _look(self) -> None:
        mine = {slot: owned for slot, owned in self._owned.items() if not owned.lost and not owned.lock.locked()}
        ends = await self._log.ends([self._partition(slot) for slot in mine])
        for (_, slot), end in ends.items():
            owned = mine[slot]
            if end > owned.end and not owned.lock.locked():
                async with owned.lock:
                    if end > owned.end:
                        await self._examine(slot, owned, end)

    async def _examine(self, slot: int, owned: _Owned, end: int) -> None:
        """Somebody else has written: a new owner, or one that does not know yet that it has lost the slot."""
        folded = (await self._replay({slot: end}))[slot]
        if folded.claim > owned.fence:
            if not owned.lost and self._owned.get(slot) is owned:
                self._on_lost(slot)
            owned.lost = True
            return
        owned.end = max(owned.end, end)
        await self._repair(slot, owned, folded)

    async def _repair(self, slot: int, owned: _Owned, folded: Folded) -> None:
        repairs = folded.repairs()
        if repairs:
            logger.warning("slot %d: a former owner wrote %d items", slot, len(repairs), extra={"action": "journal"})
            await self._write(slot, owned, repairs)

    # ---- records

    async def _write(self, slot: int, owned: _Owned, items: Mapping[bytes, bytes | None]) -> None:
        headers = headers_of(fence_tag(owned.fence))
        rows = [Row(index, item_key(key), value, headers) for index, (key, value) in enumerate(items.items())]
        expected, owned.end = owned.end, _UNKNOWN  # unless we get an answer, anything may be there now
        written = await self._log.write(self._partition(slot), rows)
        end = written[-1].offset + written[-1].rows
        if _is_gapless(expected, written):
            owned.end = end
        else:
            await self._examine(slot, owned, end)

    async def _replay(self, ends: Mapping[int, int]) -> dict[int, Folded]:
        """Slots from their first record up to these offsets. Raises LogUnavailable."""
        folded = {slot: Folded() for slot in ends}
        starts = await self._log.bounds([self._partition(slot) for slot in ends])
        tail = await self._log.tail({partition: start for partition, (start, _) in starts.items()})
        waiting = set(ends)
        try:
            async with asyncio.timeout(REPLAY_SECONDS):
                while waiting:
                    for chunk in await tail.next():
                        slot = chunk.partition[1]
                        folded[slot].add(chunk.records)
                        if chunk.next_offset >= ends[slot]:
                            waiting.discard(slot)
        except TimeoutError:
            raise LogUnavailable(f"the journal could not be read within {REPLAY_SECONDS:g} s") from None
        finally:
            await tail.close()
        return folded

    def _partition(self, slot: int) -> TopicPartition:
        return (self._spec.name, slot)

    def _check(self, slot: int, owned: _Owned) -> None:
        if owned.lost:
            raise Fenced(f"slot {slot}: another process has claimed it")


def _is_gapless(expected: int, written: Sequence[Written]) -> bool:
    for batch in written:
        if batch.offset != expected:
            return False
        expected += batch.rows
    return True
