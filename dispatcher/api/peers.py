"""Other dispatchers on the same log, as HTTP servers: asked one hop away, never further."""

import asyncio
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
    hdrs,
    web,
)
from yarl import URL

from dispatcher.api.collaborators import Peers
from dispatcher.api.replies import ERROR_HEADERS
from dispatcher.errors import NOT_HERE, Unavailable
from dispatcher.eventlog.base import SLOTS
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

FORWARDED: Final = "X-Dispatcher-Forwarded"
"""Set on what a dispatcher asks another one: it is never forwarded again. And on the answer: it is a dispatcher's."""
DEADLINE: Final = "X-Dispatcher-Deadline"
"""Seconds that are left of a forwarded poll's deadline."""
BATCH: Final = "X-Dispatcher-Batch"
"""Name of the batch that a forwarded poll brings: what became of it is told under this name."""
CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 20.0
DEAL_PAUSE: Final = 0.25
_NAME: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class NoPeers:
    """Implements collaborators.Peers for a dispatcher that is alone."""

    url = ""

    async def owners(self) -> Mapping[int, str]:
        return {}


class Unanswered(Exception):
    """Another dispatcher did not answer, or not to the end."""


class Unreached(Unanswered):
    """No dispatcher was even asked."""


class PeerReply(NamedTuple):
    status: int
    content_type: str
    body: bytes
    here: bool
    """It comes from the dispatcher that serves what was asked for."""
    held: bool
    """It has events, and that dispatcher waits to hear what became of them."""

    @property
    def headers(self) -> dict[str, str]:
        """Of our answer, which is the same."""
        return {
            **(ERROR_HEADERS if self.status >= HTTPStatus.BAD_REQUEST else {}),
            hdrs.CONTENT_TYPE: self.content_type,
        }


class PeerClient:
    """Knows them and asks them. `grace`: seconds that slots may take to change hands."""

    def __init__(self, peers: Peers, metrics: Metrics, grace: float) -> None:
        self._peers = peers
        self._grace = grace
        self._outcomes = metrics.forwarded
        self._session: ClientSession | None = None

    async def start(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=30),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def owner(self, slot: int) -> str | None:
        """URL of the other dispatcher that serves this slot, if there is one. Raises LogUnavailable."""
        url = (await self._peers.owners()).get(slot)
        return None if url == self._peers.url else url

    async def others(self) -> set[str]:
        """URLs of all other dispatchers. While slots change hands that is not known: waits a moment for it.

        Raises Unavailable, LogUnavailable.
        """
        if not self._peers.url:
            return set()
        late = asyncio.get_running_loop().time() + self._grace
        while len(owners := await self._peers.owners()) < SLOTS:
            if asyncio.get_running_loop().time() >= late:
                raise Unavailable("not every subscriber is served by a dispatcher at the moment; try again")
            await asyncio.sleep(DEAL_PAUSE)
        return set(owners.values()) - {self._peers.url}

    async def ask(
        self,
        url: str,
        request: web.Request,
        headers: Mapping[str, str],
        body: bytes | None = None,
        wait: float = ANSWER_SECONDS,
    ) -> PeerReply:
        """The same request of another dispatcher, which may take `wait` seconds to begin its answer, and to go on with
        it. Raises Unanswered."""
        assert self._session is not None
        timeout = ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=wait)
        sent = {**headers, FORWARDED: "1", hdrs.ACCEPT_ENCODING: "identity", hdrs.ACCEPT: _accept(request)}
        outcome = "given up"
        try:
            whole = URL(url + request.path_qs, encoded=True)
            async with (
                asyncio.timeout(wait) as limit,
                self._session.request(
                    request.method, whole, headers=sent, data=body, timeout=timeout, allow_redirects=False
                ) as response,
            ):
                limit.reschedule(None)
                answer = await _read(response)
            outcome = "answered" if answer.here else "not served there"
            return answer
        except (Unanswered, ClientError, OSError, TimeoutError, ValueError) as problem:
            outcome = "unreachable"
            log.warning("%s does not answer: %s", url, problem or type(problem).__name__, extra={"action": "forward"})
            raise (Unreached if isinstance(problem, _NOT_ASKED) else Unanswered) from None
        finally:
            self._outcomes.labels(outcome).inc()

    async def say(self, url: str, path: str) -> bool:
        """A word that needs no answer; whether it was heard."""
        assert self._session is not None
        timeout = ClientTimeout(total=ANSWER_SECONDS, connect=CONNECT_SECONDS)
        try:
            async with self._session.post(url + path, headers={FORWARDED: "1"}, timeout=timeout) as response:
                return response.status < HTTPStatus.INTERNAL_SERVER_ERROR
        except (ClientError, OSError, TimeoutError, ValueError):
            return False


_NOT_ASKED: Final = (Unreached, ClientConnectorError, ConnectionTimeoutError, ValueError)


def echo(request: web.Request) -> dict[str, str]:
    """Headers of the answer to another dispatcher: it sees that we are one, too."""
    return {FORWARDED: "1"} if FORWARDED in request.headers else {}


def forwarded_by(request: web.Request, deadline: float) -> tuple[str, float]:
    """Name of the batch and seconds of the deadline that another dispatcher says; never longer than the client's."""
    name = request.headers.get(BATCH, "")
    try:
        left = float(request.headers.get(DEADLINE, deadline))
    except ValueError:
        left = deadline
    return (name if _NAME.fullmatch(name) else ""), left if 0 <= left <= deadline else deadline


def _accept(request: web.Request) -> str:
    return request.headers.get(hdrs.ACCEPT, "*/*")


async def _read(response: ClientResponse) -> PeerReply:
    """Raises Unreached when that is no dispatcher: another server may have got the address of one that died."""
    headers = response.headers
    body = await response.read()
    failed = response.status >= HTTPStatus.BAD_REQUEST and b'"error_enum":' in body
    if FORWARDED not in headers and not failed:
        raise Unreached(f"status {response.status}, and not from a dispatcher")
    return PeerReply(
        response.status,
        headers.get(hdrs.CONTENT_TYPE, ""),
        body,
        here=NOT_HERE not in headers,
        held=BATCH in headers,
    )
