"""A poll for a subscriber that another dispatcher serves: forwarded one hop, confirmed when the client has it."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import web

from dispatcher.api.options import ApiOptions
from dispatcher.api.peers import BATCH, DEADLINE, PeerClient, PeerReply, Unanswered, Unreached
from dispatcher.api.replies import in_pieces, send
from dispatcher.api.telling import Fate, Telling
from dispatcher.errors import NotServedHere, Unavailable
from dispatcher.eventlog.base import LogUnavailable

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 1.0

Local = Callable[[float], Awaitable[web.StreamResponse]]
"""Answer here, within so many seconds. Raises NotServedHere."""


class Patience:
    """How long a client waits that asked at `began` for events within `deadline` seconds. Times are the loop's."""

    def __init__(self, began: float, deadline: float, grace: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = began + deadline
        self._last = began + max(deadline, grace)
        self._pause = FIRST_PAUSE

    @property
    def left(self) -> float:
        """Seconds in which events may come."""
        return max(self._end - self._loop.time(), 0.0)

    @property
    def last(self) -> float:
        """When no other attempt is worth it."""
        return self._last

    def is_over(self) -> bool:
        return self._loop.time() >= self._last

    async def pause(self) -> None:
        """Longer each time."""
        await asyncio.sleep(max(min(self._pause, self._last - self._loop.time()), 0.0))
        self._pause = min(self._pause * 2, LONGEST_PAUSE)


class Forwarding:
    def __init__(self, peers: PeerClient, telling: Telling, options: ApiOptions) -> None:
        self._peers = peers
        self._telling = telling
        self._grace = options.grace_seconds
        self._late = options.late_seconds
        self._send_timeout = options.send_timeout
        self._asking: set[asyncio.Timeout] = set()
        self._stopped = False

    def stop(self) -> None:
        """What waits for another dispatcher waits no longer; its clients are told that nobody is ready."""
        self._stopped = True
        for limit in self._asking:
            if not limit.expired():
                limit.reschedule(0.0)

    async def fetch(
        self, request: web.Request, slot: int, began: float, deadline: float, local: Local
    ) -> web.StreamResponse | None:
        """The reply of whoever serves the slot, us included, to a client that asked at `began`, a time of the loop, for
        events within `deadline` seconds; None when nobody serves it.

        Raises Unavailable when that is because the log does not say.
        """
        patience = Patience(began, deadline, self._grace)
        while True:
            unknown = ""
            try:
                if (response := await self._from_owner(request, slot, patience)) is not None:
                    return response
            except LogUnavailable as problem:
                unknown = str(problem)
            if patience.is_over() or self._stopped:
                break
            await patience.pause()
            with contextlib.suppress(NotServedHere):
                return await local(patience.left)
        if unknown:
            raise Unavailable(unknown)
        return None

    async def _from_owner(self, request: web.Request, slot: int, patience: Patience) -> web.StreamResponse | None:
        """None when there is no owner, or it does not answer. Raises LogUnavailable."""
        try:
            async with self._waiting(patience.last + self._late):
                url = await self._peers.owner(slot)
        except TimeoutError:
            raise LogUnavailable("the log does not say which dispatcher serves this subscriber") from None
        return None if url is None else await self._forward(request, url, patience)

    async def _forward(self, request: web.Request, url: str, patience: Patience) -> web.StreamResponse | None:
        """None when that dispatcher does not serve the slot, or does not answer."""
        name = secrets.token_hex(16)
        fate: Fate | None = "returned"
        try:
            reply = await self._ask(request, url, name, patience.left)
            if not reply.held:
                fate = None  # there is nothing that anything could become of
            if not reply.here:
                return None
            response = await self._pass_on(request, reply)
            fate = fate and "delivered"
            return response
        except Unreached:
            fate = None
            return None
        except Unanswered:
            return None
        finally:
            if fate is not None:
                self._telling.tell(url, name, fate)

    async def _ask(self, request: web.Request, url: str, name: str, left: float) -> PeerReply:
        """Raises Unanswered."""
        headers = {DEADLINE: f"{left:.3f}", BATCH: name}
        try:
            async with self._waiting(None):
                return await self._peers.ask(url, request, headers, wait=left + self._late)
        except TimeoutError:
            raise Unanswered from None

    async def _pass_on(self, request: web.Request, reply: PeerReply) -> web.StreamResponse:
        return await send(
            request,
            reply.content_type,
            in_pieces(reply.body),
            self._send_timeout,
            status=reply.status,
            headers=reply.headers,
        )

    @contextlib.asynccontextmanager
    async def _waiting(self, until: float | None) -> AsyncIterator[None]:
        """Raises TimeoutError at that time of the loop, or when everything stops."""
        async with asyncio.timeout_at(0.0 if self._stopped else until) as limit:
            self._asking.add(limit)
            try:
                yield
            finally:
                self._asking.discard(limit)
