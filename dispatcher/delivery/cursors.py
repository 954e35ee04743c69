"""A cursor: what one subscriber still has to see of one partition.

An offset is in exactly one place until it is finalised:

    spans / open end -> ready -> held -> (passive) finalised
      not looked at                  \\-> (task)    leases -> finalised

What is in none of them is done. Ready and held live in memory only: a snapshot writes them as not looked at.
"""

from dataclasses import dataclass, field
from typing import Literal

from dispatcher.delivery.leases import Lease, topic_id
from dispatcher.delivery.spans import Spans
from dispatcher.eventlog.base import TopicPartition

Lane = Literal[0, 1, 2]
EXPEDITE: Lane = 0
LIVE: Lane = 1
HISTORIC: Lane = 2


@dataclass(slots=True, eq=False)
class Cursor:
    """`open_from` is the start of the endless range of a cursor that does not share the tail's position;
    an attached one has it at the tail's position."""

    partition: TopicPartition
    join: int
    """First offset that was not there when the subscriber registered."""
    expedite: bool = False
    live: bool = True
    """Whether offsets from `join` on count as live (else historic)."""
    spans: Spans = field(default_factory=Spans)
    open_from: int | None = None
    attached: bool = False
    ready: set[int] = field(default_factory=set)
    held: set[int] = field(default_factory=set)
    leases: dict[int, Lease] = field(default_factory=dict)
    dirty: bool = True
    topic_id: str = ""

    def __post_init__(self) -> None:
        self.topic_id = topic_id(self.partition[0])

    def lane(self, offset: int) -> Lane:
        if self.expedite:
            return EXPEDITE
        return LIVE if self.live and offset >= self.join else HISTORIC

    def wants_scan(self) -> bool:
        """Is there anything that only a read of the log can decide?"""
        return bool(self.spans) or (self.open_from is not None and not self.attached)

    def detach(self, position: int) -> None:
        """Stop sharing the tail, whose next offset is `position`."""
        if self.attached:
            self.attached = False
            self.open_from = position
            self.dirty = True

    def attach(self) -> None:
        self.attached = True
        self.open_from = None
        self.dirty = True

    def return_ready(self) -> None:
        """What was decided under filters that no longer hold is to be looked at again."""
        for offset in self.ready:
            self.spans.add(offset, offset + 1)
        self.ready.clear()

    def finalise(self, offset: int, below: int = 2**63) -> bool:
        """Remove the offset for good; False when it was not pending here.

        `below` bounds what the open end may give: no client may speak of offsets that nobody has written yet.
        """
        lease = self.leases.pop(offset, None)
        pending = lease is not None or offset in self.ready or offset in self.held
        self.ready.discard(offset)
        self.held.discard(offset)
        if self.spans.remove(offset, offset + 1):
            pending = True
        if self.open_from is not None and self.open_from <= offset < below:
            self.spans.add(self.open_from, offset)
            self.open_from = offset + 1
            pending = True
        self.dirty = self.dirty or pending
        return pending

    def unseen(self) -> Spans:
        """Closed ranges as a snapshot writes them."""
        spans = Spans(self.spans)
        for offset in sorted(self.ready | (self.held - self.leases.keys())):
            spans.add(offset, offset + 1)
        return spans
