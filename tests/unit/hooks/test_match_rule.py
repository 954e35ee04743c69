"""Filters as data."""

from typing import Any

import pytest

from dispatcher.hooks import Header, MatchRule, StreamHeader, Subscription, hookimpl
from dispatcher.hooks.manager import HookManager
from dispatcher.hooks.types import HookContext

EVENT = Header(
    source="mail",
    action="extracted",
    author="unzip",
    security="TLP:RED",
    depth=3,
    streams=(StreamHeader("content", "executable/windows/pe32", 10), StreamHeader("report", "text/json", 5)),
)
CRAWLER = Subscription("crawler-7", "1", "binary")


@pytest.mark.parametrize(
    "given",
    [
        {"plugins": ("crawler-*",)},
        {"sources": ("web", "mail")},
        {"actions": ("extr*",)},
        {"authors": ("unzip",)},
        {"formats": ("text/*",)},
        {"markings": ("TLP:RED",)},
        {"deeper_than": 2},
        {"plugins": ("crawler-*",), "sources": ("mail",), "deeper_than": 2, "formats": ("executable/*",)},
    ],
)
def test_everything_given_matches(given: dict[str, Any]) -> None:
    assert MatchRule("rule", "private", **given).reject(EVENT, CRAWLER) == "private"


@pytest.mark.parametrize(
    "given",
    [
        {"plugins": ("Crawler-*",)},
        {"sources": ("web",)},
        {"actions": ("sourced",)},
        {"authors": ("user",)},
        {"formats": ("document/*",)},
        {"markings": ("",)},
        {"deeper_than": 3},
        {"plugins": ("crawler-*",), "sources": ("web",)},
    ],
)
def test_one_that_does_not_match_lets_it_pass(given: dict[str, Any]) -> None:
    assert MatchRule("rule", **given).reject(EVENT, CRAWLER) is None


@pytest.mark.parametrize("given", [{}, {"plugins": "crawler-*"}, {"deeper_than": 64}])
def test_mistakes_are_told_when_it_is_made(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^rule: "):
        MatchRule("rule", **given)


def test_it_is_registered_as_any_filter() -> None:
    class Package:
        name = "rules"

        @hookimpl
        def register_filters(self) -> list[MatchRule]:
            return [MatchRule("NoMail", plugins=("crawler-*",), sources=("mail",))]

    manager = HookManager(HookContext(), packages=[Package()], entry_points=())
    manager.load()
    assert [rule.reject(EVENT, CRAWLER) for rule in manager.header_filters] == ["matched"]
