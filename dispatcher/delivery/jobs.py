"""Jobs: events out with clients under a lease, until a status ends them or time does."""

from collections.abc import Callable
from typing import NamedTuple

from dispatcher_sdk.models import FINAL_STATUSES

from dispatcher.delivery.cursors import Cursor
from dispatcher.delivery.expiry import Expiry
from dispatcher.delivery.leases import Lease, Token, parse_token, render_token
from dispatcher.delivery.limits import Limits
from dispatcher.delivery.roster import Roster
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.metrics import Metrics

LONGEST_WAIT = 86_400.0
"""Seconds that an event waits for its next attempt at most."""
SOON = 1e-6
STEP_BACK = 60.0
"""Seconds by which a clock must go back before what it said until then is not believed any more."""


class Item(NamedTuple):
    """An event taken from a subscriber's queues, on its way to a client."""

    subscriber: Subscriber
    cursor: Cursor
    offset: int
    attempt: int


def _ignore(item: Item, token: str, status: str) -> None:
    pass


class Jobs:
    """Pure logic; times are unix seconds. `serving_since`: leases of before count from there."""

    def __init__(self, roster: Roster, limits: Limits, metrics: Metrics, serving_since: float) -> None:
        self._roster = roster
        self._limits = limits
        self._metrics = metrics
        self._latest = serving_since
        self._expiry = Expiry(serving_since)
        self._lost: list[Item] = []
        self.on_finished: Callable[[Item, str, str], None] = _ignore
        """Told of an item, its token and the status that ended it."""

    def is_current(self, item: Item) -> bool:
        """Not of before a reset, and still served here."""
        subscriber = item.subscriber
        return self._roster.is_here(subscriber) and subscriber.cursors.get(item.cursor.partition) is item.cursor

    def is_held(self, item: Item) -> bool:
        """Still ours to hand out: no status or reset took it while the caller was away."""
        return item.offset in item.cursor.held and self.is_current(item)

    def restore(self, subscriber: Subscriber, now: float) -> None:
        """Keep the time of leases that a snapshot brought back."""
        self._watch(subscriber, max(self._latest, now))
        for cursor in subscriber.agenda.leased:
            self._lost += [
                Item(subscriber, cursor, offset, lease.attempt)
                for offset, lease in cursor.leases.items()
                if lease.ending
            ]

    def _watch(self, subscriber: Subscriber, now: float) -> None:
        """A clock that was ahead when leases were taken must not hold them for longer than they last."""
        subscriber.serving_since = min(subscriber.serving_since, now)
        for cursor in subscriber.agenda.leased:
            for offset, lease in cursor.leases.items():
                lease.renewed_at = min(lease.renewed_at, now)
                if lease.due_at:
                    lease.due_at = min(lease.due_at, now + LONGEST_WAIT)
                    subscriber.push_due(lease.due_at, cursor, offset)
                elif lease.out:
                    self._expiry.watch(subscriber, cursor, offset, lease)

    # ---- handed out

    def lease(self, item: Item, *, key: str, now: float, seconds: float | None) -> str:
        """Give the event to a client; returns the token that it will answer with."""
        subscriber, cursor = item.subscriber, item.cursor
        lease = Lease(item.attempt, seconds or self._limits.lease_seconds, renewed_at=now, failed=self._failed(item))
        self._set(item, lease)
        self._expiry.watch(subscriber, cursor, item.offset, lease)
        if item.attempt > 1:
            self._metrics.redelivered.labels(self._metrics.plugins(subscriber.wanted.name)).inc()
        return self.token(item, key, now)

    def token(self, item: Item, key: str, now: float) -> str:
        subscriber, cursor = item.subscriber, item.cursor
        token = Token(subscriber.sid, cursor.topic_id, cursor.partition[1], item.offset, item.attempt, subscriber.epoch)
        wanted = subscriber.wanted
        return render_token(token, subscriber.secret, key=key, name=wanted.name, version=wanted.version, now=now)

    def hold_back(self, item: Item, *, now: float, reason: str) -> None:
        """A filter raised: try again later, or give up when the attempts are used up."""
        if self.is_held(item):
            lease = Lease(item.attempt, self._limits.lease_seconds, renewed_at=now, failed=self._failed(item))
            self._set(item, lease)
            pause = 2.0 ** min(lease.failed + 1, 10)
            self._fail(item, lease, due=now + pause, reason=reason, ended=reason)

    def _failed(self, item: Item) -> int:
        before = item.cursor.leases.get(item.offset)
        return before.failed if before is not None else 0

    def _set(self, item: Item, lease: Lease) -> None:
        cursor = item.cursor
        cursor.held.discard(item.offset)
        cursor.doubtful.discard(item.offset)
        cursor.leases[item.offset] = lease
        cursor.agenda.leased[cursor] = None
        cursor.changed()

    # ---- statuses

    def find(self, text: str) -> Item | None:
        """The place that a token speaks of, if we gave it out and no reset came since."""
        parsed = parse_token(text)
        if parsed is None:
            return None
        token, seal = parsed
        subscriber = self._roster.subscribers.get(token.sid)
        if subscriber is None or subscriber.epoch != token.epoch or token.seal(subscriber.secret) != seal:
            return None
        cursor = subscriber.places.get((token.topic_id, token.partition))
        return None if cursor is None else Item(subscriber, cursor, token.offset, token.attempt)

    def on_status(self, token: str, status: str, when: float) -> None:
        """A durable status came by on the status tail: any attempt's final status ends the job."""
        item = self.find(token)
        if item is None:
            return
        if status in FINAL_STATUSES:
            if item.cursor.finalise(item.offset):
                self._metrics.finished.labels(self._metrics.plugins(item.subscriber.wanted.name), status).inc()
                item.subscriber.wake()
                self.on_finished(item, token, status)
        elif status == "heartbeat" and (lease := self._current_lease(item)):
            lease.renewed_at = max(lease.renewed_at, when)
            item.cursor.changed()

    def on_release(self, token: str, due: float) -> None:
        """A client gave its lease back: the event is due again at `due`, with the next attempt."""
        item = self.find(token)
        if item is None or not (lease := self._current_lease(item)):
            return
        if lease.attempt >= self._limits.hand_outs:
            self._lose(item, lease, f"given back by the plugin {lease.attempt} times")
        else:
            self._again(item, lease, due=due, reason="given back by the plugin")

    def _current_lease(self, item: Item) -> Lease | None:
        lease = item.cursor.leases.get(item.offset)
        return lease if lease is not None and lease.out and lease.attempt == item.attempt else None

    # ---- time

    def expire(self, now: float, proven: float) -> list[Item]:
        """Leases that ran out go back in line; gives everything that is to be given up on.

        `proven` is the time up to which all statuses have been seen: no lease expires on ignorance.
        """
        self._believe(now)
        for subscriber, cursor, offset, lease in self._expiry.expired(min(now, proven)):
            item = Item(subscriber, cursor, offset, lease.attempt)
            times = lease.failed + 1
            self._fail(item, lease, due=now, reason="lease expired", ended=f"lease expired {times} times")
        lost, self._lost = self._lost, []
        return lost

    def hear_again(self, now: float) -> None:
        """Clients could not be heard until now, however hard they tried: no lease is over because of that."""
        self._expiry.serve_since(now)

    def _believe(self, now: float) -> None:
        if now < self._latest - STEP_BACK:
            self._expiry = Expiry(serving_since=now)
            for subscriber in self._roster.subscribers.values():
                self._watch(subscriber, now)
            self._latest = now
        self._latest = max(self._latest, now)

    def _fail(self, item: Item, lease: Lease, *, due: float, reason: str, ended: str) -> None:
        lease.failed += 1
        if lease.failed >= self._limits.attempts:
            self._lose(item, lease, ended)
        else:
            self._again(item, lease, due=due, reason=reason)

    def _lose(self, item: Item, lease: Lease, reason: str) -> None:
        lease.ending = True
        lease.due_at = 0.0
        lease.reason = reason
        item.cursor.changed()
        self._lost.append(item)

    def _again(self, item: Item, lease: Lease, *, due: float, reason: str) -> None:
        lease.attempt += 1
        lease.reason = reason
        self.wait(item, lease, due)

    def wait(self, item: Item, lease: Lease, due: float) -> None:
        """It may be handed out again at `due`."""
        lease.due_at = max(due, SOON)
        item.cursor.changed()
        item.subscriber.push_due(lease.due_at, item.cursor, item.offset)
        item.subscriber.wake()
