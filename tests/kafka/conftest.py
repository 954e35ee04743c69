"""A log of our own on the shared broker, and brokers of our own for tests that break them."""

from collections.abc import AsyncIterator, Iterator

import pytest

from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.log import KafkaLog
from tests.kafka.broker import KafkaBroker
from tests.kafka.jars import jars


@pytest.fixture
def prefix(topic_prefix: str) -> str:
    return f"azul.{topic_prefix}."


@pytest.fixture
async def log(kafka: KafkaBroker, prefix: str) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(Connection(kafka.endpoint), prefix=prefix)
    await log.start()
    yield log
    await log.close()


@pytest.fixture(scope="module")
def fragile(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker that may be stopped, killed and hung, and that runs when a test begins."""
    broker = KafkaBroker(tmp_path_factory.mktemp("broker"), jars())
    broker.start()
    yield broker
    broker.kill9()
