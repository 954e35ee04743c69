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
    DummyCookieJar,
    TCPConnector,
    hdrs,
    web,
)

from dispatcher.api.collaborators import Peers
from dispatcher.api.replies import ERROR_HEADERS
from dispatcher.errors import NOT_HERE
from dispatcher.metrics import Metrics

log = logging.getLogger(__name__)

FORWARDED: Final = "X-Dispatcher-Forwarded"
"""Set on what a dispatcher asks another one: it is never forwarded again."""
DEADLINE: Final = "X-Dispatcher-Deadline"
"""Seconds that are left of a forwarded poll's deadline."""
BATCH: Final = "X-Dispatcher-Batch"
"""Name of the batch that a forwarded poll brings: what became of it is told under this name."""
CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 20.0
_NAME: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
TELL_PAUSES: Final = (0.0, 0.2, 1.0, 3.0)
CLOSE_SECONDS: Final = 5.0


class NoPeers:
    """Implements collaborators.Peers for a dispatcher that is alone."""

    url = ""

    async def owners(self) -> Mapping[int, str]:
        return {}


class Unanswered(Exception):
    """Another dispatcher did not answer, or not to the end."""


class Unreached(Unanswered):
    """It was not even asked."""


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
    """Asks and tells."""

    def __init__(self, peers: Peers, metrics: Metrics) -> None:
        self._peers = peers
        self._outcomes = metrics.forwarded
        self._session: ClientSession | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=30),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        if self._telling:
            await asyncio.wait(self._telling, timeout=CLOSE_SECONDS)
        for task in self._telling:
            task.cancel()
        if self._session is not None:
            await self._session.close()

    async def owner(self, slot: int) -> str | None:
        """URL of the other dispatcher that serves this slot, if there is one. Raises LogUnavailable."""
        url = (await self._peers.owners()).get(slot)
        return None if url == self._peers.url else url

    async def others(self) -> set[str]:
        """URLs of all other dispatchers that serve anything. Raises LogUnavailable."""
        return set((await self._peers.owners()).values()) - {self._peers.url}

    async def ask(
        self, url: str, request: web.Request, headers: Mapping[str, str], body: bytes | None = None, wait: float = 0.0
    ) -> PeerReply:
        """The same request of another dispatcher, which may take `wait` seconds for its answer. Raises Unanswered."""
        assert self._session is not None
        timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=wait + ANSWER_SECONDS)
        sent = {**headers, FORWARDED: "1", hdrs.ACCEPT_ENCODING: "identity", hdrs.ACCEPT: _accept(request)}
        try:
            async with self._session.request(
                request.method, url + request.path_qs, headers=sent, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                answer = await _read(response)
        except (ClientError, OSError, TimeoutError) as problem:
            log.warning("%s does not answer: %s", url, problem or type(problem).__name__, extra={"action": "forward"})
            self._outcomes.labels("unreachable").inc()
            raise (Unreached if isinstance(problem, ClientConnectorError) else Unanswered) from None
        self._outcomes.labels("answered" if answer.here else "not served there").inc()
        return answer

    def tell(self, url: str, batch: str, fate: str) -> None:
        """What became of a batch; in the background, a few times if need be."""
        task = asyncio.create_task(self._tell(f"{url}/api/v2/forwarded/{batch}/{fate}"))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, url: str) -> None:
        assert self._session is not None
        timeout = ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
        for pause in TELL_PAUSES:
            await asyncio.sleep(pause)
            try:
                async with self._session.post(url, headers={FORWARDED: "1"}, timeout=timeout):
                    return
            except (ClientError, OSError, TimeoutError):
                continue
        log.warning("could not be told: %s", url, extra={"action": "forward"})


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
    headers = response.headers
    return PeerReply(
        response.status,
        headers.get(hdrs.CONTENT_TYPE, ""),
        await response.read(),
        here=NOT_HERE not in headers,
        held=BATCH in headers,
    )
