"""What hooks return is looked at before anything runs."""

import functools

import pytest

from dispatcher.hooks import EventEnricher, UploadEnricher, WorkerEnricher, objects
from dispatcher.hooks.checks import Refused


class Rule:
    name = "Rule"

    def reject(self, header, subscription):
        return None


class Watcher:
    name = "Watcher"

    def applies(self, subscription):
        return True

    async def reject(self, view, subscription):
        return None


class Tagger:
    name = "Tagger"

    async def enrich(self, event):
        pass


class Inspector:
    name = "Inspector"

    async def enrich(self, upload):
        pass


def changed(base, **members):
    return type("Changed", (base,), members)()


def kinds(found):
    return [(kind, name) for kind, name, _ in found]


def complaint(read, returned):
    with pytest.raises(Refused) as refused:
        read(returned)
    return str(refused.value)


def test_filters_are_told_apart():
    found = objects.filters(iter([Rule(), Watcher()]))
    assert kinds(found) == [("header filter", "Rule"), ("event filter", "Watcher")]


def test_enrichers_are_told_apart():
    worker = WorkerEnricher("Entropy", "entropy.worker:measure")
    found = objects.enrichers([Tagger(), Inspector(), worker])
    assert kinds(found) == [
        ("event enricher", "Tagger"),
        ("upload enricher", "Inspector"),
        ("worker enricher", "Entropy"),
    ]


@pytest.mark.parametrize(("base", "kind"), [(EventEnricher, "event enricher"), (UploadEnricher, "upload enricher")])
def test_a_base_class_says_the_kind_whatever_the_argument_is_called(base, kind):
    async def enrich(self, it):
        pass

    mine = type("Mine", (base,), {"name": "Mine", "enrich": enrich})()
    assert kinds(objects.enrichers([mine])) == [(kind, "Mine")]


def test_decorated_async_methods_count_as_async():
    @functools.wraps(Watcher.reject)
    def counted(self, view, subscription):
        return Watcher.reject(self, view, subscription)

    assert objects.filters([changed(Watcher, reject=counted)])


async def _async_reject(self, view, subscription):
    return None


def _plain_reject(self, view, subscription):
    return None


def _plain_enrich(self, event):
    return None


@pytest.mark.parametrize(
    ("item", "cure"),
    [
        (changed(Watcher, reject=_plain_reject), "Watcher.reject must be async: write `async def`; or remove applies"),
        (changed(Rule, reject=_async_reject), "Rule.reject must be a plain function: write `def`, not `async def`"),
        (changed(Rule, reject=_async_reject), "is an EventFilter and also has applies(subscription)"),
        (changed(Watcher, applies=_async_reject), "Watcher.applies cannot be called with (subscription)"),
        (changed(Rule, reject=lambda self, header: None), "Rule.reject cannot be called with (header, subscription)"),
        (changed(Rule, reject="no"), "Rule.reject is missing"),
        (changed(object, name="Empty"), "Empty.reject is missing: it is a function of (header, subscription)"),
        (Rule, "Rule is a class: register an instance, Rule()"),
        (changed(Rule, name=""), "has the name ''"),
        (changed(Rule, name=None), "has the name None"),
        (changed(Rule, name="two words"), "has the name 'two words'"),
        (changed(Rule, name="x" * 101), "a name has letters, digits"),
        (object(), "has the name None"),
    ],
)
def test_a_filter_that_could_not_run(item, cure):
    assert cure in complaint(objects.filters, [item])


@pytest.mark.parametrize(
    ("item", "cure"),
    [
        (changed(Tagger, enrich=_plain_enrich), "Tagger.enrich must be async: write `async def`"),
        (changed(Tagger, enrich=_async_reject), "Tagger is no enricher: it needs `async def enrich(self, event)`"),
        (changed(object, name="Empty"), "Empty is no enricher"),
        (WorkerEnricher("", "a:b"), "has the name ''"),
        (WorkerEnricher("W", "a.b.c"), "not of the form 'package.module:name'"),
        (WorkerEnricher("W", "a:b", timeout=0), "must be a number of seconds above 0"),
        (WorkerEnricher("W", "a:b", timeout=float("nan")), "must be a number of seconds above 0"),
    ],
)
def test_an_enricher_that_could_not_run(item, cure):
    assert cure in complaint(objects.enrichers, [item])


@pytest.mark.parametrize("returned", [None, 5, "Rule", b"", {}])
def test_a_hook_that_returns_no_list(returned):
    assert "return a list of objects" in complaint(objects.filters, returned)
    assert "return a list of objects" in complaint(objects.enrichers, returned)


async def open_store(url):
    raise NotImplementedError


def test_stores():
    opened_with_options = functools.partial(lambda *a, **k: None)
    assert kinds(objects.stores({"s3": open_store})) == [("store", "s3")]
    assert kinds(objects.stores({"s3": functools.partial(open_store)})) == [("store", "s3")]
    assert "return a dict" in complaint(objects.stores, [open_store])
    assert "is no URL scheme" in complaint(objects.stores, {"S3://": open_store})
    assert "must be async" in complaint(objects.stores, {"s3": opened_with_options})
    assert "is missing" in complaint(objects.stores, {"s3": None})
