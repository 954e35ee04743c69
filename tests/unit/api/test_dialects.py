from typing import Any

import pytest

from dispatcher.api.dialects import FetchRequest, parse_fetch
from dispatcher.api.options import ApiOptions
from dispatcher.errors import Unprocessable
from dispatcher.hooks.types import StreamWant


def parse(query: str, model: str = "binary", task: bool = False, accept: str = "") -> FetchRequest:
    return parse_fetch(ApiOptions(), model, query, task, accept)


def wanted(query: str, model: str = "binary") -> Any:
    return parse(query, model).subscription


def flow(query: str, model: str = "binary") -> str:
    found = wanted(query, model)
    return "".join(letter for letter, on in zip("ELH", (found.expedite, found.live, found.historic), strict=True) if on)


def detail(query: str, model: str = "binary") -> str:
    with pytest.raises(Unprocessable) as caught:
        parse(query, model)
    assert caught.value.title == "bad parameters"
    return caught.value.detail


class TestCurrentDialect:
    def test_everything_an_unmodified_runner_sends(self) -> None:
        got = parse(
            "name=plug&version=1.0&count=1&deadline=10&deployment_key=plug&r-expedite=true&r-live=true&r-historic=true"
            "&r-under-content-size=209715200&r-action=sourced&r-action=extracted&r-streams=content,text/,image/png"
            "&d-self=true&max-security=OFFICIAL",
            task=True,
        )
        it = got.subscription
        assert (it.name, it.version, it.model, it.task) == ("plug", "1.0", "binary", True)
        assert (it.expedite, it.live, it.historic) == (True, True, True)
        assert it.under_size == 209715200
        assert it.actions == ("sourced", "extracted")
        assert it.streams == (StreamWant("content", ("text/", "image/png")),)
        assert (it.deny_self, it.max_security, it.deployment_key) == (True, "OFFICIAL", "plug")
        assert (got.count, got.deadline, got.reply, got.avro, got.reset) == (1, 10.0, "multipart", False, False)

    def test_is_task_is_never_looked_at(self) -> None:
        assert parse("r-live=1&is-task=rubbish", task=False).subscription.task is False

    def test_at_least_one_subscription(self) -> None:
        assert "at least one" in detail("r-live=false")
        assert "at least one" in detail("deadline=5&deployment_key=x")
        assert "at least one" in detail("name=x&r-source=a")

    def test_expedite_is_for_binaries(self) -> None:
        assert detail("r-expedite=true&r-live=true", "status").startswith("bad parameter for r-expedite: ")
        assert flow("r-expedite=false&r-live=true", "status") == "L"

    @pytest.mark.parametrize(
        ("text", "count"), [("", 1), ("0", 1), ("-3", 1), ("17", 17), ("1000", 1000), ("5000", 1000)]
    )
    def test_count(self, text: str, count: int) -> None:
        assert parse(f"r-live=1&count={text}").count == count

    @pytest.mark.parametrize(
        ("text", "seconds"), [("", 5), ("0", 0), ("-7", 0), ("30", 30), ("301", 300), ("9000000000", 300)]
    )
    def test_deadline(self, text: str, seconds: int) -> None:
        assert parse(f"r-live=1&deadline={text}").deadline == seconds

    def test_sizes(self) -> None:
        it = wanted("r-live=1&r-under-content-size=20&r-over-content-size=10")
        assert (it.under_size, it.over_size) == (20, 10)
        assert wanted("r-live=1&r-under-content-size=-1&r-over-content-size=-5").over_size == 0
        assert wanted("r-live=1&r-over-content-size=10").over_size == 10
        assert "r-over-content-size" in detail("r-live=1&r-under-content-size=20&r-over-content-size=21")

    def test_content(self) -> None:
        it = wanted("r-live=1&r-content=true")
        assert it.actions == ("sourced", "extracted")
        assert it.require_content
        assert "r-content" in detail("r-live=1&r-content=true&r-action=mapped")
        assert "r-content" in detail("r-live=1&r-content=true&d-action=mapped")

    def test_actions_are_known_and_named_by_their_own_parameter(self) -> None:
        assert detail("r-live=1&r-action=eaten").startswith("bad parameter for r-action: ")
        assert detail("r-live=1&d-action=eaten").startswith("bad parameter for d-action: ")
        assert detail("r-live=1&r-action=sourced,mapped").startswith("bad parameter for r-action: ")

    def test_streams(self) -> None:
        it = wanted("r-live=1&r-streams=*,image/,,&r-streams=text&r-streams=*,pdf&r-streams=,,")
        assert it.streams == (StreamWant("*", ("pdf",)), StreamWant("text"))
        again = wanted("r-live=1&r-streams=text,a&r-streams=text,b&r-streams=text,a")
        assert again.streams == (StreamWant("text", ("a",)),)

    def test_sources_are_not_split(self) -> None:
        assert wanted("r-live=1&r-source=a,b&r-source=c&r-source=c").sources == ("a,b", "c")

    def test_the_first_fault_wins(self) -> None:
        faults = [
            "avro-format=no",
            "r-expedite=no",
            "r-live=no",
            "r-historic=no",
            "count=no",
            "deadline=no",
            "r-under-content-size=no",
            "r-content=no",
            "r-action=no",
            "d-self=no",
            "reset=no",
            "debug=no",
        ]
        while faults:
            good = "" if any(fault.startswith("r-historic") for fault in faults) else "r-live=1&"
            first = faults[0].partition("=")[0]
            assert detail(good + "&".join(reversed(faults))).startswith(f"bad parameter for {first}: ")
            faults.pop(0)

    @pytest.mark.parametrize("model", ["", "binaries", "Binary", "../binary", "a\r\nb", "x" * 5000])
    def test_unknown_model(self, model: str) -> None:
        assert detail("r-live=1&count=no", model).startswith("bad parameter for model: ")


class TestReadmeDialect:
    def test_subscribes_by_default(self) -> None:
        assert flow("name=mytest&version=1.0") == "ELH"
        assert flow("name=mytest&version=1.0&count=5&debug=true&reset=true") == "ELH"
        assert flow("") == "ELH"

    def test_ignore_historic(self) -> None:
        assert flow("ignore-historic=true") == "EL"
        assert flow("ignore-historic=false") == "ELH"
        assert flow("ignore-historic=true", "status") == "L"
        assert flow("ignore-historic=false", "status") == "H"
        assert flow("name=x", "plugin") == "H"
        assert detail("ignore-historic=maybe").startswith("bad parameter for ignore-historic: ")

    def test_every_flag_translates(self) -> None:
        got = parse(
            "timeout=9&f-max-content-size=20&f-min-content-size=10&f-self=true"
            "&f-allow-event-type=binary_sourced,extracted&f-allow-event-type=mapped&f-deny-event-type=binary_mapped"
            "&f-data-type=content,executable/windows/pe32,executable/windows/dll32&filter=source.name"
        )
        it = got.subscription
        assert got.deadline == 9
        assert (it.under_size, it.over_size, it.deny_self) == (20, 10, True)
        assert it.actions == ("sourced", "extracted", "mapped")
        assert it.deny_actions == ("mapped",)
        assert it.streams == (StreamWant("content", ("executable/windows/pe32", "executable/windows/dll32")),)
        assert it.gjson == ("source.name",)

    def test_requires_data(self) -> None:
        it = wanted("requires-data=true")
        assert it.require_content
        assert it.actions == ("sourced", "extracted", "augmented")
        assert wanted("requires-data=true&f-allow-event-type=extracted,mapped").actions == ("extracted",)
        nothing = wanted("requires-data=true&f-allow-event-type=enriched")
        assert (nothing.actions, nothing.require_content) == (("enriched",), True)
        assert wanted("requires-data=true&f-deny-event-type=augmented").deny_actions == ("augmented",)

    @pytest.mark.parametrize("key", ["f-allow-event-type", "f-deny-event-type"])
    def test_a_fault_is_named_as_it_was_sent(self, key: str) -> None:
        assert detail(f"{key}=binary_eaten").startswith(f"bad parameter for {key}: ")

    @pytest.mark.parametrize("path", ["a.%23(x", "a..b", "a.", "@nothing", "a%5C", "%5B1", "%23(" * 300, "a" * 1025])
    def test_malformed_gjson(self, path: str) -> None:
        assert detail(f"filter={path}").startswith("bad parameter for filter: ")

    def test_many_gjson_paths(self) -> None:
        assert wanted("filter=a&filter=b.c&filter=a").gjson == ("a", "b.c")
        assert "filter" in detail("&".join(f"filter=a{n}" for n in range(40)))


class TestTellingApart:
    def test_a_flow_key_alone_decides(self) -> None:
        assert flow("r-live=true&f-self=true&ignore-historic=false") == "L"
        assert wanted("r-live=true&f-self=true").deny_self

    def test_both_kinds_without_a_flow_key(self) -> None:
        got = parse("f-self=true&deadline=3&timeout=9&deployment_key=k")
        assert flow("f-self=true&deadline=3") == "ELH"
        assert (got.deadline, got.subscription.deny_self, got.subscription.deployment_key) == (3, True, "k")
        assert got.reply == "json"

    def test_current_names_override(self) -> None:
        it = wanted(
            "f-max-content-size=5&r-under-content-size=7&f-self=true&d-self=false&f-allow-event-type=mapped"
            "&r-action=sourced"
        )
        assert (it.under_size, it.deny_self, it.actions) == (7, False, ("sourced",))


class TestReply:
    @pytest.mark.parametrize(
        ("query", "accept", "reply"),
        [
            ("r-live=1", "", "multipart"),
            ("r-live=1", "*/*", "multipart"),
            ("name=x", "*/*", "json"),
            ("r-live=1", "application/json", "json"),
            ("r-live=1", "text/html, Application/JSON;q=0.9", "json"),
            ("name=x", "multipart/form-data", "multipart"),
            ("r-live=1", "multipart/form-data, application/json", "multipart"),
            ("r-live=1&avro-format=true", "application/json", "multipart"),
        ],
    )
    def test_shape(self, query: str, accept: str, reply: str) -> None:
        assert parse(query, accept=accept).reply == reply


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("10", 10.0), ("90", 90.0), ("86400", 86400.0)])
def test_lease(text: str, seconds: float | None) -> None:
    assert parse(f"r-live=1&lease={text}", task=True).lease_seconds == seconds


@pytest.mark.parametrize("text", ["9", "0", "-1", "86401", "ten", "90.5"])
def test_lease_out_of_bounds(text: str) -> None:
    assert detail(f"r-live=1&lease={text}").startswith("bad parameter for lease: ")


@pytest.mark.parametrize(
    "key", ["name", "version", "deployment_key", "max-security", "r-source", "r-streams", "filter"]
)
@pytest.mark.parametrize("value", ["a%00", "a%0d%0ab", "x" * 2000])
def test_hostile_text(key: str, value: str) -> None:
    assert detail(f"r-live=1&{key}={value}").startswith(f"bad parameter for {key}: ")
