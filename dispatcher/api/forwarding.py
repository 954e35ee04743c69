"""A poll for a subscriber that another dispatcher serves: forwarded one hop, confirmed when the client has it."""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from dispatcher.api.dialects import FetchRequest
from dispatcher.api.peers import BATCH, DEADLINE, PeerClient, Unanswered, Unreached
from dispatcher.api.replies import send
from dispatcher.errors import NotServedHere, Unavailable
from dispatcher.eventlog.base import LogUnavailable

GRACE_SECONDS: Final = 3.0
"""Slots change hands within a second or so: that is worth a wait even to a poll that does not wait for events."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 1.0

Local = Callable[[float], Awaitable[web.StreamResponse]]
"""Answer here, within so many seconds. Raises NotServedHere."""


class Forwarding:
    def __init__(self, peers: PeerClient, send_timeout: float) -> None:
        self._peers = peers
        self._send_timeout = send_timeout

    async def fetch(
        self, request: web.Request, wanted: FetchRequest, slot: int, left: float, local: Local
    ) -> web.StreamResponse | None:
        """The reply of whoever serves the slot, us included, within `left` seconds; None when nobody does.

        Raises Unavailable when that is because the log does not say.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + left
        grace = loop.time() + max(left, GRACE_SECONDS)
        pause = FIRST_PAUSE
        while True:
            if (reply := await self._from_owner(request, wanted, slot, end - loop.time())) is not None:
                return reply
            now = loop.time()
            if now >= grace:
                return None
            await asyncio.sleep(min(pause, grace - now))
            pause = min(pause * 2, LONGEST_PAUSE)
            with contextlib.suppress(NotServedHere):
                return await local(end - loop.time())

    async def _from_owner(
        self, request: web.Request, wanted: FetchRequest, slot: int, left: float
    ) -> web.StreamResponse | None:
        try:
            url = await self._peers.owner(slot)
        except LogUnavailable as problem:
            raise Unavailable(str(problem)) from None
        return None if url is None else await self._forward(request, url, max(left, 0.0))

    async def _forward(self, request: web.Request, url: str, left: float) -> web.StreamResponse | None:
        """None when that dispatcher does not serve the slot, or does not answer."""
        name = secrets.token_hex(16)
        fate = "returned"
        try:
            reply = await self._peers.ask(url, request, {DEADLINE: f"{left:.3f}", BATCH: name}, wait=left)
            if not reply.held:
                fate = ""  # there is nothing that anything could become of
            if not reply.here:
                return None
            response = await send(
                request,
                reply.content_type,
                (reply.body,),
                self._send_timeout,
                status=reply.status,
                headers=reply.headers,
            )
            fate = fate and "delivered"
            return response
        except Unreached:
            fate = ""
            return None
        except Unanswered:
            return None
        finally:
            if fate:
                self._peers.tell(url, name, fate)
