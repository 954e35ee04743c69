"""What there is to do: where each partition begins, ends, and how far an earlier run came."""

from collections.abc import Sequence
from typing import NamedTuple

from dispatcher.eventlog.base import EventLog, TopicPartition
from dispatcher.reprocess.positions import Position, Positions
from dispatcher.reprocess.selection import Chosen
from dispatcher.reprocess.tally import Counts, Tally


class Share(NamedTuple):
    """The part of one partition that is to be copied: offsets `begin` up to `goal`."""

    chosen: Chosen
    number: int
    begin: int
    goal: int
    counts: Counts
    """What earlier runs did with what is before `begin`."""

    @property
    def partition(self) -> TopicPartition:
        return self.chosen.topic, self.number


async def survey(log: EventLog, positions: Positions, chosen: Sequence[Chosen], tally: Tally) -> list[Share]:
    """A share for every partition, in order, and the tally as it stands before any of them. Raises LogUnavailable."""
    counts = log.topics()
    places = {(item.topic, number): item for item in chosen for number in range(counts.get(item.topic, 0))}
    bounds = await log.bounds(list(places))
    shares = []
    for partition, item in places.items():
        if partition in bounds:
            start, high = bounds[partition]
            share = await _share(log, positions.get(partition), item, partition[1], (start, high), tally)
            _note(tally, share, min(start, share.begin))
            shares.append(share)
    return shares


async def _share(
    log: EventLog, known: Position | None, item: Chosen, number: int, bounds: tuple[int, int], tally: Tally
) -> Share:
    start, high = bounds
    if known is not None and not await _is_the_same(log, (item.topic, number), known, bounds):
        tally.again.append(f"{item.topic}, partition {number}")
        known = None
    if known is None:
        return Share(item, number, start, high, Counts())
    return Share(item, number, known.next, high, known.counts)


async def _is_the_same(log: EventLog, partition: TopicPartition, known: Position, bounds: tuple[int, int]) -> bool:
    """Whether the position was taken in this topic, and not in an earlier one of the same name, as far as that can be
    told: the record before it may have been cleaned away."""
    start, high = bounds
    if known.next > high:
        return False
    if not start <= known.last < high:
        return True
    records = (await log.read(partition, known.last, 1)).records
    return not records or records[0].offset != known.last or records[0].timestamp_ms == known.stamp


def _note(tally: Tally, share: Share, start: int) -> None:
    topic = tally.of(share.chosen.topic)
    topic.total += share.goal - start
    topic.before += share.begin - start
    topic.passed += share.begin - start
    topic.counts.add(share.counts)
