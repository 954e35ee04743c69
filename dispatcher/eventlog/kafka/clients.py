"""Starting and stopping aiokafka's clients, which takes more care than it should."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from dispatcher.eventlog.base import LogUnavailable, TopicPartition
from dispatcher.eventlog.kafka.connection import Connection

REQUEST_MS = 10_000
METADATA_MS = 30_000
STOP_SECONDS = 5.0

Failures = (KafkaError, OSError, TimeoutError)
"""What a client raises when its brokers are away, slow or unwilling."""


class Client(Protocol):
    async def start(self) -> Any: ...


C = TypeVar("C", bound=Client)
T = TypeVar("T")


async def started(client: C) -> C:
    """The client, connected. Raises LogUnavailable and leaves nothing open."""
    try:
        await uncut(client.start())
    except BaseException as problem:
        await stop(client)
        if isinstance(problem, Failures):
            raise away(problem) from None
        raise
    return client


async def uncut(work: Awaitable[T]) -> T:
    """What `work` gives. Who is cancelled meanwhile waits until it has ended, STOP_SECONDS at most: a client that is
    cancelled while it connects leaves that connection open, where nobody can reach it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=STOP_SECONDS)
        task.cancel()
        raise


async def stop(client: Any) -> None:
    """Stop any client; never longer than STOP_SECONDS, never an exception because the brokers are away."""
    if isinstance(client, AIOKafkaConsumer) and client.assignment():
        client.unsubscribe()  # stop() of an assigned consumer without its broker cancels its caller
        await asyncio.sleep(0)
    ending = asyncio.ensure_future(client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
    await asyncio.wait([ending], timeout=STOP_SECONDS)
    if not ending.done():
        ending.cancel()
    with contextlib.suppress(asyncio.CancelledError, *Failures):
        await ending


async def open_consumer(connection: Connection, **limits: int) -> AIOKafkaConsumer:
    """A consumer that belongs to no group and goes only where it is told. Raises LogUnavailable."""
    return await started(
        AIOKafkaConsumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            request_timeout_ms=REQUEST_MS,
            metadata_max_age_ms=METADATA_MS,
            **limits,
            **connection.options(),
        )
    )


def away(problem: BaseException) -> LogUnavailable:
    """The same in the words of the event log."""
    return LogUnavailable(f"Kafka: {str(problem) or type(problem).__name__}")


def named(partition: TopicPartition) -> str:
    return f"{partition[0]}, partition {partition[1]}"
