"""Options of hook packages: typed, from variables or YAML, refused with a cure."""

import logging
from collections.abc import Mapping

import pytest
from pydantic import BaseModel, Field, SecretStr

from dispatcher.errors import StartupError
from dispatcher.hooks import HookContext, hookimpl
from dispatcher.hooks.manager import HookManager
from dispatcher.hooks.options import GivenOptions


class Limits(BaseModel):
    url: str
    most: int = Field(10, gt=0)
    sources: list[str] = []
    token: SecretStr = SecretStr("")


class Package:
    Options = Limits

    def __init__(self, name: str = "my-hooks") -> None:
        self.name = name
        self.seen: Limits

    @hookimpl
    def register_filters(self, context: HookContext) -> list[object]:
        self.seen = context.options
        return []


class Plain:
    name = "plain"

    @hookimpl
    def register_filters(self) -> list[object]:
        return []


def loaded(*packages: object, text: str = "", **variables: str) -> HookManager:
    made = HookManager(
        HookContext(),
        packages=packages,
        entry_points=(),
        options=GivenOptions.of({f"DISPATCHER_HOOK_{name}": value for name, value in variables.items()}, text),
    )
    made.load()
    return made


def error(*packages: object, text: str = "", **variables: str) -> str:
    return loaded(*packages, text=text, **variables).packages[-1].error


def test_yaml_and_variables_are_one_and_variables_come_first() -> None:
    package = Package()
    text = "my-hooks:\n  url: http://a\n  most: 3\n  sources: [lab, web]\n"
    loaded(package, text=text, MY_HOOKS_MOST="7", MY_HOOKS_TOKEN="s3cret")
    assert (package.seen.url, package.seen.most, package.seen.sources) == ("http://a", 7, ["lab", "web"])
    assert package.seen.token.get_secret_value() == "s3cret"


def test_a_variable_of_a_list_is_yaml() -> None:
    package = Package()
    loaded(package, MY_HOOKS_URL="x", MY_HOOKS_SOURCES="[a, b]")
    assert package.seen.sources == ["a", "b"]


def test_secrets_are_masked_where_people_look() -> None:
    (package,) = loaded(Package(), MY_HOOKS_URL="x", MY_HOOKS_TOKEN="s3cret").packages
    assert package.options == {"url": "x", "most": 10, "sources": [], "token": "***"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "DISPATCHER_HOOK_MY_HOOKS_URL: Field required"),
        ({"URL": "x", "MOST": "many"}, "DISPATCHER_HOOK_MY_HOOKS_MOST: Input should be a valid integer"),
        ({"URL": "x", "MOST": "0"}, "DISPATCHER_HOOK_MY_HOOKS_MOST: Input should be greater than 0"),
        ({"URL": "x", "MOTS": "3"}, "DISPATCHER_HOOK_MY_HOOKS_MOTS: no such option: did you mean most?"),
    ],
)
def test_a_mistake_is_told_with_its_variable(variables: Mapping[str, str], said: str) -> None:
    assert said in error(Package(), **{f"MY_HOOKS_{name}": value for name, value in variables.items()})


def test_a_secret_is_in_no_message() -> None:
    class Numbers(BaseModel):
        pin: int

    class Pins(Plain):
        Options = Numbers

    assert "s3cret" not in error(Pins(), PLAIN_PIN="s3cret")


def test_options_of_a_package_that_has_none() -> None:
    assert error(Plain(), PLAIN_LEVEL="3") == "it has no options, but DISPATCHER_HOOK_PLAIN_LEVEL is set"


def test_a_model_that_is_none() -> None:
    class Wrong(Plain):
        Options = {"level": 3}  # noqa: RUF012

    assert "must be a pydantic model" in error(Wrong())


def test_the_longer_name_has_the_variable() -> None:
    short, long = Package("yara"), Package("yara_tagger")
    loaded(short, long, YARA_URL="a", YARA_TAGGER_URL="b")
    assert (short.seen.url, long.seen.url) == ("a", "b")


@pytest.mark.parametrize(
    ("text", "variables", "said"),
    [
        ("", {"MY_HOKS_URL": "x"}, "DISPATCHER_HOOK_MY_HOKS_URL is set, and no hook package has such a name"),
        ("other: {a: 1}", {}, "DISPATCHER_HOOKS_OPTIONS has options of other, and there is no such hook package"),
        ("[a", {}, "DISPATCHER_HOOKS_OPTIONS is no YAML"),
        ("just text", {}, "write packages, and below each its options"),
    ],
)
def test_what_nobody_reads_stops_the_start(text: str, variables: Mapping[str, str], said: str) -> None:
    with pytest.raises(StartupError, match=said):
        loaded(Package(), text=text, MY_HOOKS_URL="x", **variables)


def test_one_package_with_wrong_options_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    good = Package("good")
    with caplog.at_level(logging.ERROR):
        manager = loaded(Package("bad"), good, GOOD_URL="x", BAD_MOST="1")
    assert [bool(package.error) for package in manager.packages] == [True, False]
    assert good.seen.url == "x"
    assert "DISPATCHER_HOOK_BAD_URL: Field required" in caplog.text
