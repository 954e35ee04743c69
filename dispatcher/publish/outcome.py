"""What became of the events of one request, and of each of them on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from dispatcher_sdk.models import AnyEvent, FailedEvent, InvalidMessage, encode

from dispatcher.eventlog.base import Append

LONGEST_ECHO = 65_536
"""Characters of a failed event that are sent back: a client needs to recognise it, not to get 3 MiB again."""
UNAVAILABLE = "the event log is not available right now: post the event again"


@dataclass(slots=True)
class Outcome:
    """Counts are of events that the client sent, not of results and children that followed from them."""

    parsed: int = 0
    """Passed the validity rules (`total_ok` on the wire)."""
    published: int = 0
    """Durable; with `wait=False`, accepted."""
    aged_off: int = 0
    deleted: int = 0
    stuck: Exception | None = None
    """Why the log did not take some of the events, if that was so."""
    refused: int = 0
    """Of the failures, those whose source is not in the sources document: a request of only these deserves a 400."""
    failures: list[FailedEvent] = field(default_factory=list)
    unlisted: int = 0
    """Failures beyond those in the list, of a request that has very many."""
    ok: list[bytes] = field(default_factory=list)
    """JSON as it was written, when asked for."""


class Drop(Enum):
    """A valid event that is not to be published; nothing is wrong with it."""

    AGED_OFF = "PipelineAgeoff"
    DELETED = "FilterPreviouslyDeleted"


class Refused(Exception):
    """This event cannot be published as it is; the text says what to change."""


class UnlistedSource(Refused):
    """The sources document does not name the event's source."""


Fate = Drop | Exception | None
"""Of one event: durable (None), not to be published, or why it could not be."""


@dataclass(slots=True)
class Unit:
    """One event ready for the log, with everything that must become durable with it."""

    event: AnyEvent
    own: Append
    extra: Sequence[Append] = ()
    """A status: its results, durable before it. A binary event: its children."""

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return len(self.own.value or b"") + sum(len(item.value or b"") for item in self.extra)


def failed(event: AnyEvent, why: str) -> FailedEvent:
    return FailedEvent(event=_echo(event), error=why)


def _echo(event: AnyEvent) -> str:
    try:
        return encode(event)[:LONGEST_ECHO].decode(errors="ignore")
    except InvalidMessage:
        return ""
