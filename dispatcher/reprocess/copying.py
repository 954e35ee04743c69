"""Copies a run of records of one partition: through the produce pipeline, in order, and nothing of it is lost."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from dispatcher_sdk.models import AnyEvent, InvalidMessage

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import Append, EventLog, LogUnavailable, Record, RecordTooLarge, TopicPartition
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.outcome import Drop, Fate, Refused
from dispatcher.reprocess.aside import Aside
from dispatcher.reprocess.decoding import read_event
from dispatcher.reprocess.selection import Chosen
from dispatcher.reprocess.tally import Counts, Misfit


class EachPublisher(Protocol):
    async def publish_each(self, events: Sequence[AnyEvent]) -> list[Fate]: ...


class Copied(NamedTuple):
    counts: Counts
    misfits: list[Misfit]


class Copier:
    """Writes to one destination. `prefixes`: how names of topics begin, there and here."""

    def __init__(
        self,
        log: EventLog,
        publisher: EachPublisher,
        deletions: Deletions,
        aside: Aside,
        prefixes: tuple[str, str],
    ) -> None:
        self._log = log
        self._publisher = publisher
        self._deletions = deletions
        self._aside = aside
        self._prefixes = prefixes

    async def copy(self, chosen: Chosen, number: int, records: Sequence[Record]) -> Copied:
        """Everything of these records is durable on return, in their order.

        Raises LogUnavailable: do all of them again then, or what has the same key may lie in the wrong order.
        """
        run = _Run((chosen.topic, number), chosen.model)
        values, tombstones = run.sort(records)
        events, kept = self._events(run, values)
        for record, fate in zip(kept, await self._publisher.publish_each(events), strict=True):
            run.count(record, fate)
        await self._write(self._forget(chosen.topic, tombstones) + self._letters(run))
        run.counts.set_aside = len(run.misfits)
        return Copied(run.counts, [Misfit(run.place, record.offset, reason) for record, reason in run.misfits])

    def _events(self, run: "_Run", records: Sequence[Record]) -> tuple[list[AnyEvent], list[Record]]:
        """Events to publish and the record of each. What was deleted under the names that it had is left out: it may
        get others now."""
        events, kept = [], []
        for record in records:
            try:
                event = read_event(run.model, record.value or b"")
            except InvalidMessage as why:
                run.misfits.append((record, str(why)))
                continue
            if not self._deletions.empty and self._deletions.purges(event):
                run.counts.deleted += 1
            else:
                events.append(event)
                kept.append(record)
        return events, kept

    def _forget(self, topic: str, tombstones: Sequence[Record]) -> list[Append]:
        there, here = self._prefixes
        target = here + topic.removeprefix(there)
        if target not in self._log.topics():
            return []
        return [Append(target, record.key or b"", None) for record in tombstones]

    def _letters(self, run: "_Run") -> list[Append]:
        return [letter for record, why in run.misfits for letter in self._aside.letters(run.place, record, why)]

    async def _write(self, items: Sequence[Append]) -> None:
        for item, problem in zip(items, await self._log.append(items) if items else (), strict=True):
            if isinstance(problem, RecordTooLarge):
                raise StartupError(
                    f"{item.topic} takes no records of {len(item.value or b'')} bytes: raise its max.message.bytes "
                    "(`dispatcher topics apply --configs` does)"
                )
            if problem is not None:
                raise LogUnavailable(str(problem))


class _Run:
    """What is known of one run of records while it is copied."""

    def __init__(self, place: TopicPartition, model: str) -> None:
        self.place = place
        self.model = model
        self.counts = Counts()
        self.misfits: list[tuple[Record, str]] = []

    def sort(self, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
        """Values to copy, and tombstones to write after them. Of what has the same key, neither a value before the
        last tombstone is copied nor a tombstone before the last value: they have no effect any more."""
        last = {record.key: record.offset for record in records if not record.value and record.tag is None}
        newest = {record.key: record.offset for record in records if record.value}
        values, tombstones = [], []
        for record in records:
            if record.value:
                if record.key is not None and record.offset < last.get(record.key, 0):
                    self.counts.deleted += 1
                else:
                    values.append(record)
            elif record.tag is not None:
                self.counts.signals += 1
            else:
                self.counts.forgotten += 1
                if record.key is not None and record.offset > newest.get(record.key, -1):
                    tombstones.append(record)
        return values, tombstones

    def count(self, record: Record, fate: Fate) -> None:
        if fate is None:
            self.counts.copied += 1
        elif fate is Drop.DELETED:
            self.counts.deleted += 1
        elif fate is Drop.AGED_OFF:
            self.counts.aged_off += 1
        elif isinstance(fate, Refused | RecordTooLarge):
            self.misfits.append((record, str(fate)))
        else:
            raise LogUnavailable(str(fate))
