"""Every example of the hook reference is loaded as a hook package, and does what its text says."""

import re
import sys
import types
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from dispatcher_sdk.models import BinaryEntity, BinaryEvent, Datastream, Source

from dispatcher.delivery.rules import first_rejection
from dispatcher.hooks import Header, HookContext, Notice, StreamHeader, StreamId, Subscription, Upload
from dispatcher.hooks import types as hook_types
from dispatcher.hooks.builtin import BuiltinHooks
from dispatcher.hooks.manager import HookManager
from dispatcher.hooks.options import GivenOptions
from dispatcher.hooks.specs import HOOKS
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.sources import Sources

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "hooks.md").read_text()
EXAMPLES = {
    heading.lower(): code
    for heading, code in re.findall(r"^### ([^\n]+)\n(?:(?!^##)[^\n]*\n)*?```python\n(.*?)^```$", PAGE, re.M | re.S)
}
CONTEXT = HookContext(services={"clock": lambda: 0.0, "sources": Sources(), "deletions": Deletions()})


@pytest.fixture
def load(monkeypatch):
    def load(heading, options=None, **settings):
        module = types.ModuleType("documented_hooks")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(EXAMPLES[heading], f"hooks.md, {heading}", "exec"), module.__dict__)
        manager = HookManager(
            replace(CONTEXT, settings=settings),
            builtins=[BuiltinHooks()],
            packages=[module],
            entry_points=(),
            options=GivenOptions(tree={module.__name__: options} if options else {}),
        )
        manager.load()
        assert [package.error for package in manager.packages] == ["", ""]
        return manager

    return load


@dataclass
class View:
    decoded: BinaryEvent

    def event(self):
        return self.decoded


def asked(name="reader", **what):
    return Subscription(name, "1", "binary", **what)


def test_every_example_is_tested():
    assert len(EXAMPLES) == len(re.findall(r"^```python$", PAGE, re.M))
    names = [name for name in globals() if name.startswith("test_example_")]
    assert sorted(name.removeprefix("test_example_").replace("_", " ") for name in names) == sorted(EXAMPLES)


def test_every_hook_and_object_is_explained():
    for hook in HOOKS:
        assert f"| `{hook.__name__}(context)` |" in PAGE
    for union in (hook_types.Filter, hook_types.Enricher):
        for kind in union.__args__:
            assert f"### {kind.__name__}\n" in PAGE


def test_every_filter_of_the_server_is_listed_in_its_order():
    manager = HookManager(CONTEXT, builtins=[BuiltinHooks()], entry_points=())
    manager.load()
    own = [rule.name for rule in (*manager.header_filters, *manager.event_filters)]
    listed = re.findall(r"^\| `(\w+)` \|", PAGE.partition("### The filters of the server")[2], re.M)
    assert list(dict.fromkeys(own)) == listed


def test_example_typed_options(load):
    for options, welcome in (({}, 5), ({"deepest": 3}, 3)):
        rules = load("typed options", options).header_filters
        assert first_rejection(rules, Header(depth=welcome), asked()) is None
        assert first_rejection(rules, Header(depth=welcome + 1), asked()) == "NotTooDeep-deep"


def test_example_headerfilter(load):
    rules = load("headerfilter").header_filters
    assert first_rejection(rules, Header(source="mail"), asked("crawler-7")) == "NoMailForCrawlers-private"
    assert first_rejection(rules, Header(source="web"), asked("crawler-7")) is None


def test_example_matchrule(load):
    rules = load("matchrule").header_filters
    assert first_rejection(rules, Header(source="mail"), asked("crawler-7")) == "NoMailForCrawlers-private"
    deep = Header(depth=5, streams=(StreamHeader("content", "executable/linux/elf64", 1),))
    assert first_rejection(rules, deep, asked()) == "NoDeepExecutables-matched"
    assert first_rejection(rules, deep._replace(depth=4), asked()) is None


async def test_example_eventfilter(load):
    [rule] = [rule for rule in load("eventfilter", known_good=["ab"]).event_filters if rule.name == "KnownGood"]
    assert rule.applies(asked("sandbox"))
    assert not rule.applies(asked("unpacker"))
    assert await rule.reject(View(BinaryEvent(entity=BinaryEntity(sha256="ab"))), asked("sandbox")) == "known_good"
    assert await rule.reject(View(BinaryEvent(entity=BinaryEntity(sha256="cd"))), asked("sandbox")) is None


def test_example_security_markings(load):
    rules = load("security markings").header_filters
    reader = asked(max_security="TLP:GREEN")
    assert first_rejection(rules, Header(security="TLP:CLEAR"), reader) is None
    assert first_rejection(rules, Header(security="TLP:RED"), reader) == "FilterSecurity-max_security"
    assert first_rejection(rules, Header(security="unknown"), reader) == "FilterSecurity-max_security"


async def test_example_observer(load):
    [observer] = load("observer").observers
    await observer.observe(
        [Notice("finished", 1.0, "t", plugin="yara", status="error-timeout"), Notice("published", 1.0, "t")]
    )
    assert observer._observe.__self__.seen == ["yara: error-timeout"]


async def test_example_eventenricher(load):
    [enricher] = load("eventenricher").event_enrichers
    event = BinaryEvent(source=Source(references={"submitter": "ann@red.example"}))
    await enricher.enrich(event)
    assert [(feature.name, feature.value) for feature in event.entity.features] == [("team", "red.example")]


async def test_example_uploadenricher(load, tmp_path):
    [enricher] = load("uploadenricher").upload_enrichers
    (tmp_path / "x").write_bytes(b"REC1...")
    data = Datastream()
    await enricher.enrich(Upload("web", "content", tmp_path / "x", data))
    assert (data.file_format, data.file_extension) == ("capture/recorder", "rec")


def test_example_workerenricher(load, tmp_path):
    [enricher] = [item for item in load("workerenricher").worker_enrichers if item.name == "language"]
    (tmp_path / "x").write_bytes(b"#!/bin/sh\n")
    module, _, function = enricher.function.partition(":")
    assert getattr(sys.modules[module], function)(str(tmp_path / "x"), {}) == {"language": "shell"}


async def test_example_storefactory(load, tmp_path):
    stores = load("storefactory").stores
    assert set(stores) == {"file", "memory", "shelf"}
    store = await stores["shelf"]("shelf:")
    here, there = StreamId("web", "content", "ab"), StreamId("mail", "content", "ab")
    (tmp_path / "x").write_bytes(b"0123456789")
    await store.put(here, tmp_path / "x")
    await store.copy(here, there)
    assert (await store.info(there)).size == 10
    assert [piece async for piece in store.read(there, 2, 3)] == [b"234"]
    assert await store.delete(there)
    with pytest.raises(FileNotFoundError):
        await store.copy(there, here)
