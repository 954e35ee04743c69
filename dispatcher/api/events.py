"""POST of events: read, decode, publish, answer (wire contract 1.4)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiohttp import web
from dispatcher_sdk.models import MODELS, AnyEvent

from dispatcher.api.bodies import Body, BodyReader, Memory
from dispatcher.api.collaborators import Delivery, Publisher
from dispatcher.api.completion import Completion
from dispatcher.api.incoming import LargeBody, avro_events, elements, few_elements, json_events
from dispatcher.api.options import ApiOptions
from dispatcher.api.params import Query, quoted
from dispatcher.api.splitting import Buffer
from dispatcher.api.totals import Totals
from dispatcher.api.verdicts import publish_reply
from dispatcher.errors import BadRequest, TooLarge, Unavailable
from dispatcher.eventlog.base import LogUnavailable
from dispatcher.publish.outcome import Outcome

LIGHT: Final = 16 * 1024
HEAVY: Final = 256 * 1024
MEDIUM_AT_ONCE: Final = 64
HEAVY_AT_ONCE: Final = 4
"""Decoded events take many times the bytes they came in, so bodies above LIGHT bytes take turns."""
LARGEST_WITH_OK: Final = 32 * 1024 * 1024


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

    def __init__(self, publisher: Publisher, delivery: Delivery, options: ApiOptions, memory: Memory) -> None:
        self._publisher = publisher
        self._delivery = delivery
        self._bodies = BodyReader(
            max_bytes=options.post_max_bytes,
            stall_seconds=options.body_timeout,
            memory=memory,
            spool_dir=options.spool_dir,
        )
        self._longest_event = 2 * options.event_max_bytes
        self._completion = Completion()
        self._medium = asyncio.Semaphore(MEDIUM_AT_ONCE)
        self._heavy = asyncio.Semaphore(HEAVY_AT_ONCE)
        self._parse = lru_cache(maxsize=512)(lambda raw: parse_post(options.async_ack, raw))

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/v2/event", self.post)]

    async def close(self) -> None:
        await self._completion.drain()

    async def post(self, request: web.Request) -> web.Response:
        wanted = self._parse(request.rel_url.raw_query_string)
        body = await self._bodies.read(request)
        if len(body) <= LIGHT:
            with body:
                return await self._light(wanted, bytes(body.data))
        return await self._completion.run(self._in_turn(wanted, body))

    async def _light(self, wanted: PostRequest, body: bytes) -> web.Response:
        if wanted.avro:
            return await self._publish(wanted, wanted.model, avro_events(wanted.model, body))
        return await self._publish(wanted, *json_events(wanted.model, elements(body)))

    async def _publish(self, wanted: PostRequest, model: str, events: list[AnyEvent]) -> web.Response:
        outcome = await self._completion.run(self._publish_all(wanted, model, (events,)))
        return publish_reply(model, outcome, wanted.include_ok)

    async def _in_turn(self, wanted: PostRequest, body: Body) -> web.Response:
        """A body that is not light; closes it."""
        with body:
            async with self._heavy if len(body) > HEAVY else self._medium:
                data = body.data
                if len(body) <= HEAVY:
                    return await self._light(wanted, bytes(data))
                if wanted.avro or not isinstance(data, bytes):
                    return await self._in_chunks(wanted, data)
                parts = few_elements(data)
                if parts is None:
                    return await self._in_chunks(wanted, data)
                return await self._publish(wanted, *json_events(wanted.model, parts))

    async def _in_chunks(self, wanted: PostRequest, data: Buffer) -> web.Response:
        if wanted.include_ok and len(data) > LARGEST_WITH_OK:
            raise TooLarge(f"include_ok sends every event back: not for bodies above {LARGEST_WITH_OK} bytes")
        large = LargeBody(data, wanted.model, wanted.avro, self._longest_event)
        await large.check()
        outcome = await self._publish_all(wanted, large.model, large.chunks())
        return publish_reply(large.model, outcome, wanted.include_ok)

    async def _publish_all(self, wanted: PostRequest, model: str, chunks: Iterable[list[AnyEvent]]) -> Outcome:
        """Once something is published the request succeeds: what the log then does not take are failures."""
        totals = Totals()
        gone = False
        pause = _Once(self._delivery.pause) if wanted.pause_plugins else None
        for index, chunk in enumerate(chunks):
            if index:
                await asyncio.sleep(0)  # decoding a chunk takes milliseconds; others get a turn between two
            if not gone:
                try:
                    totals.add(
                        await self._publisher.publish(
                            model, chunk, keep_ok=wanted.include_ok, wait=wanted.wait, before_write=pause
                        )
                    )
                    continue
                except (Unavailable, LogUnavailable):
                    if not totals.outcome.published:
                        raise
                    gone = True
            totals.log_gone(chunk)
        return totals.outcome


class _Once:
    """Makes a call the first time it is called."""

    def __init__(self, call: Callable[[], Awaitable[None]]) -> None:
        self._call: Callable[[], Awaitable[None]] | None = call

    async def __call__(self) -> None:
        if self._call is not None:
            await self._call()
            self._call = None
