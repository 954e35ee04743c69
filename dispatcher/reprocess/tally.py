"""What became of the records of each topic."""

from typing import Final, NamedTuple

import msgspec

from dispatcher.eventlog.base import TopicPartition

EXAMPLES: Final = 5


class Counts(msgspec.Struct, omit_defaults=True):
    """Records; only `expired` counts offsets, as nobody knows how many of them were records."""

    copied: int = 0
    deleted: int = 0
    """Named by a deletion, or forgotten by a record without a value that came after them."""
    aged_off: int = 0
    """Older than their source's events live."""
    forgotten: int = 0
    """Records without a value: they make the log forget what has the same key."""
    signals: int = 0
    """Words of the old dispatchers to each other, such as a pause."""
    set_aside: int = 0
    """Not copied, but kept as dead letters."""
    expired: int = 0
    """Retention was faster than the copy."""

    def add(self, other: "Counts") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Misfit(NamedTuple):
    """A record that could not be copied."""

    place: TopicPartition
    offset: int
    reason: str


class TopicTally:
    """One topic. Offsets are summed over its partitions."""

    def __init__(self) -> None:
        self.total = 0
        """Offsets between the first one and the watermark."""
        self.before = 0
        """Of these, done by an earlier run."""
        self.passed = 0
        """Done, before and now."""
        self.counts = Counts()
        self.misfits: list[Misfit] = []
        """The first few of this run."""

    @property
    def left(self) -> int:
        return max(0, self.total - self.passed)

    def met(self, misfits: list[Misfit]) -> None:
        self.misfits += misfits[: EXAMPLES - len(self.misfits)]


class Tally:
    """All topics, in the order in which they are copied."""

    def __init__(self) -> None:
        self.topics: dict[str, TopicTally] = {}
        self.waiting_for = ""
        """Why nothing moves at the moment, if that is so."""
        self.again: list[str] = []
        """Partitions that are copied from their start because the old topic has been made anew."""

    def of(self, topic: str) -> TopicTally:
        return self.topics.setdefault(topic, TopicTally())

    def sum(self) -> Counts:
        counts = Counts()
        for topic in self.topics.values():
            counts.add(topic.counts)
        return counts
