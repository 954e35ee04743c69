"""Fixtures that every kind of test may ask for."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import suppress

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.kafka.broker import KafkaBroker
from tests.kafka.session import KafkaSession

SESSION = pytest.StashKey[KafkaSession]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SESSION] = session = KafkaSession()
    config.pluginmanager.register(session, "kafka-session")


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> KafkaBroker:
    """A real broker that all tests share: each uses a topic prefix of its own, and none stops it."""
    session = pytestconfig.stash[SESSION]
    if session.broker is None:
        pytest.skip(session.why_not)
    return session.broker


@pytest.fixture
def topic_prefix(pytestconfig: pytest.Config) -> Iterator[str]:
    """A prefix that no other test uses. Its topics go with the test: a broker with those of hundreds is slow."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    yield prefix
    broker = pytestconfig.stash[SESSION].broker
    if broker is not None:
        with suppress(KafkaError, OSError, TimeoutError):
            asyncio.run(_forget(broker.endpoint, prefix))


async def _forget(endpoint: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=endpoint)
    try:
        async with asyncio.timeout(10):
            await admin.start()
            topics = [topic for topic in await admin.list_topics() if topic.startswith(f"azul.{prefix}.")]
            if topics:
                await admin.delete_topics(topics)
    finally:
        await admin.close()
