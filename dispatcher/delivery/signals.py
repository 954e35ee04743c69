"""Records of our own on the status topic: every dispatcher that tails it learns of them, no client ever does.

They are tombstones (no value) with a header, so that they are never delivered; the header's status says what they are.
"""

from collections.abc import Callable
from typing import Final

from dispatcher.errors import Unavailable
from dispatcher.eventlog.base import Append, EventLog
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import Header, pack

RELEASED: Final = "released"
PAUSED: Final = "paused"


class Signals:
    def __init__(self, log: EventLog, names: TopicNames, clock: Callable[[], float]) -> None:
        self._log = log
        self._topic = names.system("status")
        self._clock = clock

    async def release(self, token: str, after: float) -> None:
        """Make durable that this lease is given back and due again in `after` seconds."""
        await self._write(Header(token=token, status=RELEASED, source_time=int((self._clock() + after) * 1e6)))

    async def pause(self) -> float:
        """Make durable that jobs are paused from now on; gives the moment."""
        now = self._clock()
        await self._write(Header(status=PAUSED, source_time=int(now * 1e6)))
        return now

    async def _write(self, header: Header) -> None:
        key = f"{header.status}.{header.token}".encode()
        (problem,) = await self._log.append([Append(self._topic, key, None, pack(header))])
        if problem is not None:
            raise Unavailable(f"the event log does not take records now: {problem}")
