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
    """Asks at most once at a time, and at most once per second. Members tell their URL as their client id."""

    def __init__(self, connection: Connection, group: str, topic: str) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic
        self._admin: AIOKafkaAdminClient | None = None
        self._asking = asyncio.Lock()
        self._known: Mapping[int, str] = {}
        self._failure = ""
        self._fresh_until = 0.0

    async def now(self) -> Mapping[int, str]:
        """URL per slot. Raises LogUnavailable."""
        async with self._asking:
            if time.monotonic() >= self._fresh_until:
                try:
                    self._known, self._failure = await self._ask(), ""
                except LogUnavailable as problem:  # many wait here: they need not all wait for the same answer
                    self._failure = str(problem)
                self._fresh_until = time.monotonic() + FRESH_SECONDS
            if self._failure:
                raise LogUnavailable(self._failure)
            return self._known

    def forget(self) -> None:
        """What was known is old."""
        self._fresh_until = 0.0

    async def close(self) -> None:
        async with self._asking:
            admin, self._admin = self._admin, None
            if admin is not None:
                await stop(admin)

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
            if not member["client_id"].startswith(("http://", "https://")) or not member["member_assignment"]:
                continue  # a stranger, or between two dealings
            assignment = ConsumerProtocol.ASSIGNMENT.decode(member["member_assignment"])
            for place in assignment.partitions():
                if place.topic == self._topic:
                    yield place.partition, member["client_id"]
