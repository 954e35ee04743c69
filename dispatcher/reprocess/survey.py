"""What there is to do: where each partition begins, ends, and how far an earlier run came."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from dispatcher.eventlog.base import EventLog, TopicPartition
from dispatcher.reprocess.positions import Position, Positions
from dispatcher.reprocess.selection import Chosen
from dispatcher.reprocess.tally import Counts, Tally

AT_ONCE: Final = 3
"""Reads beside each other."""
Bounds = Mapping[TopicPartition, tuple[int, int]]


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


async def survey(
    log: EventLog, positions: Positions, chosen: Sequence[Chosen], tally: Tally, *, trust: bool = False
) -> list[Share]:
    """A share for every partition, in order, and the tally as it stands before any of them.

    `trust`: positions are our own, and need not be compared with what lies there. Raises LogUnavailable.
    """
    counts = log.topics()
    places = {(item.topic, number): item for item in chosen for number in range(counts.get(item.topic, 0))}
    bounds = await log.bounds(list(places))
    known = {place: position for place in bounds if (position := positions.get(place)) is not None}
    anew = await _made_anew(log, known, bounds, trust)
    tally.again += [f"{topic}, partition {number}" for topic, number in anew]
    shares = []
    for place, item in places.items():
        if place in bounds:
            start, high = bounds[place]
            position = None if place in anew else known.get(place)
            share = _share(item, place[1], position, start, high)
            _note(tally, share, min(start, share.begin))
            shares.append(share)
    return shares


def _share(item: Chosen, number: int, position: Position | None, start: int, high: int) -> Share:
    if position is None:
        return Share(item, number, start, high, Counts())
    return Share(item, number, position.next, high, position.counts)


async def _made_anew(
    log: EventLog, known: Mapping[TopicPartition, Position], bounds: Bounds, trust: bool
) -> dict[TopicPartition, None]:
    """Partitions whose positions were taken in an earlier topic of the same name."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def is_new(place: TopicPartition) -> bool:
        position = known[place]
        if trust or position.next > bounds[place][1]:
            return position.next > bounds[place][1]
        async with turn:
            return not await _is_the_same(log, place, position, bounds[place])

    answers = await asyncio.gather(*map(is_new, known))
    return {place: None for place, new in zip(known, answers, strict=True) if new}


async def _is_the_same(log: EventLog, partition: TopicPartition, known: Position, bounds: tuple[int, int]) -> bool:
    """As far as that can be told: the record before the position may have been cleaned away."""
    start, high = bounds
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
