from pathlib import Path

import pytest
from pydantic import ValidationError

from dispatcher.errors import StartupError
from dispatcher.settings import Settings, load


def test_an_empty_environment_gives_the_defaults_and_nothing_to_say() -> None:
    loaded = load({})
    assert loaded.settings == Settings()
    assert (loaded.settings.host, loaded.settings.port) == ("127.0.0.1", 8111)
    assert not loaded.origins
    assert not loaded.warnings


def test_our_own_names() -> None:
    loaded = load(
        {"DISPATCHER_LISTEN": "0.0.0.0:9000", "DISPATCHER_POST_MAX_BYTES": "1GiB", "DISPATCHER_ASYNC_ACK": "true"}
    )
    assert (loaded.settings.host, loaded.settings.port) == ("0.0.0.0", 9000)
    assert loaded.settings.post_max_bytes == 1024**3
    assert loaded.settings.async_ack is True
    assert loaded.origins["post_max_bytes"] == "DISPATCHER_POST_MAX_BYTES"


def test_names_are_written_with_commas_between() -> None:
    assert load({"DISPATCHER_HOOKS_REQUIRED": "site-rules, extra ,"}).settings.hooks_required == ("site-rules", "extra")


@pytest.mark.parametrize(
    ("variable", "value", "attribute", "meaning"),
    [
        ("DP__LISTEN_ADDR", ":8111", "listen", ":8111"),
        ("DP__EVENTS__KAFKA__MESSAGE_MAX_BYTES", "1Mi", "message_max_bytes", 1024**2),
        ("DISPATCHER_KAFKA_MESSAGE_MAX_BYTES", "1Mi", "message_max_bytes", 1024**2),
        ("DP__EVENTS__KAFKA__ENDPOINT", "kafka:9092", "kafka_endpoint", "kafka:9092"),
        ("DISPATCHER_KAFKA_ENDPOINT", "a:1, b:2", "kafka_endpoint", "a:1, b:2"),
        ("DISPATCHER_INIT_KAFKA_RETRIES", "3", "kafka_connect_retries", 3),
        ("DP__EVENTS__KAFKA__CONNECT_RETRIES", "3", "kafka_connect_retries", 3),
        ("DP__EVENTS__GLOBAL_REPLICA_COUNT", "2", "global_replica_count", 2),
        ("DP__EVENTS__IGNORE_TOPIC_MISMATCH", "false", "ignore_topic_mismatch", False),
        ("DP__Events__Kafka__Topic_Prefix", "prod", "kafka_topic_prefix", "prod"),
        ("DP.EVENTS.SOURCES", "sources: {}", "sources_helm", "sources: {}"),
        ("DP.events.topics", "[]", "topics_yaml", "[]"),
        ("DP__EVENTS__LOST_TASKS_AFTER_MINUTES", "2", "lease_seconds", 120.0),
        ("DP__STREAMS__API_ALLOW_DELETE", "true", "allow_stream_delete", True),
        ("DP__STREAMS__LOCAL__PATH", "/srv/store", "store", "file:///srv/store"),
        ("DISPATCHER_STORE_LOCAL_PATH", "/srv/store", "store", "file:///srv/store"),
        ("DISPATCHER_LOG", "debug", "log_level", "DEBUG"),
        ("BED__LOG_LEVEL", "warn", "log_level", "WARNING"),
        ("BED.LOG_PRETTY", "false", "log_format", "json"),
    ],
)
def test_names_of_the_original(variable: str, value: str, attribute: str, meaning: object) -> None:
    loaded = load({variable: value})
    assert getattr(loaded.settings, attribute) == meaning
    assert loaded.origins == {attribute: variable}


def test_an_address_without_a_host_means_every_interface() -> None:
    assert load({"DP__LISTEN_ADDR": ":8111"}).settings.host == "0.0.0.0"
    assert load({"DISPATCHER_LISTEN": "[::1]:80"}).settings.host == "::1"


def test_double_underscores_win_over_dots_and_our_names_over_both() -> None:
    both = {"DP.EVENTS.KAFKA.TOPIC_PREFIX": "dots", "DP__EVENTS__KAFKA__TOPIC_PREFIX": "underscores"}
    loaded = load(both)
    assert loaded.settings.kafka_topic_prefix == "underscores"
    assert loaded.warnings == (
        "DP.EVENTS.KAFKA.TOPIC_PREFIX has no effect: DP__EVENTS__KAFKA__TOPIC_PREFIX says the same and comes first",
    )
    assert load(both | {"DISPATCHER_KAFKA_TOPIC_PREFIX": "ours"}).settings.kafka_topic_prefix == "ours"


def test_the_prefix_is_case_sensitive() -> None:
    assert load({"dp__events__kafka__topic_prefix": "x", "Dispatcher_Listen": "y"}) == load({})


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load({"DISPATCHER_POST_MAX_BYTES": "", "DISPATCHER_STORE_S3_ENDPOINT": ""}) == load({})


@pytest.mark.parametrize(
    ("variable", "why"),
    [
        ("DP__EVENTS__REDIS__ENDPOINT", "no Redis"),
        ("DP__EVENTS__REDIS__PASSWORD", "no Redis"),
        ("DP__EVENTS__KAFKA__NETWORK_CONNECTIONS_PER_ACTION", "no tuning"),
        ("DP__EVENTS__REPROCESS__LEGACY_JSON", "told apart by themselves"),
        ("DP__STREAMS__CACHE__SIZE_BYTES", "cache"),
        ("DP__LOG_PATH", "standard error"),
        ("DP__EVENTS__ENABLE_EXTENDED_KAFKA_METRICS", "no more metrics"),
        ("DP__NO__SUCH__KEY", "nothing is known"),
    ],
)
def test_names_without_a_meaning_here_are_told_and_change_nothing(variable: str, why: str) -> None:
    loaded = load({variable: "secret-value"})
    assert loaded.settings == Settings()
    (warning,) = loaded.warnings
    assert warning.startswith(f"{variable} has no effect: ")
    assert why in warning
    assert "secret-value" not in warning


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DISPATCHER_STORE_S3_ENDPOINT", "localhost:9000"),
        ("DISPATCHER_STORE_S3_ACCESS_KEY", "key"),
        ("DISPATCHER_STORE_S3_SECRET_KEY", "key"),
        ("DISPATCHER_STORE_S3_SECURE", "false"),
        ("DP__STREAMS__BACKEND", "s3"),
        ("DP__STREAMS__XOR_ENCODING", "true"),
        ("DP__STREAMS__AES_ENABLED", "readonly"),
    ],
)
def test_what_this_version_cannot_do_is_refused_and_never_ignored(variable: str, value: str) -> None:
    with pytest.raises(StartupError, match=f"{variable} is set, but this version"):
        load({variable: value})


def test_saying_what_is_done_anyway_is_harmless() -> None:
    assert load({"DP__STREAMS__BACKEND": "local", "DP__STREAMS__XOR_ENCODING": "false"}).settings == Settings()


def test_an_unknown_name_stops_the_start_and_gets_a_suggestion() -> None:
    with pytest.raises(StartupError, match="DISPATCHER_LISTN is not a setting: did you mean DISPATCHER_LISTEN"):
        load({"DISPATCHER_LISTN": "x"})
    with pytest.raises(StartupError, match="`dispatcher settings` prints all"):
        load({"DISPATCHER_QQQQQQ": "x"})


def test_what_kubernetes_sets_beside_a_service_called_dispatcher_is_no_mistake() -> None:
    links = {
        "DISPATCHER_SERVICE_HOST": "10.0.0.1",
        "DISPATCHER_SERVICE_PORT": "8111",
        "DISPATCHER_SERVICE_PORT_HTTP": "8111",
        "DISPATCHER_PORT": "tcp://10.0.0.1:8111",
        "DISPATCHER_PORT_8111_TCP": "tcp://10.0.0.1:8111",
        "DISPATCHER_PORT_8111_TCP_ADDR": "10.0.0.1",
    }
    assert load(links) == load({})


def test_what_clients_read_is_no_mistake_either() -> None:
    assert load({"DISPATCHER_URL": "http://localhost:8111"}) == load({})


@pytest.mark.parametrize(
    ("variable", "value", "cure"),
    [
        ("DISPATCHER_LISTEN", "8111", "write 127.0.0.1:8111"),
        ("DISPATCHER_LISTEN", "localhost:99999", "write 127.0.0.1:8111"),
        ("DISPATCHER_POST_MAX_BYTES", "3KB", "write kB"),
        ("DISPATCHER_EVENT_LOG", "kafka", "'sqlite' or 'memory'"),
        ("DISPATCHER_MAX_ATTEMPTS", "0", "greater than or equal to 1"),
        ("DISPATCHER_LEASE_SECONDS", "inf", "finite"),
        ("DISPATCHER_KAFKA_TOPIC_PREFIX", "a.b", "letters, digits"),
        ("DISPATCHER_KAFKA_ENDPOINT", "kafka", "write kafka:9092"),
        ("DISPATCHER_KAFKA_ENDPOINT", "kafka:9092,", "write kafka:9092"),
        ("DISPATCHER_STORE", "/srv/store", "write file:///srv/azul"),
        ("DP__EVENTS__LOST_TASKS_AFTER_MINUTES", "soon", "number of minutes"),
    ],
)
def test_a_wrong_value_names_the_variable_and_the_cure(variable: str, value: str, cure: str) -> None:
    with pytest.raises(StartupError) as caught:
        load({variable: value})
    assert str(caught.value).startswith(f"{variable}: ")
    assert cure in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(StartupError) as caught:
        load({"DISPATCHER_LISTN": "x", "DISPATCHER_MAX_ATTEMPTS": "none", "DISPATCHER_STORE_S3_ENDPOINT": "x"})
    assert len(str(caught.value).splitlines()) == 3


def test_the_store_defaults_to_a_folder_of_the_data_folder(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).store_url == (tmp_path / "streams").as_uri()
    assert Settings(store="memory:").store_url == "memory:"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().listen = "x"  # type: ignore[misc]
