"""Low marks: how far each subscriber has come, in the one figure per partition that other tools understand."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from dispatcher.delivery.cursors import Cursor
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.eventlog.base import TopicPartition
from dispatcher.hooks.types import Subscription


class Marks(NamedTuple):
    """Of one subscriber: the lowest offset per partition that is not finished."""

    sid: str
    key: str
    low: Mapping[TopicPartition, int]


def low_marks(scheduler: Scheduler, serves: Callable[[int], bool]) -> Iterator[Marks]:
    """Of all subscribers in slots that are served here: each as it is when its turn comes."""
    for subscriber in list(scheduler.roster.subscribers.values()):
        if serves(subscriber.slot) and scheduler.roster.is_here(subscriber):
            yield _marks(scheduler, subscriber)


def _marks(scheduler: Scheduler, subscriber: Subscriber) -> Marks:
    low = {
        partition: _low(cursor, scheduler.position.get(partition)) for partition, cursor in subscriber.cursors.items()
    }
    known = {place: mark for place, mark in low.items() if mark is not None}
    return Marks(subscriber.sid, plugin_key(subscriber.wanted), known)


def plugin_key(wanted: Subscription) -> str:
    """The name that the original gave a subscriber (wire contract 5.1), as in `plug-1.0-binary-allsrc-alltype-ELH`.

    Sources and actions in the order of the alphabet: a poll that names them in another is of the same subscriber."""
    parts = [wanted.name, wanted.version, wanted.model]
    if wanted.model == "binary":
        parts += [_joined(wanted.sources) or "allsrc", _joined(wanted.actions) or "alltype"]
    flow = {"E": wanted.expedite and wanted.model == "binary", "L": wanted.live, "H": wanted.historic}
    flow["D"] = wanted.debug
    return "-".join([*parts, "".join(letter for letter, wants in flow.items() if wants)])


def _joined(names: Iterable[str]) -> str:
    return ".".join(sorted(set(names)))


def _low(cursor: Cursor, position: int | None) -> int | None:
    """None for a cursor that wants nothing any more."""
    end = position if cursor.attached else cursor.open_from
    candidates = [mark for mark in (end, cursor.spans.first_from(0)) if mark is not None]
    candidates += [min(offsets) for offsets in (cursor.ready, cursor.held, cursor.leases) if offsets]
    return min(candidates, default=None)
