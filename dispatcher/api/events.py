"""POST of events and of one event to try out: read, decode, publish, answer (wire contract 1.4 and 1.5)."""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiohttp import web
from dispatcher_sdk.models import MODELS, AnyEvent, BinaryEvent, InvalidMessage, SimulateReply, decode

from dispatcher.api.bodies import Body, BodyReader, SpooledBody
from dispatcher.api.collaborators import Delivery, Publisher
from dispatcher.api.completion import Completion
from dispatcher.api.incoming import LargeBody, small_body
from dispatcher.api.options import ApiOptions
from dispatcher.api.params import Query, quoted
from dispatcher.api.replies import json_reply, to_json
from dispatcher.api.verdicts import publish_reply
from dispatcher.errors import BadRequest, Unprocessable
from dispatcher.publish.outcome import Outcome

HEAVY: Final = 256 * 1024
HEAVY_AT_ONCE: Final = 4
"""Decoded events take many times the bytes they came in, so bodies above HEAVY bytes take turns."""


@dataclass(frozen=True, slots=True)
class PostRequest:
    """The query of one POST. `model` is empty when the body has to say it."""

    model: str
    wait: bool
    """Answer only when durable."""
    include_ok: bool
    pause_plugins: bool
    avro: bool


def parse_post(async_ack: bool, raw: str) -> PostRequest:
    """Raises BadRequest for a model that does not exist, Unprocessable for a query that is none."""
    query = Query(raw)
    model = query.text("model")
    avro = query.loose_flag("avro-format")
    if model not in MODELS and (model or avro):
        said = f"{quoted(model)} is not" if model else "Avro needs ?model=,"
        raise BadRequest(f"{said} one of {', '.join(MODELS)}", title="not a registered model type")
    return PostRequest(
        model=model,
        wait=not async_ack or query.loose_flag("sync"),
        include_ok=query.loose_flag("include_ok"),
        pause_plugins=query.loose_flag("pause_plugins"),
        avro=avro,
    )


class EventRoutes:
    """`close` waits for publishes whose clients went away."""

    def __init__(self, publisher: Publisher, delivery: Delivery, options: ApiOptions) -> None:
        self._publisher = publisher
        self._delivery = delivery
        self._bodies = BodyReader(
            max_bytes=options.post_max_bytes,
            stall_seconds=options.body_timeout,
            spool_dir=options.spool_dir,
        )
        self._longest_event = longest = 2 * options.event_max_bytes
        self._single = BodyReader(max_bytes=longest, memory_bytes=longest, stall_seconds=options.body_timeout)
        self._completion = Completion()
        self._heavy = asyncio.Semaphore(HEAVY_AT_ONCE)
        self._parse = lru_cache(maxsize=512)(lambda raw: parse_post(options.async_ack, raw))

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/v2/event", self.post),
            web.post("/api/v2/event/simulate", self.simulate),
        ]

    async def close(self) -> None:
        await self._completion.drain()

    async def post(self, request: web.Request) -> web.Response:
        wanted = self._parse(request.rel_url.raw_query_string)
        body = await self._bodies.read(request)
        if isinstance(body, bytes) and len(body) <= HEAVY:
            return await self._small(wanted, body)
        return await self._completion.run(self._in_turn(wanted, body))

    async def simulate(self, request: web.Request) -> web.Response:
        body = await self._single.read(request)
        assert isinstance(body, bytes)
        try:
            event = decode("binary", body)
        except InvalidMessage as problem:
            raise Unprocessable(str(problem), title="Failed to simulate event") from None
        assert isinstance(event, BinaryEvent)
        return json_reply(to_json(SimulateReply(await self._delivery.simulate(event))))

    async def _small(self, wanted: PostRequest, body: bytes) -> web.Response:
        model, events = small_body(body, wanted.model, wanted.avro)
        outcome = await self._completion.run(self._publish(wanted, model, events))
        return publish_reply(model, outcome, wanted.include_ok)

    async def _publish(self, wanted: PostRequest, model: str, events: list[AnyEvent]) -> Outcome:
        if wanted.pause_plugins:
            await self._delivery.pause()
        return await self._publisher.publish(model, events, keep_ok=wanted.include_ok, wait=wanted.wait)

    async def _in_turn(self, wanted: PostRequest, body: Body) -> web.Response:
        """A heavy body; closes it."""
        with body if isinstance(body, SpooledBody) else nullcontext():
            async with self._heavy:
                if isinstance(body, bytes):
                    return await self._small(wanted, body)
                large = LargeBody(body, wanted.model, wanted.avro, self._longest_event)
                await large.check()
                outcome = await self._publish_large(wanted, large)
                return publish_reply(large.model, outcome, wanted.include_ok)

    async def _publish_large(self, wanted: PostRequest, large: LargeBody) -> Outcome:
        total = Outcome()
        if wanted.pause_plugins:
            await self._delivery.pause()
        for chunk in large.chunks():
            part = await self._publisher.publish(large.model, chunk, keep_ok=wanted.include_ok, wait=wanted.wait)
            _add(total, part)
        return total


def _add(total: Outcome, part: Outcome) -> None:
    total.parsed += part.parsed
    total.published += part.published
    total.aged_off += part.aged_off
    total.deleted += part.deleted
    total.refused += part.refused
    total.failures += part.failures
    total.ok += part.ok
