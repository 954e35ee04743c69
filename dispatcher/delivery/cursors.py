"""A cursor: what one subscriber still has to see of one partition.

An offset is in exactly one place until it is finalised:

    spans / open end -> ready -> held -> (passive) finalised
      not looked at                  \\-> (task)    leases -> finalised

What is in none of them is done. Ready and held live in memory only: a snapshot writes them as not looked at.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from dispatcher.delivery.leases import Lease, topic_id
from dispatcher.delivery.spans import Spans
from dispatcher.eventlog.base import TopicPartition

Lane = Literal[0, 1, 2]
EXPEDITE: Lane = 0
LIVE: Lane = 1
HISTORIC: Lane = 2
LANES: Final[tuple[Lane, ...]] = (EXPEDITE, LIVE, HISTORIC)
ENDLESS: Final = 2**63


class Stretch(NamedTuple):
    """Offsets that only a read of the log can decide: from `start`, nothing at or past `stop`."""

    start: int
    stop: int
    open_ended: bool
    """Part of the open end; else the pieces of the closed ranges that lie in it."""


class Agenda:
    """Which cursors of one subscriber need something, so that nobody looks through thousands that do not.

    Each may list a cursor that needs nothing any more; none misses one that does.
    """

    __slots__ = ("behind", "changed", "leased")

    def __init__(self) -> None:
        self.behind: tuple[OrderedDict[Cursor, None], ...] = (OrderedDict(), OrderedDict(), OrderedDict())
        """Per lane: those with something to scan, in the order of their turns."""
        self.leased: dict[Cursor, None] = {}
        """Those with leases or held events."""
        self.changed: dict[Cursor, None] = {}
        """Those that are not in the journal as they are."""


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
    doubtful: set[int] = field(default_factory=set)
    """Ready or held, but a header filter raised: it is asked again before they are handed out."""
    leases: dict[int, Lease] = field(default_factory=dict)
    agenda: Agenda = field(default_factory=Agenda)
    topic_id: str = ""

    def __post_init__(self) -> None:
        self.topic_id = topic_id(self.partition[0])

    def lane(self, offset: int) -> Lane:
        if self.expedite:
            return EXPEDITE
        return LIVE if self.live and offset >= self.join else HISTORIC

    # ---- what is to be read

    def stretch(self, lane: Lane, position: int | None) -> Stretch | None:
        """What is to be read next in this lane while the tail is at `position` (None: it does not come here)."""
        low, high = self._limits(lane)
        first = self.spans.first_from(low)
        if first is not None and first < high:
            return Stretch(first, min(self.spans.end, high), False)
        start = self.open_from
        if start is None or high < ENDLESS or position is None or start >= position:
            return None
        return Stretch(start, position, True)

    def _limits(self, lane: Lane) -> tuple[int, int]:
        """Which offsets are of this lane."""
        if self.live and not self.expedite:
            return {LIVE: (self.join, ENDLESS), HISTORIC: (0, self.join)}.get(lane, (0, 0))
        return (0, ENDLESS) if lane == (EXPEDITE if self.expedite else HISTORIC) else (0, 0)

    def lag(self) -> None:
        """Something may have to be scanned: put it where the scans look."""
        behind = self.agenda.behind
        if self.expedite or not self.live:
            behind[EXPEDITE if self.expedite else HISTORIC].setdefault(self)
            return
        first = self.spans.first_from(0)
        if first is not None and first < self.join:
            behind[HISTORIC].setdefault(self)
        if self.open_from is not None or self.spans.end > self.join:
            behind[LIVE].setdefault(self)

    def scanned(self, stretch: Stretch, end: int) -> int:
        """[stretch.start, end) was looked at; gives how many offsets of ours it had."""
        self.changed()
        if not stretch.open_ended:
            return self.spans.remove(stretch.start, end)
        self.open_from = end
        return end - stretch.start

    # ---- sharing the tail

    def detach(self, position: int) -> None:
        """Stop sharing the tail, whose next offset is `position`."""
        if self.attached:
            self.attached = False
            self.open_from = position
            self.changed()
            self.lag()

    def attach_at(self, position: int | None) -> None:
        """Share the tail from now on if it is exactly where our open end begins."""
        if self.open_from is not None and self.open_from == position:
            self.attached = True
            self.open_from = None
            self.changed()

    # ---- leaving

    def changed(self) -> None:
        self.agenda.changed[self] = None

    def hold(self, offset: int) -> None:
        """It is on its way to a client."""
        self.held.add(offset)
        self.agenda.leased[self] = None

    def return_ready(self) -> None:
        """What was decided under filters that no longer hold is to be looked at again."""
        if not self.ready:
            return
        for offset in self.ready:
            self.spans.add(offset, offset + 1)
        self.doubtful -= self.ready
        self.ready.clear()
        self.lag()

    def skip_to(self, end: int, position: int | None) -> int:
        """Nothing below `end` that is not with a client is wanted any more; gives how many offsets that is."""
        self.return_ready()
        skipped = self.spans.remove(0, end)
        if self.attached and position is not None and position < end:
            self.detach(position)
        if self.open_from is not None and self.open_from < end:
            skipped += end - self.open_from
            self.open_from = end
        self.changed()
        return skipped

    def deliver(self, offset: int) -> None:
        """It was held and the client has it now."""
        if offset in self.leases:
            self.finalise(offset)
        elif offset in self.held:
            self.held.remove(offset)
            self.doubtful.discard(offset)
            self.changed()

    def finalise(self, offset: int) -> bool:
        """Remove the offset for good; False when it was not pending here."""
        lease = self.leases.pop(offset, None)
        pending = lease is not None or offset in self.ready or offset in self.held
        self.ready.discard(offset)
        self.held.discard(offset)
        self.doubtful.discard(offset)
        if self.spans.remove(offset, offset + 1):
            pending = True
        if self.open_from is not None and self.open_from <= offset:
            self.spans.add(self.open_from, offset)
            self.open_from = offset + 1
            self.lag()
            pending = True
        if pending:
            self.changed()
        return pending

    def unseen(self) -> Spans:
        """Closed ranges as a snapshot writes them."""
        spans = Spans(self.spans)
        for offset in sorted(self.ready | (self.held - self.leases.keys())):
            spans.add(offset, offset + 1)
        return spans
