"""The header rules against a second reading of wire contract 4.2, written as a list of complaints."""

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from dispatcher.delivery.rules import FilterConsumerRules, FilterSecurity, FilterTooDeep, first_rejection
from dispatcher.hooks.header import Header, StreamHeader
from dispatcher.hooks.types import StreamWant, Subscription

pytestmark = pytest.mark.timeout(120)
"""Thousands of examples, also on a busy machine."""

RULES = [FilterTooDeep(), FilterSecurity(), FilterConsumerRules()]

names = st.sampled_from(["alpha", "beta", "gamma"])
actions = st.sampled_from(["sourced", "extracted", "augmented", "mapped", "enriched"])
labels = st.sampled_from(["content", "text", "safe_png"])
formats = st.sampled_from(["", "image/png", "image/gif", "text/plain", "executable/windows/pe"])
prefixes = st.sampled_from(["image/", "image/png", "text", "exec", "x"])
markings = st.sampled_from(["", "low", "high"])
sizes = st.integers(0, 6)
bounds = st.integers(-1, 6)

headers = st.builds(
    Header,
    source=names,
    action=actions,
    author=names,
    security=markings,
    depth=st.integers(0, 14),
    streams=st.lists(st.builds(StreamHeader, labels, formats, sizes), max_size=4).map(tuple),
)
subscriptions = st.builds(
    Subscription,
    name=names,
    version=st.just("1"),
    model=st.sampled_from(["binary"] * 4 + ["status", "download", "plugin"]),
    sources=st.lists(names, max_size=2).map(tuple),
    actions=st.lists(actions, max_size=4).map(tuple),
    task=st.booleans(),
    deny_actions=st.lists(actions, max_size=1).map(tuple),
    under_size=bounds,
    over_size=bounds,
    require_content=st.booleans(),
    streams=st.lists(
        st.builds(StreamWant, st.one_of(labels, st.just("*")), st.lists(prefixes, max_size=2).map(tuple)), max_size=3
    ).map(tuple),
    deny_self=st.booleans(),
    max_security=markings,
)


def complaints(header, who):
    """Every reason against the event, in the order in which they count."""
    if who.model == "binary":
        yield "FilterTooDeep-too_deep", header.depth > (10 if who.task else 11)
    if who.model in ("binary", "download"):
        marked = bool(who.max_security) and bool(header.security)
        yield "FilterSecurity-max_security", marked and header.security != who.max_security
    for reason, holds in consumer_complaints(header, who):
        yield f"FilterConsumerRules-{reason}", holds


def consumer_complaints(header, who):
    if who.model not in ("binary", "status"):
        return
    yield "reject_source", who.sources != () and header.source not in who.sources
    yield "reject_event_type", who.actions != () and header.action not in who.actions
    yield "reject_event_type", header.action in who.deny_actions
    yield "reject_self", who.deny_self and header.author == who.name
    if who.model == "status":
        return
    required = {want.label: want.formats for want in who.streams}
    for stream in header.streams:
        measured = stream.label == "content"
        yield "reject_content_too_large", measured and who.under_size > 0 and stream.size > who.under_size
        yield "reject_content_too_small", measured and who.over_size > 0 and stream.size < who.over_size
        welcome = required.get(stream.label, required.get("*"))
        yield "reject_stream", bool(required) and welcome is None
        fits = not welcome or any(stream.file_format[: len(prefix)] == prefix for prefix in welcome)
        yield "reject_file_format", bool(required) and not fits
    matching = [stream for stream in header.streams if stream.label in required or "*" in required]
    yield "reject_stream", len(required) >= 2 and len(matching) < len(required)
    needs_content = who.under_size > 0 or who.over_size > 0 or who.require_content
    yield "reject_no_content", needs_content and all(stream.label != "content" for stream in header.streams)


@settings(max_examples=3000, deadline=None)
@given(header=headers, who=subscriptions)
def test_rules_agree_with_the_contract(header, who):
    expected = next((reason for reason, holds in complaints(header, who) if holds), None)
    event(str(expected))
    assert first_rejection(RULES, header, who) == expected


@settings(max_examples=500, deadline=None)
@given(
    who=st.lists(subscriptions, min_size=1, max_size=4),
    size=st.integers(0, 8),
    header=headers,
    data=st.data(),
)
def test_any_size_of_a_class_gives_the_same_verdict(who, size, header, data):
    """The engine judges one size for all that no subscriber's bounds tell apart."""

    def size_class(size):
        return [
            (one.under_size > 0 and size > one.under_size, one.over_size > 0 and size < one.over_size) for one in who
        ]

    other = data.draw(st.sampled_from([s for s in range(9) if size_class(s) == size_class(size)]))
    first, second = (
        header._replace(streams=(StreamHeader("content", "text/plain", s), *header.streams)) for s in (size, other)
    )
    for one in who:
        assert first_rejection(RULES, first, one) == first_rejection(RULES, second, one)
