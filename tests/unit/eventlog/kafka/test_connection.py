from pathlib import Path

import pytest

from dispatcher.errors import StartupError
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.open import connection_of
from dispatcher.settings import load


def test_several_brokers_in_the_clear() -> None:
    assert Connection("a:1, b:2").options() == {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}


def test_all_that_the_settings_say_arrives() -> None:
    environ = {
        "DISPATCHER_KAFKA_ENDPOINT": "a:1",
        "DISPATCHER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "DISPATCHER_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "DISPATCHER_KAFKA_SASL_USERNAME": "ann",
        "DISPATCHER_KAFKA_SASL_PASSWORD": "secret",
    }
    options = connection_of(load(environ).settings).options()
    assert options.pop("ssl_context").check_hostname
    assert options == {
        "bootstrap_servers": ["a:1"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ann",
        "sasl_plain_password": "secret",
    }


def test_a_name_without_a_password_is_told() -> None:
    with pytest.raises(StartupError, match="DISPATCHER_KAFKA_SASL_PASSWORD"):
        Connection("a:1", protocol="SASL_PLAINTEXT", username="ann").options()


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"nowhere\.pem"):
        Connection("a:1", protocol="SSL", ca_file=tmp_path / "nowhere.pem").options()
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(StartupError, match=r"bad\.pem"):
        Connection("a:1", protocol="SSL", cert_file=tmp_path / "bad.pem").options()
