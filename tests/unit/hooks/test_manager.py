"""Loading hook packages: order, isolation, and what is reported."""

import logging
import sys
import types

import pytest

from dispatcher.errors import StartupError
from dispatcher.hooks import Header, HookContext, WorkerEnricher, hookimpl
from dispatcher.hooks.manager import HookManager


class Rule:
    def __init__(self, name, verdict=None):
        self.name = name
        self.verdict = verdict

    def reject(self, header, subscription):
        return self.verdict


class Watcher(Rule):
    def applies(self, subscription):
        return True

    async def reject(self, view, subscription):
        return None


class Tagger:
    name = "tagger"

    async def enrich(self, event):
        pass


class Inspector:
    name = "inspector"

    async def enrich(self, upload):
        pass


async def open_store(url):
    raise NotImplementedError


def package(name, *filters, **marker):
    """A package, given as an object, that registers these filters."""

    class Package:
        @hookimpl(**marker)
        def register_filters(self, context):
            return filters

    made = Package()
    made.name = name
    return made


def broken(name, error):
    class Package:
        @hookimpl
        def register_filters(self, context):
            raise error

    made = Package()
    made.name = name
    return made


def manager(*packages, context=None, entry_points=(), **options):
    made = HookManager(context or HookContext(), packages=packages, entry_points=entry_points, **options)
    made.load()
    return made


def rules(made):
    return [rule.name for rule in made.header_filters]


def errors(made):
    return {package.name: package.error for package in made.packages if package.error}


def test_everything_a_package_registers_arrives_where_it_belongs():
    class Package:
        name = "all-of-it"
        __version__ = "2.1"

        @hookimpl
        def register_filters(self, context):
            yield Rule("rule")
            yield Watcher("watcher")

        @hookimpl
        def register_enrichers(self):
            return [Inspector(), WorkerEnricher("worker", "a:b"), Tagger()]

        @hookimpl
        def register_stores(self, context):
            return {"s3": open_store}

    made = manager(Package())
    assert rules(made) == ["rule"]
    assert [item.name for item in made.event_filters] == ["watcher"]
    assert [item.name for item in made.event_enrichers] == ["tagger"]
    assert [item.name for item in made.upload_enrichers] == ["inspector"]
    assert [item.name for item in made.worker_enrichers] == ["worker"]
    assert list(made.stores) == ["s3"]
    [listed] = made.packages
    assert (listed.name, listed.version, listed.error) == ("all-of-it", "2.1", "")
    assert listed.hooks == ("register_enrichers", "register_filters", "register_stores")
    assert "header filter rule" in listed.objects
    assert "store s3" in listed.objects


def test_a_package_gets_the_context():
    seen = []

    class Package:
        @hookimpl
        def register_filters(self, context):
            seen.append(context.settings["level"])
            return []

    manager(Package(), context=HookContext(settings={"level": 3}))
    assert seen == [3]


def test_order():
    made = manager(
        package("last", Rule("last"), trylast=True),
        package("first", Rule("first"), tryfirst=True),
        package("one", Rule("one"), Rule("one-b")),
        package("two", Rule("two")),
        builtins=[package("own", Rule("own"))],
    )
    assert rules(made) == ["first", "own", "one", "one-b", "two", "last"]
    assert [item.name for item in made.packages] == ["own", "last", "first", "one", "two"]


@pytest.mark.parametrize("error", [RuntimeError("no licence"), SystemExit("bye"), KeyError("x")])
def test_a_package_that_fails_is_skipped_and_reported(error, caplog):
    made = manager(package("before", Rule("before")), broken("broken", error), package("after", Rule("after")))
    assert rules(made) == ["before", "after"]
    assert errors(made) == {"broken": f"{type(error).__name__}: {error}"}
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "hook package broken is skipped" in record.message
    assert record.exc_info


def test_a_package_with_one_wrong_object_registers_nothing():
    class Package:
        name = "half"

        @hookimpl
        def register_filters(self, context):
            return [Rule("good")]

        @hookimpl
        def register_enrichers(self, context):
            return [object()]

    made = manager(Package())
    assert rules(made) == []
    assert "has the name None" in errors(made)["half"]
    assert made.packages[0].objects == ()


def test_a_misspelt_hook_is_refused_before_anything_of_the_package_is_called():
    called = []

    class Package:
        name = "typo"

        @hookimpl
        def register_filters(self, context):
            called.append("filters")
            return []

        @hookimpl
        def register_store(self, context):
            return {}

    assert errors(manager(Package())) == {"typo": "there is no hook register_store: did you mean register_stores?"}
    assert called == []


def test_a_required_package_that_fails_stops_the_start():
    with pytest.raises(StartupError, match="broken: RuntimeError: no licence"):
        manager(broken("broken", RuntimeError("no licence")), package("good"), required=["broken", "good"])


def test_a_required_package_that_is_missing_stops_the_start():
    with pytest.raises(StartupError, match="absent is not installed"):
        manager(package("present"), required=["absent"])


def test_the_builtin_ones_are_required():
    with pytest.raises(StartupError, match="own: RuntimeError: oh"):
        manager(builtins=[broken("own", RuntimeError("oh"))])


def test_a_name_is_taken_once():
    made = manager(
        package("one", Rule("same")), package("two", Rule("same"), Rule("other")), package("three", Rule("x"))
    )
    assert rules(made) == ["same", "x"]
    assert errors(made) == {"two": "the header filter same is registered already, by one"}


def test_a_name_twice_in_one_package():
    assert "registers two header filters named same" in errors(manager(package("p", Rule("same"), Rule("same"))))["p"]


def test_a_header_filter_and_an_event_filter_may_share_a_name():
    made = manager(package("p", Rule("same"), Watcher("same")))
    assert errors(made) == {}
    assert [rules(made), [item.name for item in made.event_filters]] == [["same"], ["same"]]


@pytest.mark.parametrize("marker", [{}, {"tryfirst": True}, {"trylast": True}])
def test_a_package_may_stand_in_for_one_builtin_object(marker):
    own = package("own", Rule("before"), Rule("FilterSecurity"), Rule("after"))
    ladder = Rule("FilterSecurity", verdict="secret")
    made = manager(package("markings", ladder, **marker), builtins=[own])
    assert [rule.reject(Header(), None) for rule in made.header_filters if rule.name == "FilterSecurity"] == ["secret"]
    assert sorted(rules(made)) == sorted(["before", "FilterSecurity", "after"])
    assert {item.name: item.replaces for item in made.packages} == {
        "own": (),
        "markings": ("header filter FilterSecurity",),
    }
    if marker != {"tryfirst": True}:
        assert rules(made) == ["before", "FilterSecurity", "after"]


def test_only_one_package_may_stand_in():
    made = manager(
        package("one", Rule("FilterSecurity")),
        package("two", Rule("FilterSecurity")),
        builtins=[package("own", Rule("FilterSecurity"))],
    )
    assert errors(made) == {"two": "the header filter FilterSecurity is registered already, by one"}


def test_a_builtin_object_stays_when_its_stand_in_fails():
    own = Rule("FilterSecurity")
    made = manager(package("one", Rule("FilterSecurity"), object()), builtins=[package("own", own)])
    assert made.header_filters == (own,)


def test_a_store_scheme_is_never_taken_over():
    class Package:
        def __init__(self, name):
            self.name = name

        @hookimpl
        def register_stores(self, context):
            return {"file": open_store}

    made = manager(Package("other"), builtins=[Package("own")])
    assert errors(made) == {"other": "the store file is registered already, by own"}


def test_the_same_package_twice():
    one = package("one", Rule("a"))
    made = manager(one, one, package("one", Rule("b")))
    assert [item.error for item in made.packages] == [
        "",
        "is the same as one, which is loaded already",
        "another hook package of this name is loaded already",
    ]
    assert rules(made) == ["a"]


def test_modules():
    module = types.ModuleType("site_hooks")
    module.__version__ = "3"
    module.register_filters = hookimpl(lambda context: [Rule("from-module")])
    module.helper = lambda: None
    made = manager(module)
    assert rules(made) == ["from-module"]
    assert (made.packages[0].name, made.packages[0].version) == ("site_hooks", "3")


def install(folder, name, version, code):
    """What pip leaves behind: a module and its metadata with an entry point."""
    (folder / f"{name}.py").write_text(code)
    metadata = folder / f"{name}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(f"[dispatcher.hooks]\n{name} = {name}\n")


GOOD = """
from dispatcher.hooks import hookimpl

class Rule:
    name = __name__
    def reject(self, header, subscription):
        return None

@hookimpl
def register_filters(context):
    return [Rule()]
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("hookpkg_"):
            del sys.modules[name]


def test_installed_packages_are_found_each_on_its_own(site):
    install(site, "hookpkg_b", "1.0", GOOD)
    install(site, "hookpkg_a", "2.0", GOOD)
    install(site, "hookpkg_c", "3.0", "import not_there_at_all")
    install(site, "hookpkg_d", "4.0", "raise SystemExit(3)")
    made = manager(package("by-hand", Rule("by-hand")), entry_points=None)
    others = {thing.partition(" filter ")[2] for item in made.packages for thing in item.objects}
    others -= {"hookpkg_a", "hookpkg_b", "by-hand"}  # of packages that happen to be installed here
    assert [rule for rule in rules(made) if rule not in others] == ["hookpkg_a", "hookpkg_b", "by-hand"]
    ours = [item for item in made.packages if item.name.startswith("hookpkg_")]
    assert [(item.name, item.version, item.error.partition(":")[0]) for item in ours] == [
        ("hookpkg_a", "2.0", ""),
        ("hookpkg_b", "1.0", ""),
        ("hookpkg_c", "3.0", "ModuleNotFoundError"),
        ("hookpkg_d", "4.0", "SystemExit"),
    ]


def test_an_installed_package_may_be_required(site):
    install(site, "hookpkg_e", "1.0", "import not_there_at_all")
    with pytest.raises(StartupError, match="hookpkg_e: ModuleNotFoundError"):
        manager(entry_points=None, required=["hookpkg_e"])
