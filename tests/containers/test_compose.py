"""The Compose files against the Dockerfile, the settings and each other; no Docker is needed."""

import re
from typing import Any

import pytest
from click import Context
from dispatcher_sdk.cli import serve as serve_plugin
from dispatcher_sdk.loading import load_plugin

from dispatcher.api.options import ApiOptions
from dispatcher.settings import Settings, load
from tests.containers import compose
from tests.containers.compose import environment, published, seconds, volumes
from tests.containers.dockerfile import Dockerfile
from tests.containers.test_dockerfile import project
from tests.kafka import jars

NEEDED = compose.load("docker-compose.yaml")
ALL = compose.load("docker-compose-all.yaml")
SERVICES: dict[str, dict[str, Any]] = ALL["services"]
OURS = {name for name, service in SERVICES.items() if "build" in service}


def settings(dockerfile: Dockerfile) -> Settings:
    loaded = load(dockerfile.environment("dispatcher") | environment(SERVICES["dispatcher"]))
    assert loaded.warnings == ()
    return loaded.settings


def listeners(kafka: dict[str, str], name: str) -> dict[str, tuple[str, int]]:
    """Listener → host and port."""
    parts = [re.fullmatch(r"(\w+)://([\w.]*):(\d+)", text) for text in kafka[name].split(",")]
    return {part[1]: (part[2], int(part[3])) for part in parts if part}


def test_the_services() -> None:
    assert set(NEEDED["services"]) == {"kafka", "seaweedfs"}
    assert set(SERVICES) == {*NEEDED["services"], "dispatcher", "front", "url-finder"}
    assert NEEDED["name"] == ALL["name"], "both use the same volumes"


@pytest.mark.parametrize("name", SERVICES)
def test_versions_are_pinned(name: str) -> None:
    assert re.fullmatch(r"[\w/.-]+:\d+\.\d+[\w.-]*", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_only_this_machine_reaches_it(name: str) -> None:
    assert {address for address, _ in published(SERVICES[name]).values()} <= {"127.0.0.1"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_declared(name: str) -> None:
    assert set(volumes(SERVICES[name]).values()) <= set(ALL["volumes"])
    assert {config["source"] for config in SERVICES[name].get("configs", ())} <= set(ALL["configs"])
    assert set(SERVICES[name].get("networks", ())) - {"default"} <= set(ALL.get("networks", {}))
    assert set(SERVICES[name].get("depends_on", ())) <= set(SERVICES)


@pytest.mark.parametrize("name", sorted(OURS | {"front"}))
def test_it_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "user", "cap_add"} & service.keys()


@pytest.mark.parametrize("name", sorted(OURS))
def test_it_is_built_from_the_dockerfile(name: str, dockerfile: Dockerfile) -> None:
    build = SERVICES[name]["build"]
    assert build["context"] == "."
    arguments = [line.value.partition("=")[0] for stage in dockerfile.stages.values() for line in stage.own]
    assert set(build.get("args", ())) <= set(arguments)
    assert build["target"] in dockerfile.stages
    assert SERVICES[name]["init"] is True, "somebody buries what workers leave behind"
    assert SERVICES[name]["tmpfs"] == ["/tmp"]


# ---- the dispatcher


def test_the_image_has_the_version_of_the_project() -> None:
    assert SERVICES["dispatcher"]["image"] == f"azul-dispatcher:{project('.')['version']}"
    assert SERVICES["dispatcher"]["build"]["target"] == "dispatcher"


def test_the_dispatcher_reaches_kafka(dockerfile: Dockerfile) -> None:
    kafka = environment(SERVICES["kafka"])
    advertised = listeners(kafka, "KAFKA_ADVERTISED_LISTENERS")["INSIDE"]
    assert settings(dockerfile).kafka_endpoint == ":".join(map(str, advertised))
    assert advertised[0] in SERVICES
    assert "default" in SERVICES["dispatcher"]["networks"]


def test_what_must_stay_is_on_a_volume(dockerfile: Dockerfile) -> None:
    chosen = settings(dockerfile)
    assert set(volumes(SERVICES["dispatcher"])) == {str(chosen.data_dir)}
    assert chosen.store_url.startswith(f"{chosen.data_dir.as_uri()}/")


def test_several_dispatchers_are_possible(dockerfile: Dockerfile) -> None:
    service = SERVICES["dispatcher"]
    assert not {"ports", "container_name", "hostname", "mac_address"} & service.keys()
    assert settings(dockerfile).advertised_url == "", "it would be the same for all"
    assert settings(dockerfile).kafka_endpoint


def test_it_has_time_to_stop(dockerfile: Dockerfile) -> None:
    assert seconds(SERVICES["dispatcher"]["stop_grace_period"]) > settings(dockerfile).drain_seconds + 10


# ---- the front


def test_the_front_leads_to_the_dispatchers(dockerfile: Dockerfile) -> None:
    text = ALL["configs"]["front"]["content"]
    port = settings(dockerfile).port
    assert published(SERVICES["front"]) == {8111: ("127.0.0.1", 8111)}, "as the original's README says"
    assert re.findall(r"bind :(\d+)", text) == ["8111"]
    assert re.findall(r"server-template \w+ \d+ (\S+)", text) == [f"dispatcher:{port}"]
    assert "retry-on conn-failure\n" in text, "what a dispatcher may have seen is never sent again"


def test_the_front_waits_for_long_polls_and_for_replies_under_way() -> None:
    text = ALL["configs"]["front"]["content"]
    waits = [int(found) for found in re.findall(r"timeout (?:client|server) (\d+)s", text)]
    assert len(waits) == 2
    assert min(waits) > ApiOptions().longest_deadline
    assert int(re.findall(r"hard-stop-after (\d+)s", text)[0]) < seconds(SERVICES["front"]["stop_grace_period"])


# ---- the plugin


def test_the_plugin_is_real(dockerfile: Dockerfile, monkeypatch: pytest.MonkeyPatch) -> None:
    service = SERVICES["url-finder"]
    folder = f"contrib_plugins/{service['build']['args']['PLUGIN']}"
    assert service["image"] == f"{project(folder)['name']}:{project(folder)['version']}"
    assert dockerfile.last("plugin", "ENTRYPOINT").words == ["dispatcher-sdk", "serve"]
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    with serve_plugin.make_context("serve", list(service["command"])) as context:
        assert context.params["server"] == "http://dispatcher:8111"
        assert load_plugin(context.params["plugin"]).name == "url-finder"
        assert seconds(service["stop_grace_period"]) > grace(context) + 10


def grace(context: Context) -> float:
    found: float = context.params["grace"]
    return found


def test_the_plugin_reaches_dispatchers_and_nothing_else() -> None:
    [network] = SERVICES["url-finder"]["networks"]
    assert ALL["networks"][network] == {"internal": True}
    assert {name for name, service in SERVICES.items() if network in service.get("networks", ())} == {
        "url-finder",
        "dispatcher",
    }
    assert "volumes" not in SERVICES["url-finder"]


# ---- what it needs


def test_kafka_is_the_one_that_our_tests_run_on() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{jars.VERSION}"


def test_kafka_is_reached_from_inside_and_as_the_originals_readme_says_from_the_host() -> None:
    kafka = environment(SERVICES["kafka"])
    advertised = listeners(kafka, "KAFKA_ADVERTISED_LISTENERS")
    open_at = {name: port for name, (_, port) in listeners(kafka, "KAFKA_LISTENERS").items()}
    assert advertised["HOST"] == ("localhost", 9092)
    assert published(SERVICES["kafka"]) == {open_at["HOST"]: ("127.0.0.1", 9092)}
    assert {name: port for name, (_, port) in advertised.items()} | {"CONTROLLER": 9093} == open_at
    protocols = dict(pair.split(":") for pair in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert protocols.keys() == open_at.keys()


def test_kafka_keeps_its_log_on_a_volume() -> None:
    assert list(volumes(SERVICES["kafka"])) == [environment(SERVICES["kafka"])["KAFKA_LOG_DIRS"]]


def test_s3_is_reached_from_the_host_as_the_originals_readme_says() -> None:
    service = SERVICES["seaweedfs"]
    given = dict(argument.lstrip("-").partition("=")[::2] for argument in service["command"])
    assert published(service) == {int(given["s3.port"]): ("127.0.0.1", 9000)}
    assert list(volumes(service)) == [given["dir"]]
    assert [config["target"] for config in service["configs"]] == [given["s3.config"]]
    assert given["master.telemetry"] == "false"
    for key in ("minio-root-user", "minio-root-password"):
        assert f'"{key}"' in ALL["configs"]["s3"]["content"]


def test_the_files_do_not_promise_s3_to_the_dispatcher(dockerfile: Dockerfile) -> None:
    """When the dispatcher can use it, this test goes, and the files use it."""
    assert "seaweedfs" not in SERVICES["dispatcher"]["depends_on"]
    assert not [name for name in environment(SERVICES["dispatcher"]) if "S3" in name]
