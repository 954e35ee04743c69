"""A real broker with the properties that Compose gives to the one in its container."""

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from dispatcher.testing import LocalDispatcher
from tests.containers import compose
from tests.kafka.broker import KafkaBroker, free_ports
from tests.kafka.jars import jars
from tests.shapes import binary

GIVEN = compose.environment(compose.load("docker-compose.yaml")["services"]["kafka"])
PROPERTIES = {
    name.removeprefix("KAFKA_").lower().replace("_", "."): value
    for name, value in GIVEN.items()
    if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
}
"""As the image makes them of the variables; that one is for Java."""
PLACES = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"}
"""Ports, names and folders that are free here."""

STATIC = 4
"""Kafka's word for a value that came from the file."""


@pytest.fixture
def broker(kafka: KafkaBroker, tmp_path: Path) -> Iterator[KafkaBroker]:
    """One of our own, as the shared one has other properties; `kafka` sees to it that there can be any."""
    chosen = {name: value for name, value in PROPERTIES.items() if name not in PLACES}
    broker = KafkaBroker(tmp_path / "kafka", jars(), settings=chosen)
    [node] = broker.nodes
    clients = f"INSIDE://127.0.0.1:{free_ports(1)[0]},HOST://{node.endpoint}"
    chosen |= {"advertised.listeners": clients, "listeners": f"{clients},CONTROLLER://{node.controller}"}
    broker.start()
    yield broker
    broker.kill9()


async def values(broker: KafkaBroker) -> dict[str, str]:
    """What the broker says that it was given, as opposed to what it does by default."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.endpoint)
    await admin.start()
    try:
        [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, PROPERTIES["node.id"])])
    finally:
        await admin.close()
    [(_, _, _, _, entries)] = response.resources
    return {name: value for name, value, _, source, *_ in entries if source == STATIC}


@pytest.mark.timeout(90)
async def test_the_broker_has_all_of_it_and_carries_a_dispatcher(broker: KafkaBroker, tmp_path: Path) -> None:
    found = await values(broker)
    wanted = {name: value for name, value in PROPERTIES.items() if name not in PLACES}
    assert {name: found.get(name) for name in wanted} == wanted
    async with (
        LocalDispatcher(tmp_path / "dispatcher", kafka_endpoint=broker.endpoint) as server,
        aiohttp.ClientSession(server.url) as http,
        http.post("/api/v2/event?model=binary", json=binary()) as response,
    ):
        assert (response.status, (await response.json())["total_ok"]) == (200, 1)
