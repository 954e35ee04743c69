import logging
from typing import Any

import pytest

from dispatcher.errors import StartupError
from dispatcher.publish.sources import Sources, parse_age

DAY = 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7 days", 7 * DAY),
        ("2 weeks", 14 * DAY),
        ("1 months", 30 * DAY),
        ("10 years", 3650 * DAY),
        ("300 years", 300 * 365 * DAY),
        ("0", None),
        (0, None),
        (None, None),
        ("0 days", None),
        ("-3 weeks", None),
    ],
)
def test_ages(text: Any, seconds: float | None) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize(
    "text", ["2 week", "1.5 days", "00", "days", "7  days", " 7 days", "7days", "\u0661 days", 7, True, []]
)
def test_other_ages_are_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="not an age"):
        parse_age(text)


DOCUMENT = """
sources:
  samples:
    description: what people send
    icon_class: fa-bug
    expire_events_after: 2 weeks
    references:
      - {name: user, required: true, description: who, highlight: false}
    kafka: {numpartitions: 3, config: {segment.bytes: 1048576}}
  forever:
"""


def test_a_document_says_who_is_known_and_how_long_events_live() -> None:
    sources = Sources.from_yaml(DOCUMENT)
    assert list(sources.names) == ["samples", "forever"]
    assert sources.expiry_seconds("samples") == 14 * DAY
    assert sources.expiry_seconds("forever") is None
    assert sources.expiry_seconds("stranger") is None
    assert sources.known("forever")
    assert not sources.known("stranger")
    assert sources.refuses("stranger")
    assert not sources.refuses("samples")
    assert not Sources.from_yaml(DOCUMENT, strict=False).refuses("stranger")


def test_without_a_document_everybody_is_welcome() -> None:
    sources = Sources.from_yaml("")
    assert not sources.refuses("stranger")
    assert not sources.ageing


def test_age_off_leaves_the_edge_and_the_future_alone() -> None:
    sources = Sources.from_yaml(DOCUMENT)
    assert not sources.aged_off("samples", 1000.0, 1000.0 + 14 * DAY)
    assert sources.aged_off("samples", 1000.0, 1001.0 + 14 * DAY)
    assert not sources.aged_off("samples", 9e9, 1000.0)
    assert not sources.aged_off("forever", 0.0, 9e9)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("sources:\n  a:\n    expire_events_after: 2 week\n", 3, "expire_events_after"),
        ("sources:\n  a: {}\n  ../b: {}\n", 3, "../b"),
        ("sources:\n  a:\n    kafka:\n      numpartitions: many\n", 4, "numpartitions"),
        ("sources:\n  a:\n    kafka:\n      partitions: 2\n", 4, "partitions"),
        ("sources:\n  a: {}\n  a: {}\n", 3, "'a'"),
        ("sources:\n  a: [\n", 3, "YAML"),
        ("- a\n", 1, "document"),
        ("{}", 1, "sources"),
    ],
)
def test_mistakes_are_told_with_line_and_key(text: str, line: int, key: str) -> None:
    with pytest.raises(StartupError) as told:
        Sources.from_yaml(text)
    assert f"DISPATCHER_SOURCES_HELM line {line}:" in str(told.value)
    assert key in str(told.value)


def test_an_empty_document_is_a_mistake() -> None:
    with pytest.raises(StartupError, match="is empty"):
        Sources.from_yaml("# nothing here\n")


def test_an_unknown_key_is_told_but_allowed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Sources.from_yaml("sources:\n  a:\n    expire_event_after: 2 weeks\n")
    assert "did you mean expire_events_after?" in caplog.text
