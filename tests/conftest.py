"""Fixtures that every kind of test may ask for."""

import uuid

import pytest

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
def topic_prefix() -> str:
    """A prefix that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"
