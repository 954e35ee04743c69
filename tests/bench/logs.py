"""Where the events of a measured server are kept: in its own folder, or on a real Kafka that this process starts."""

import asyncio
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.bench.wiretap import Counts, Wiretap
from tests.kafka.broker import KafkaBroker, free_ports
from tests.kafka.jars import jars

USUAL = {
    "log.cleaner.backoff.ms": "15000",
    "log.initial.task.delay.ms": "30000",
    "log.retention.check.interval.ms": "300000",
    "log.segment.delete.delay.ms": "1000",
    "broker.session.timeout.ms": "9000",
    "broker.heartbeat.interval.ms": "2000",
}
"""What tests of compaction and failure set otherwise: a broker that is measured has no such haste, but for files of
deleted topics, which go before the next server is measured."""

CREATE_SECONDS = 120.0
HEAP_MB = 1024
"""With 256 a broker of 2 000 partitions ran out of memory as soon as records came."""


class Embedded:
    """A fresh log for each server. Costs are part of the server's own."""

    name = "embedded"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def fresh(self) -> dict[str, str]:
        """Settings of a server on an empty log."""
        return {}

    def cpu(self) -> float:
        return 0.0

    def forget(self) -> None:
        """What was written is not needed any more."""


class Kafka:
    """One broker for all servers that are measured in turn; each has topics of its own.

    `tapped` puts a process between them that counts the bytes of each kind of request.
    """

    name = "kafka"

    def __init__(self, *, tapped: bool = False) -> None:
        self._tapped = tapped
        self._stack = ExitStack()
        self._prefix = ""
        self.tap: Wiretap | None = None

    def __enter__(self) -> Self:
        """Raises Unavailable."""
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-kafka-"))
            settings, port = dict(USUAL), free_ports(1)[0]
            if self._tapped:
                self.tap = stack.enter_context(Wiretap(port))
                settings["advertised.listeners"] = f"PLAINTEXT://127.0.0.1:{self.tap.port}"
            self.broker = KafkaBroker(Path(folder), jars(), port=port, settings=settings, heap_mb=HEAP_MB)
            stack.callback(self.broker.stop)
            self.broker.start()
            self._processes = [psutil.Process(pid) for pid in self.broker.pids]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(self.broker.log())
        self._stack.close()

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.tap.port}" if self.tap is not None else self.broker.endpoint

    @property
    def prefix(self) -> str:
        """Of the topics of the last `fresh`."""
        return f"azul.{self._prefix}."

    def fresh(self) -> dict[str, str]:
        """Settings of a server on an empty log; several that get the same ones share it."""
        self._prefix = "b" + secrets.token_hex(4)
        return {"DISPATCHER_KAFKA_ENDPOINT": self.endpoint, "DISPATCHER_KAFKA_TOPIC_PREFIX": self._prefix}

    def cpu(self) -> float:
        """User and system seconds of the broker."""
        times = [process.cpu_times() for process in self._processes]
        return sum(one.user + one.system for one in times)

    def counts(self) -> Counts:
        """What went over the wire so far, by kind of request; only when tapped."""
        assert self.tap is not None
        return self.tap.counts()

    def create(self, source: str, partitions: int) -> None:
        """Two topics of a source of the last `fresh`: `extracted` with so many partitions, `sourced` with one.

        The broker makes one after the other: when it has the second it can serve the first.
        """

        async def create(admin: AIOKafkaAdminClient) -> None:
            for action, count in (("extracted", partitions), ("sourced", 1)):
                name = f"{self.prefix}{source}.binary.{action}"
                await admin.create_topics([NewTopic(name, num_partitions=count, replication_factor=1)])
                await _complete(admin, name, count)

        asyncio.run(self._administer(create))

    def forget(self) -> None:
        """Delete the topics of the last `fresh`: brokers spend time on what they hold."""

        async def delete(admin: AIOKafkaAdminClient) -> None:
            ours = [name for name in await admin.list_topics() if name.startswith(self.prefix)]
            await admin.delete_topics(ours)

        asyncio.run(self._administer(delete))

    async def _administer(self, work: Callable[[AIOKafkaAdminClient], Awaitable[None]]) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.endpoint, request_timeout_ms=30_000)
        try:
            await admin.start()
            await work(admin)
        finally:
            await admin.close()


async def _complete(admin: AIOKafkaAdminClient, name: str, partitions: int) -> None:
    """Until all its partitions have a leader. Raises TimeoutError."""
    async with asyncio.timeout(CREATE_SECONDS):
        while True:
            described = await admin.describe_topics([name])
            found = [partition for topic in described for partition in topic["partitions"]]
            if len(found) == partitions and all(partition["leader"] >= 0 for partition in found):
                return
            await asyncio.sleep(0.5)


Log = Embedded | Kafka


def log_of(name: str) -> Log:
    return Kafka() if name == Kafka.name else Embedded()
