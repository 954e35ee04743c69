"""Objects that run: started with the server, closed with it, each package alone."""

import asyncio
import logging
from types import TracebackType
from typing import Self

import pytest

from dispatcher.errors import StartupError
from dispatcher.hooks import Header, HookContext, MatchRule, Subscription, hookimpl
from dispatcher.hooks.manager import HookManager
from dispatcher.hooks.running import running


class Lasting:
    """Says what happens to it in `story`."""

    def __init__(self, name: str, story: list[str], start: object = None, end: object = None) -> None:
        self.name = name
        self._story = story
        self._start = start
        self._end = end

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        return None

    async def __aenter__(self) -> Self:
        await do(self._start)
        self._story.append(f"+{self.name}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._story.append(f"-{self.name}")
        await do(self._end)


async def do(what: object) -> None:
    if isinstance(what, Exception):
        raise what
    if what == "hang":
        await asyncio.Event().wait()


class Package:
    def __init__(self, name: str, *filters: object) -> None:
        self.name = name
        self._filters = filters

    @hookimpl
    def register_filters(self) -> tuple[object, ...]:
        return self._filters


def loaded(*packages: object, required: tuple[str, ...] = (), builtins: tuple[object, ...] = ()) -> HookManager:
    made = HookManager(HookContext(), packages=packages, required=required, builtins=builtins, entry_points=())
    made.load()
    return made


async def test_they_start_in_order_and_close_in_the_opposite_one() -> None:
    story: list[str] = []
    both = Lasting("B", story)
    manager = loaded(Package("one", Lasting("A", story), MatchRule("M", sources=("x",))), Package("two", both))
    async with running(manager):
        assert story == ["+A", "+B"]
        assert [rule.name for rule in manager.header_filters] == ["A", "M", "B"]
    assert story == ["+A", "+B", "-B", "-A"]


@pytest.mark.parametrize(
    ("start", "words"),
    [(OSError("no such folder"), "OSError: no such folder"), ("hang", "Lasting was not ready within 0.05 s")],
)
async def test_a_package_that_does_not_start_is_left_out_as_a_whole(start: object, words: str) -> None:
    story: list[str] = []
    bad = Package("bad", Lasting("A", story), Lasting("B", story, start), MatchRule("M", sources=("x",)))
    manager = loaded(bad, Package("good", Lasting("C", story)))
    async with running(manager, start_seconds=0.05):
        assert story == ["+A", "-A", "+C"]
        assert [rule.name for rule in manager.header_filters] == ["C"]
        assert [(package.error, package.objects) for package in manager.packages] == [
            (words, ()),
            ("", ("header filter C",)),
        ]
        assert list(manager.accounts) == ["good"]
    assert story[3:] == ["-C"]


async def test_the_server_does_not_start_without_a_required_one() -> None:
    story: list[str] = []
    broken = Package("bad", Lasting("A", story, ValueError("no")))
    manager = loaded(Package("good", Lasting("B", story)), broken, required=("bad",))
    with pytest.raises(StartupError, match="required hook package bad does not start: ValueError: no"):
        async with running(manager):
            pass
    assert story == ["+B", "-B"], "what had started is closed"


async def test_nor_without_one_that_stands_in_for_its_own() -> None:
    stand_in = Package("mine", Lasting("FilterSecurity", [], ValueError("no")))
    own = Package("own", MatchRule("FilterSecurity", sources=("secret",)))
    with pytest.raises(StartupError, match="in for the server's own header filter FilterSecurity"):
        async with running(loaded(stand_in, builtins=(own,))):
            pass


async def test_one_that_does_not_close_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    story: list[str] = []
    manager = loaded(
        Package("one", Lasting("A", story)),
        Package("two", Lasting("B", story, end="hang")),
        Package("three", Lasting("C", story, end=ValueError("no"))),
    )
    with caplog.at_level(logging.ERROR):
        async with running(manager, close_seconds=0.05):
            pass
    assert story[3:] == ["-C", "-B", "-A"]
    assert [record.getMessage() for record in caplog.records] == [
        "an object of hook package three did not close in order",
        "an object of hook package two did not close in order",
    ]
