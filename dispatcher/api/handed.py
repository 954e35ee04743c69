"""Batches that went out through another dispatcher: what became of them is known when that one says so."""

import asyncio
from collections import OrderedDict
from typing import Final, NamedTuple

from aiohttp import web

from dispatcher.api.collaborators import Batch
from dispatcher.api.replies import json_reply
from dispatcher.errors import NotFound

MOST: Final = 10_000
_OK: Final = b'{"ok":true}'


class _Held(NamedTuple):
    batch: Batch
    leased: bool
    timer: asyncio.TimerHandle


class HandedBatches:
    """Who is silent has lost it: events are given back, but jobs have leases, which decide.

    A client that pretends to be a dispatcher keeps its own batch from others for `seconds`, and nothing else.
    """

    def __init__(self, seconds: float, most: int = MOST) -> None:
        self._seconds = seconds
        self._most = most
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v2/forwarded/{batch}/delivered", self.delivered),
            web.post("/api/v2/forwarded/{batch}/returned", self.returned),
        ]

    def keep(self, name: str, batch: Batch, *, leased: bool) -> None:
        """From now on `name` stands for the batch. The oldest one goes where there are too many."""
        self._expire(name)
        if len(self._held) >= self._most:
            self._expire(next(iter(self._held)))
        timer = asyncio.get_running_loop().call_later(self._seconds, self._expire, name)
        self._held[name] = _Held(batch, leased, timer)

    async def delivered(self, request: web.Request) -> web.Response:
        """The client has the whole reply."""
        self._taken(request).batch.delivered()
        return json_reply(_OK)

    async def returned(self, request: web.Request) -> web.Response:
        """The client has it not, or not whole."""
        self._taken(request).batch.give_back()
        return json_reply(_OK)

    def close(self) -> None:
        for name in list(self._held):
            self._expire(name)

    def _taken(self, request: web.Request) -> _Held:
        held = self._held.pop(request.match_info["batch"], None)
        if held is None:
            raise NotFound("no batch of this name waits to hear what became of it")
        held.timer.cancel()
        return held

    def _expire(self, name: str) -> None:
        held = self._held.pop(name, None)
        if held is None:
            return
        held.timer.cancel()
        if held.leased:
            held.batch.delivered()
        else:
            held.batch.give_back()
