"""TLS and SASL against a broker that asks for both."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.kafka.log import KafkaLog
from dispatcher.eventlog.kafka.open import open_kafka_log
from dispatcher.settings import load
from tests.kafka.broker import KafkaBroker
from tests.kafka.jars import jars

SECRET = "long-secret"
_LISTENER = "listener.name.sasl_ssl"
_MODULES = "org.apache.kafka.common.security"


class Guarded(NamedTuple):
    endpoint: str
    ca_file: Path

    async def open(self, **more: str) -> KafkaLog:
        environ = {
            "DISPATCHER_KAFKA_ENDPOINT": self.endpoint,
            "DISPATCHER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "DISPATCHER_KAFKA_CA_FILE": str(self.ca_file),
            "DISPATCHER_KAFKA_SASL_USERNAME": "ann",
            "DISPATCHER_KAFKA_SASL_PASSWORD": SECRET,
            "DISPATCHER_KAFKA_CONNECT_RETRIES": "0",
        }
        return await open_kafka_log(load(environ | more).settings)


@pytest.fixture(scope="module")
def guarded(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    store, certificate = folder / "store.p12", folder / "ca.pem"
    common = ["-keystore", str(store), "-storepass", SECRET, "-alias", "broker"]
    for command in (
        ["-genkeypair", "-keyalg", "RSA", "-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1", "-storetype", "PKCS12"],
        ["-exportcert", "-rfc", "-file", str(certificate)],
    ):
        subprocess.run(["keytool", *command, *common], check=True, capture_output=True, timeout=30)
    plain = f'{_MODULES}.plain.PlainLoginModule required user_ann="{SECRET}";'
    scram = f"{_MODULES}.scram.ScramLoginModule required;"
    broker = KafkaBroker(
        folder,
        jars(),
        more_listeners=["SASL_SSL"],
        settings={
            "ssl.keystore.location": str(store),
            "ssl.keystore.password": SECRET,
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f"{_LISTENER}.plain.sasl.jaas.config": plain,
            f"{_LISTENER}.scram-sha-256.sasl.jaas.config": scram,
            f"{_LISTENER}.scram-sha-512.sasl.jaas.config": scram,
        },
        format_arguments=[
            argument
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for argument in ("--add-scram", f"{mechanism}=[name=ann,password={SECRET}]")
        ],
    )
    try:
        broker.start()
        [(_, port)] = broker.nodes[0].more_listeners
        yield Guarded(f"127.0.0.1:{port}", certificate)
    finally:
        broker.kill9()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_every_client_of_the_log_gets_in(guarded: Guarded, mechanism: str) -> None:
    log = await guarded.open(DISPATCHER_KAFKA_SASL_MECHANISM=mechanism)
    try:
        topic = f"azul.test01.{mechanism}"
        await log.ensure_topics([TopicSpec(topic)])
        assert await log.append([Append(topic, b"k", b"v")]) == [None]
        assert len((await log.read((topic, 0), 0, 100)).records) == 1
        tail = await log.tail({(topic, 0): 0})
        assert [len(chunk.records) for chunk in await tail.next()] == [1]
        assert await log.bounds([(topic, 0)]) == {(topic, 0): (0, 1)}
    finally:
        await log.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_wrong_password_stops_the_start(guarded: Guarded, mechanism: str) -> None:
    with pytest.raises(StartupError, match="no Kafka answers"):
        await guarded.open(DISPATCHER_KAFKA_SASL_MECHANISM=mechanism, DISPATCHER_KAFKA_SASL_PASSWORD="wrong")


async def test_a_broker_whose_certificate_nobody_vouches_for_is_not_trusted(guarded: Guarded) -> None:
    with pytest.raises(StartupError, match="no Kafka answers"):
        await guarded.open(DISPATCHER_KAFKA_CA_FILE="")
