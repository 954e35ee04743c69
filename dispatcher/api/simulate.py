"""POST /api/v2/event/simulate: who would be given this event? Nothing is published (wire contract 1.5)."""

from aiohttp import web
from dispatcher_sdk.models import BinaryEvent, InvalidMessage, SimulateReply, decode

from dispatcher.api.bodies import BodyReader, Memory
from dispatcher.api.collaborators import Delivery
from dispatcher.api.options import ApiOptions
from dispatcher.api.replies import json_reply, to_json
from dispatcher.errors import Unprocessable


class SimulateRoutes:
    def __init__(self, delivery: Delivery, options: ApiOptions, memory: Memory) -> None:
        self._delivery = delivery
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
                event = decode("binary", bytes(body.data))
        except InvalidMessage as problem:
            raise Unprocessable(str(problem), title="Failed to simulate event") from None
        assert isinstance(event, BinaryEvent)
        return json_reply(to_json(SimulateReply(await self._delivery.simulate(event))))
