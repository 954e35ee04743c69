"""The header rules, case by case as wire contract 4.2 tells them."""

import pytest

from dispatcher.delivery.rules import FilterConsumerRules, FilterSecurity, FilterTooDeep, first_rejection
from dispatcher.hooks.header import Header, StreamHeader
from dispatcher.hooks.types import StreamWant, Subscription

CONTENT = StreamHeader("content", "executable/windows/pe32", 1000)
PNG = StreamHeader("safe_png", "image/png", 50)


def asked(model="binary", **what):
    return Subscription("unpacker", "1.0", model, **what)


def verdict(header, **what):
    return FilterConsumerRules().reject(header, asked(**what))


def wants(*texts):
    return tuple(StreamWant(label, tuple(formats)) for label, *formats in (text.split(",") for text in texts))


@pytest.mark.parametrize(("task", "deepest"), [(True, 10), (False, 11)])
def test_the_deepest_event_of_each_kind_passes_and_the_next_does_not(task, deepest):
    rule = FilterTooDeep()
    assert rule.reject(Header(depth=deepest), asked(task=task)) is None
    assert rule.reject(Header(depth=deepest + 1), asked(task=task)) == "too_deep"


@pytest.mark.parametrize("model", ["status", "download", "insert", "delete", "plugin", "retrohunt"])
def test_depth_is_judged_for_binary_events_only(model):
    assert FilterTooDeep().reject(Header(depth=99), asked(model)) is None


@pytest.mark.parametrize("model", ["binary", "download"])
def test_without_an_authority_only_the_same_marking_passes(model):
    rule = FilterSecurity()
    assert rule.reject(Header(security="TLP:GREEN"), asked(model, max_security="TLP:GREEN")) is None
    assert rule.reject(Header(security="TLP:CLEAR"), asked(model, max_security="TLP:GREEN")) == "max_security"
    assert rule.reject(Header(security=""), asked(model, max_security="TLP:GREEN")) is None
    assert rule.reject(Header(security="TLP:RED"), asked(model)) is None


def test_security_is_not_judged_for_other_models():
    assert FilterSecurity().reject(Header(security="TLP:RED"), asked("status", max_security="TLP:CLEAR")) is None


def test_an_authority_decides_and_its_failure_is_a_no():
    ladder = ("TLP:CLEAR", "TLP:GREEN", "TLP:RED")
    rule = FilterSecurity(lambda limit, marking: ladder.index(marking) <= ladder.index(limit))
    subscriber = asked(max_security="TLP:GREEN")
    assert rule.reject(Header(security="TLP:CLEAR"), subscriber) is None
    assert rule.reject(Header(security="TLP:RED"), subscriber) == "max_security"
    assert rule.reject(Header(security="unheard of"), subscriber) == "max_security"


def test_an_authority_that_answers_anything_but_true_has_said_no():
    rule = FilterSecurity(lambda limit, marking: "allowed")  # type: ignore[return-value,arg-type]
    assert rule.reject(Header(security="x"), asked(max_security="x")) == "max_security"


@pytest.mark.parametrize("model", ["binary", "status"])
def test_source_then_wanted_then_denied_action_then_self(model):
    header = Header(source="web", action="extracted", author="unpacker", streams=(CONTENT,))
    everything_wrong = {
        "sources": ("mail",),
        "actions": ("sourced",),
        "deny_actions": ("extracted",),
        "deny_self": True,
    }
    assert verdict(header, model=model, **everything_wrong) == "reject_source"
    everything_wrong["sources"] = ("mail", "web")
    assert verdict(header, model=model, **everything_wrong) == "reject_event_type"
    everything_wrong["actions"] = ()
    assert verdict(header, model=model, **everything_wrong) == "reject_event_type"
    everything_wrong["deny_actions"] = ("sourced",)
    assert verdict(header, model=model, **everything_wrong) == "reject_self"
    everything_wrong["deny_self"] = False
    assert verdict(header, model=model, **everything_wrong) is None


@pytest.mark.parametrize("model", ["download", "insert", "delete", "plugin", "retrohunt"])
def test_other_models_are_not_judged_at_all(model):
    header = Header(source="web", action="requested", author="unpacker")
    assert verdict(header, model=model, sources=("mail",), deny_self=True, require_content=True, over_size=5) is None


def test_a_status_is_not_judged_by_the_streams_of_its_input():
    header = Header(source="web", action="sourced", streams=(PNG,))
    assert verdict(header, model="status", under_size=1, require_content=True, streams=wants("text")) is None


@pytest.mark.parametrize(
    ("under", "over", "reason"),
    [
        (1000, 0, None),
        (999, 0, "reject_content_too_large"),
        (0, 1000, None),
        (0, 1001, "reject_content_too_small"),
        (1000, 1000, None),
        (-5, -5, None),
        (1, 2000, "reject_content_too_large"),
    ],
)
def test_sizes_are_inclusive(under, over, reason):
    assert verdict(Header(streams=(CONTENT,)), under_size=under, over_size=over) == reason


def test_only_content_is_measured_and_a_bound_needs_content():
    assert verdict(Header(streams=(CONTENT, PNG)), over_size=1000) is None
    assert verdict(Header(streams=(PNG,)), over_size=1) == "reject_no_content"
    assert verdict(Header(), under_size=10**9) == "reject_no_content"


def test_required_content():
    assert verdict(Header(streams=(CONTENT,)), require_content=True) is None
    assert verdict(Header(action="enriched"), require_content=True) == "reject_no_content"


@pytest.mark.parametrize(
    ("streams", "asked_for", "reason"),
    [
        ((CONTENT,), ("content",), None),
        ((CONTENT, PNG), ("content",), "reject_stream"),  # every stream must be welcome
        ((CONTENT, PNG), ("*",), None),
        ((CONTENT, PNG), ("content", "safe_png"), None),
        ((CONTENT,), ("content", "safe_png"), "reject_stream"),  # fewer streams than labels
        ((CONTENT, CONTENT), ("content", "safe_png"), None),  # streams are counted, not labels
        ((), ("content",), None),  # one label: an event without streams passes
        ((), ("*,image/",), None),
        ((), ("content", "content"), None),
        ((), ("content", "text"), "reject_stream"),
        ((CONTENT,), ("content,executable/",), None),
        ((CONTENT,), ("content,image/,executable/windows",), None),
        ((CONTENT,), ("content,image/",), "reject_file_format"),
        ((PNG,), ("*,image/",), None),
        ((CONTENT,), ("*,image/",), "reject_file_format"),
        # a named label is judged by its own formats, whatever `*` says and wherever it stands
        ((PNG, CONTENT), ("*,executable/", "safe_png"), None),
        ((PNG, CONTENT), ("safe_png", "*,executable/"), None),
        ((PNG, CONTENT), ("*", "safe_png,text/"), "reject_file_format"),
        # a repeated label replaces the earlier one, and is one label
        ((CONTENT,), ("content,image/", "content,executable/"), None),
        ((CONTENT,), ("content,executable/", "content,image/"), "reject_file_format"),
    ],
)
def test_streams(streams, asked_for, reason):
    assert verdict(Header(streams=streams), streams=wants(*asked_for)) == reason


def test_the_first_stream_that_fails_gives_the_reason():
    streams = wants("content", "text,image/")
    text = StreamHeader("text", "text/plain", 3)
    assert verdict(Header(streams=(text, CONTENT)), streams=streams, under_size=5) == "reject_file_format"
    assert verdict(Header(streams=(CONTENT, text)), streams=streams, under_size=5) == "reject_content_too_large"


def test_labels_are_counted_before_missing_content_is_noticed():
    assert verdict(Header(), streams=wants("a", "b"), under_size=5) == "reject_stream"


def test_the_first_filter_that_says_no_is_named():
    rules = [FilterTooDeep(), FilterSecurity(), FilterConsumerRules()]
    header = Header(depth=99, security="TLP:RED", source="web")
    subscriber = asked(max_security="TLP:CLEAR", sources=("mail",))
    assert first_rejection(rules, header, subscriber) == "FilterTooDeep-too_deep"
    assert first_rejection(rules[1:], header, subscriber) == "FilterSecurity-max_security"
    assert first_rejection(rules[2:], header, subscriber) == "FilterConsumerRules-reject_source"
    assert first_rejection([], header, subscriber) is None
