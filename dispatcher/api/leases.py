"""POST /api/v2/lease/{token}/release: a plugin gives a job back, to be tried again later (our own extension)."""

from typing import Final

from aiohttp import web

from dispatcher.api.collaborators import Delivery
from dispatcher.api.params import Query, bad_parameter
from dispatcher.api.peers import FORWARDED, PeerClient, Unanswered, echo
from dispatcher.api.replies import json_reply
from dispatcher.errors import NotFound, NotServedHere

LONGEST_TOKEN: Final = 1024
LONGEST_WAIT: Final = 86_400
_RELEASED: Final = b'{"released":true}'


class LeaseRoutes:
    def __init__(self, delivery: Delivery, peers: PeerClient) -> None:
        self._delivery = delivery
        self._peers = peers

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/v2/lease/{token}/release", self.release)]

    async def release(self, request: web.Request) -> web.Response:
        """`after` = seconds until somebody may have the job, 0 to a day."""
        token = request.match_info["token"]
        after = Query(request.rel_url.raw_query_string).number("after")
        if not 0 <= after <= LONGEST_WAIT:
            raise bad_parameter("after", f"must be 0 to {LONGEST_WAIT} seconds")
        if len(token) > LONGEST_TOKEN or not token.isprintable():
            raise NotFound("no such lease")
        try:
            await self._delivery.release(token, float(after))
        except NotServedHere as elsewhere:
            return await self._elsewhere(request, elsewhere)
        return json_reply(_RELEASED, echo(request))

    async def _elsewhere(self, request: web.Request, elsewhere: NotServedHere) -> web.Response:
        """Only who serves the subscriber knows its leases. Raises NotServedHere when nobody does: ask again."""
        url = None if FORWARDED in request.headers else await self._peers.owner(elsewhere.slot)
        if url is None:
            raise elsewhere
        try:
            reply = await self._peers.ask(url, request, {})
        except Unanswered:
            raise elsewhere from None
        if not reply.here:
            raise elsewhere
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
