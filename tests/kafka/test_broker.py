"""The broker for tests does what the tests of others rely on."""

from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.broker import KafkaBroker
from tests.kafka.config import Node, properties


async def test_the_shared_broker_answers(kafka: KafkaBroker) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.endpoint)
    await admin.start()
    try:
        assert len((await admin.describe_cluster())["brokers"]) == 1
    finally:
        await admin.close()


def test_three_brokers_know_each_other_and_keep_two_copies_at_least(tmp_path) -> None:
    nodes = [Node(n, 1000 + n, 2000 + n, tmp_path) for n in (1, 2, 3)]
    text = properties(nodes[1], nodes, {"log.roll.ms": "5"})
    assert "controller.quorum.voters=1@127.0.0.1:2001,2@127.0.0.1:2002,3@127.0.0.1:2003\n" in text
    assert "min.insync.replicas=2\n" in text
    assert "log.roll.ms=5\n" in text
    assert "node.id=2\n" in text
