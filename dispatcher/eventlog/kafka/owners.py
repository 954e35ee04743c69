"""Who serves which slot, as the broker that coordinates the group knows it."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import for_code

from dispatcher.eventlog.base import LogUnavailable
from dispatcher.eventlog.kafka.clients import REQUEST_MS, Failures, away, started, stop
from dispatcher.eventlog.kafka.connection import Connection

FRESH_SECONDS: Final = 1.0


class Owners:
    """Asks at most once at a time, and at most once per second. Members tell their URL as their client id.

    All who want to know meanwhile share the question and what becomes of it: brokers that hang make it last long.
    """

    def __init__(self, connection: Connection, group: str, topic: str) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic
        self._admin: AIOKafkaAdminClient | None = None
        self._question: asyncio.Task[None] | None = None
        self._known: Mapping[int, str] = {}
        self._failure = ""
        self._fresh_until = 0.0
        self._forgotten = 0
        self._closed = False

    async def now(self) -> Mapping[int, str]:
        """URL per slot. Raises LogUnavailable."""
        while time.monotonic() >= self._fresh_until:
            if self._closed:
                raise LogUnavailable("Kafka: the group is not asked any more")
            if self._question is None:
                self._question = asyncio.create_task(self._learn(), name="owners of slots")
            await asyncio.shield(self._question)
        if self._failure:
            raise LogUnavailable(self._failure)
        return self._known

    def forget(self) -> None:
        """What was known is old, and so is the answer to a question under way."""
        self._fresh_until = 0.0
        self._forgotten += 1

    async def close(self) -> None:
        self._closed = True
        self.forget()
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait([self._question])
        admin, self._admin = self._admin, None
        if admin is not None:
            await stop(admin)

    async def _learn(self) -> None:
        """What cannot be known holds for as long as what is known. Cancelled by `close` alone: its end is an answer."""
        before = self._forgotten
        known: Mapping[int, str] = {}
        failure = ""
        try:
            known = await self._ask()
        except LogUnavailable as problem:
            failure = str(problem)
        except asyncio.CancelledError:
            return
        finally:
            self._question = None
        if before == self._forgotten:
            self._known, self._failure = known, failure
            self._fresh_until = time.monotonic() + FRESH_SECONDS

    async def _ask(self) -> Mapping[int, str]:
        if self._admin is None:
            self._admin = await started(
                AIOKafkaAdminClient(request_timeout_ms=REQUEST_MS, **self._connection.options())
            )
        try:
            (response,) = await self._admin.describe_consumer_groups([self._group])
        except Failures as problem:
            raise away(problem) from None
        return dict(self._read(response.to_object()["groups"][0]))

    def _read(self, group: dict[str, Any]) -> Iterator[tuple[int, str]]:
        if group["error_code"]:
            raise LogUnavailable(f"Kafka: group {self._group}: {for_code(group['error_code']).__name__}")
        for member in group["members"]:
            if member["client_id"].startswith(("http://", "https://")):
                for slot in self._slots(member["member_assignment"]):
                    yield slot, member["client_id"]

    def _slots(self, assignment: bytes) -> list[int]:
        """None between two dealings, and of a stranger who packs them in another way."""
        try:
            places = ConsumerProtocol.ASSIGNMENT.decode(assignment).partitions() if assignment else []
        except ValueError:
            return []
        return [place.partition for place in places if place.topic == self._topic]
