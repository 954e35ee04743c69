"""Replies that go out through another dispatcher: what became of their events is known when that one says so."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import web

from dispatcher.api.collaborators import Batch
from dispatcher.api.replies import json_reply
from dispatcher.errors import NotFound

MOST: Final = 10_000
"""Replies that wait for word."""
MOST_EVENTS: Final = 300_000
"""Events in them: each costs some memory until it is known what became of it."""
_OK: Final = b'{"ok":true}'


class Parcel:
    """One forwarded reply. What becomes of its events is decided once; whatever is said later changes nothing."""

    def __init__(self, *, leased: bool) -> None:
        self._leased = leased
        self._batch: Batch | None = None
        self._settled = False
        self._timer: asyncio.TimerHandle | None = None
        self.size = 0
        """Events."""

    def fill(self, batch: Batch) -> None:
        """Raises ConnectionResetError when nobody waits for it any more."""
        if self._settled:
            batch.give_back()
            raise ConnectionResetError("the dispatcher that asked has given up")
        self._batch = batch
        self.size = len(batch.events)

    @property
    def waits(self) -> bool:
        """The reply is written, and it has events of which nobody knows yet what became of them."""
        return not self._settled and self.size > 0

    def hold(self, timer: asyncio.TimerHandle) -> None:
        self._timer = timer
        if self._batch is not None:
            self._batch.drop_events()

    def settle(self, *, delivered: bool) -> None:
        """Where there are no events yet, they will be given back when they come."""
        if self._settled:
            return
        self._settled = True
        if self._timer is not None:
            self._timer.cancel()
        batch, self._batch = self._batch, None
        if batch is None:
            return
        if delivered:
            batch.delivered()
        else:
            batch.give_back()

    def fall_silent(self) -> None:
        """Nobody will say anything any more. Jobs that were written have leases, which decide."""
        self.settle(delivered=self._leased and self._timer is not None)


class HandedBatches:
    """Who is silent for `seconds` has lost it: events are given back, but jobs have leases, which decide.

    A client that pretends to be a dispatcher keeps its own reply from others that long, and nothing else.
    """

    def __init__(self, seconds: float, *, most: int = MOST, most_events: int = MOST_EVENTS) -> None:
        self._seconds = seconds
        self._most = most
        self._most_events = most_events
        self._under_way: dict[str, Parcel] = {}
        self._held: dict[str, Parcel] = {}
        """The oldest first."""
        self._events = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v2/forwarded/{batch}/delivered", self.delivered),
            web.post("/api/v2/forwarded/{batch}/returned", self.returned),
        ]

    @contextmanager
    def under_way(self, name: str, *, leased: bool) -> Iterator[Parcel]:
        """Around the poll and the writing of its reply; `name` stands for it from the start, so that no word about
        it comes too early. Without a name what is written counts as delivered."""
        parcel = Parcel(leased=leased)
        if name:
            self._expire(name)
            self._under_way[name] = parcel
        try:
            yield parcel
        except BaseException:
            parcel.settle(delivered=False)
            raise
        else:
            if name and parcel.waits:
                self._hold(name, parcel)
            else:
                parcel.settle(delivered=True)
        finally:
            if self._under_way.get(name) is parcel:
                del self._under_way[name]

    async def delivered(self, request: web.Request) -> web.Response:
        """The client has the whole reply."""
        self._named(request).settle(delivered=True)
        return json_reply(_OK)

    async def returned(self, request: web.Request) -> web.Response:
        """The client has it not, or not whole, and will not."""
        self._named(request).settle(delivered=False)
        return json_reply(_OK)

    def close(self) -> None:
        for name in list(self._held):
            self._expire(name)

    def _named(self, request: web.Request) -> Parcel:
        name = request.match_info["batch"]
        parcel = self._take(name) or self._under_way.pop(name, None)
        if parcel is None:
            raise NotFound("no batch of this name waits to hear what became of it")
        return parcel

    def _hold(self, name: str, parcel: Parcel) -> None:
        """Where there are too many, the oldest ones go."""
        parcel.hold(asyncio.get_running_loop().call_later(self._seconds, self._expire, name))
        self._held[name] = parcel
        self._events += parcel.size
        while len(self._held) > self._most or self._events > self._most_events:
            self._expire(next(iter(self._held)))

    def _take(self, name: str) -> Parcel | None:
        parcel = self._held.pop(name, None)
        if parcel is not None:
            self._events -= parcel.size
        return parcel

    def _expire(self, name: str) -> None:
        parcel = self._take(name) or self._under_way.pop(name, None)
        if parcel is not None:
            parcel.fall_silent()
