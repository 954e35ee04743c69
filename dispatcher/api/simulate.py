"""POST /api/v2/event/simulate: who would be given this event? Nothing is published (wire contract 1.5)."""

import asyncio

import msgspec
from aiohttp import hdrs, web
from dispatcher_sdk.models import BinaryEvent, InvalidMessage, SimulatedConsumer, SimulateReply, decode

from dispatcher.api.bodies import BodyReader, Memory
from dispatcher.api.collaborators import Delivery
from dispatcher.api.options import ApiOptions
from dispatcher.api.peers import FORWARDED, PeerClient, Unanswered, echo
from dispatcher.api.replies import JSON, json_reply, to_json
from dispatcher.errors import Unavailable, Unprocessable


class SimulateRoutes:
    def __init__(self, delivery: Delivery, options: ApiOptions, memory: Memory, peers: PeerClient) -> None:
        self._delivery = delivery
        self._peers = peers
        self._bodies = BodyReader(
            max_bytes=2 * options.event_max_bytes,
            stall_seconds=options.body_timeout,
            memory=memory,
            spool_dir=options.spool_dir,
        )

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/v2/event/simulate", self.simulate)]

    async def simulate(self, request: web.Request) -> web.Response:
        """The body is one binary event as JSON."""
        try:
            with await self._bodies.read(request) as body:
                raw = bytes(body.data)
                event = decode("binary", raw)
        except InvalidMessage as problem:
            raise Unprocessable(str(problem), title="Failed to simulate event") from None
        assert isinstance(event, BinaryEvent)
        consumers = await self._delivery.simulate(event)
        if FORWARDED not in request.headers:
            others = sorted(await self._peers.others())
            for answer in await asyncio.gather(*(self._ask(url, request, raw) for url in others)):
                consumers = [*consumers, *answer]
        return json_reply(to_json(SimulateReply(consumers)), echo(request))

    async def _ask(self, url: str, request: web.Request, raw: bytes) -> list[SimulatedConsumer]:
        """Subscribers of another dispatcher: an answer without them would be wrong. Raises Unavailable."""
        try:
            reply = await self._peers.ask(url, request, {hdrs.CONTENT_TYPE: JSON}, raw)
            return msgspec.json.decode(reply.body, type=SimulateReply).consumers
        except (Unanswered, msgspec.MsgspecError):
            raise Unavailable(f"the dispatcher at {url} does not say which plugins it serves; try again") from None
