"""When leases run out: a heap that is looked at from its end, and forgets what was finished long before."""

import heapq
from collections.abc import Iterator

from dispatcher.delivery.cursors import Cursor
from dispatcher.delivery.leases import Lease
from dispatcher.delivery.subscribers import Subscriber

AT_LEAST = 10_000
"""Size below which nobody looks for entries that mean nothing any more."""

Place = tuple[Subscriber, Cursor, int]


class Expiry:
    """`serving_since`: leases of before count from there, for their clients could not be heard until then."""

    def __init__(self, serving_since: float) -> None:
        self._serving_since = serving_since
        self._heap: list[tuple[float, int, Subscriber, Cursor, int]] = []
        self._limit = AT_LEAST
        self._turn = 0

    def __len__(self) -> int:
        return len(self._heap)

    def watch(self, subscriber: Subscriber, cursor: Cursor, offset: int, lease: Lease) -> None:
        """The lease was taken now."""
        self._push((subscriber, cursor, offset), self._end(subscriber, lease))
        if len(self._heap) > self._limit:
            self._forget_finished()

    def serve_since(self, now: float) -> None:
        """Clients could not be heard: their leases count from now."""
        self._serving_since = now

    def expired(self, horizon: float) -> Iterator[tuple[Subscriber, Cursor, int, Lease]]:
        """Leases whose time was over at `horizon`. The caller must end each before it asks for the next."""
        while self._heap and self._heap[0][0] <= horizon:
            _, _, subscriber, cursor, offset = heapq.heappop(self._heap)
            lease = _out((subscriber, cursor, offset))
            if lease is None:
                continue
            if (end := self._end(subscriber, lease)) > horizon:
                self._push((subscriber, cursor, offset), end)  # a heartbeat came
            else:
                yield subscriber, cursor, offset, lease

    def _end(self, subscriber: Subscriber, lease: Lease) -> float:
        return max(lease.renewed_at, subscriber.serving_since, self._serving_since) + lease.seconds

    def _push(self, place: Place, end: float) -> None:
        self._turn += 1
        heapq.heappush(self._heap, (end, self._turn, *place))

    def _forget_finished(self) -> None:
        """Most leases end by a status long before their time: drop their entries once they outnumber the living."""
        alive = {
            (id(cursor), offset): (subscriber, cursor, offset)
            for _, _, subscriber, cursor, offset in self._heap
            if _out((subscriber, cursor, offset)) is not None
        }
        self._heap = []
        for place in alive.values():
            lease = _out(place)
            if lease is not None:
                self._push(place, self._end(place[0], lease))
        self._limit = max(AT_LEAST, 2 * len(self._heap))


def _out(place: Place) -> Lease | None:
    """The lease at this place, if a client has it."""
    subscriber, cursor, offset = place
    lease = cursor.leases.get(offset)
    here = subscriber.cursors.get(cursor.partition) is cursor
    return lease if lease is not None and lease.out and here else None
