"""GET of events: understand the query, wait for events, join the stored bytes into a reply (wire contract 1.3)."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import lru_cache

from aiohttp import hdrs, web
from dispatcher_sdk.models import FetchInfo, decode

from dispatcher.api import multipart
from dispatcher.api.collaborators import Batch, Delivery
from dispatcher.api.dialects import FetchRequest, parse_fetch
from dispatcher.api.forwarding import Forwarding
from dispatcher.api.handed import HandedBatches
from dispatcher.api.options import ApiOptions
from dispatcher.api.peers import BATCH, FORWARDED, echo, forwarded_by
from dispatcher.api.replies import JSON, PIECE_BYTES, send, to_json
from dispatcher.avro import encode_bulk
from dispatcher.errors import NotServedHere


class FetchRoutes:
    """The old paths of architecture documents are aliases."""

    def __init__(self, delivery: Delivery, options: ApiOptions, forwarding: Forwarding, handed: HandedBatches) -> None:
        self._delivery = delivery
        self._forwarding = forwarding
        self._handed = handed
        self._send_timeout = options.send_timeout
        self._parse = lru_cache(maxsize=1024)(
            lambda model, raw, task, accept: parse_fetch(options, model, raw, task, accept)
        )

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v2/event/{model}/passive", self.passive, allow_head=False),
            web.get("/api/v2/event/{model}/active", self.active, allow_head=False),
            web.get("/api/v1/events/{model}", self.passive, allow_head=False),
            web.get("/api/v1/processing/{model}", self.active, allow_head=False),
        ]

    async def passive(self, request: web.Request) -> web.StreamResponse:
        return await self._fetch(request, task=False)

    async def active(self, request: web.Request) -> web.StreamResponse:
        return await self._fetch(request, task=True)

    async def _fetch(self, request: web.Request, task: bool) -> web.StreamResponse:
        wanted = self._parse(
            request.match_info["model"],
            request.rel_url.raw_query_string,
            task,
            request.headers.get(hdrs.ACCEPT, ""),
        )
        if FORWARDED in request.headers:
            return await self._for_another(request, wanted)
        began = asyncio.get_running_loop().time()
        try:
            return await self._here(request, wanted, wanted.deadline)
        except NotServedHere as elsewhere:
            return await self._elsewhere(request, wanted, elsewhere.slot, began)

    async def _here(self, request: web.Request, wanted: FetchRequest, deadline: float) -> web.StreamResponse:
        batch = await self._poll(wanted, deadline)
        try:
            content_type, pieces = render(wanted, batch)
            response = await send(request, content_type, pieces, self._send_timeout)
        except BaseException:
            batch.give_back()
            raise
        batch.delivered()
        return response

    async def _elsewhere(
        self, request: web.Request, wanted: FetchRequest, slot: int, began: float
    ) -> web.StreamResponse:
        response = await self._forwarding.fetch(
            request, slot, began, wanted.deadline, lambda seconds: self._here(request, wanted, seconds)
        )
        if response is not None:
            return response
        content_type, pieces = render(wanted, Nothing())
        return await send(request, content_type, pieces, self._send_timeout)

    async def _for_another(self, request: web.Request, wanted: FetchRequest) -> web.StreamResponse:
        """A dispatcher asks for its client. What has events is done when it says so. Raises NotServedHere."""
        name, deadline = forwarded_by(request, wanted.deadline)
        with self._handed.under_way(name, leased=wanted.subscription.leases) as parcel:
            batch = await self._poll(wanted, deadline)
            parcel.fill(batch)
            content_type, pieces = render(wanted, batch)
            headers = echo(request)
            if name and batch.events:
                headers[BATCH] = name
            return await send(request, content_type, pieces, self._send_timeout, headers=headers)

    async def _poll(self, wanted: FetchRequest, deadline: float) -> Batch:
        return await self._delivery.poll(
            wanted.subscription,
            count=wanted.count,
            deadline=deadline,
            lease_seconds=wanted.lease_seconds,
            reset=wanted.reset,
        )


class Nothing:
    """The batch of a subscriber that nobody serves at the moment."""

    events: Sequence[bytes] = ()
    info = FetchInfo(ready=False)

    def drop_events(self) -> None:
        pass

    def delivered(self) -> None:
        pass

    def give_back(self) -> None:
        pass


def render(wanted: FetchRequest, batch: Batch) -> tuple[str, Sequence[bytes]]:
    """Content type of the reply, and its bytes in pieces."""
    info = to_json(batch.info)
    if wanted.reply == "json":
        return JSON, joined(b'{"info":' + info + b',"events":[', batch.events, b"]}")
    boundary = multipart.new_boundary()
    opening, closing = multipart.opening(boundary, info), multipart.closing(boundary)
    content_type = multipart.content_type(boundary)
    if wanted.avro:
        return content_type, joined(opening, [_avro(wanted.subscription.model, batch.events)], closing)
    return content_type, joined(opening + b'{"events":[', batch.events, b"]}" + closing)


def joined(opening: bytes, events: Sequence[bytes], closing: bytes) -> Sequence[bytes]:
    """One piece, or several of about PIECE_BYTES when there is much: joined whole it would be in memory twice."""
    if sum(map(len, events)) <= PIECE_BYTES:
        return (opening + b",".join(events) + closing,)
    return tuple(_pieces(opening, events, closing))


def _pieces(opening: bytes, events: Sequence[bytes], closing: bytes) -> Iterator[bytes]:
    waiting, size = [opening], len(opening)
    for index, event in enumerate(events):
        if index:
            waiting.append(b",")
        waiting.append(event)
        size += len(event)
        if size >= PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    waiting.append(closing)
    yield b"".join(waiting)


def _avro(model: str, events: Sequence[bytes]) -> bytes:
    return encode_bulk(model, [decode(model, event) for event in events])
