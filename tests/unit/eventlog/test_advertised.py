"""What a dispatcher tells the others about where it is."""

import pytest

from dispatcher.eventlog.kafka.advertised import advertised
from dispatcher.settings import Settings

PORT = 8111


def where(listen: str, endpoint: str = "127.0.0.1:9092", url: str = "") -> str:
    return advertised(Settings(listen=listen, kafka_endpoint=endpoint, advertised_url=url), PORT)


def test_what_the_operator_says_comes_first() -> None:
    assert where("10.1.2.3:8111", url="https://one.example") == "https://one.example"


def test_a_host_to_listen_on_is_where_we_are() -> None:
    assert where("10.1.2.3:0") == "http://10.1.2.3:8111"
    assert where("[fd00::1]:0") == "http://[fd00::1]:8111"


@pytest.mark.parametrize("listen", ["0.0.0.0:8111", "[::]:8111"])
def test_who_listens_everywhere_is_where_kafka_is_reached_from(listen: str) -> None:
    assert where(listen, "127.0.0.1:9092,10.9.9.9:9092") == "http://127.0.0.1:8111"


def test_an_endpoint_without_an_address_leaves_the_name_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "machine-7")
    assert where("0.0.0.0:8111", "no-such-host.invalid:9092") == "http://machine-7:8111"
