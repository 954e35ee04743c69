"""Which topics are copied, which are left, and what a wrong name is told."""

from typing import Any

import pytest

from dispatcher.errors import StartupError
from dispatcher.eventlog.topics import TopicNames
from dispatcher.publish.sources import Sources
from dispatcher.reprocess.selection import Wanted, check_room, select

NAMES = TopicNames("old")
TOPICS = [
    NAMES.unprefixed(name)
    for name in (
        "a.b.binary.sourced",
        "lab.binary.sourced",
        "lab.binary.mapped",
        "system.delete",
        "system.deadletter",
        "system.dispatch",
        "system.expedite",
        "system.insert",
        "system.report",
        "system.status",
        "invented",
    )
] + ["azul.other.system.delete", "azul.older.lab.binary.sourced", "unrelated"]


def chosen(**wanted: Any) -> list[str]:
    selection = select(TOPICS, NAMES, Wanted(**wanted), Sources())
    return [item.topic.removeprefix("azul.old.") for item in selection.chosen]


def test_everything_that_holds_events_and_what_decides_about_others_first() -> None:
    assert chosen() == [
        "system.delete",
        "system.insert",
        "system.expedite",
        "system.status",
        "a.b.binary.sourced",
        "lab.binary.mapped",
        "lab.binary.sourced",
    ]


def test_what_is_left_out_is_said_with_the_reason() -> None:
    left_out = select(TOPICS, NAMES, Wanted(), Sources()).left_out
    assert left_out == {
        "azul.old.system.deadletter": "dead letters name places of the old log",
        "azul.old.system.dispatch": "cursors and leases name places of the old log",
        "azul.old.system.report": "no model of events is known for it",
        "azul.old.invented": "no model of events is known for it",
    }
    assert "azul.old.invented" not in select(TOPICS, NAMES, Wanted(deny=["invented"]), Sources()).left_out


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"system": False}, ["a.b.binary.sourced", "lab.binary.mapped", "lab.binary.sourced"]),
        ({"sources": False, "include_system": ("delete", "error")}, ["system.delete"]),
        ({"include_system": ("delete",), "include": ("system.*", "a.b")}, ["system.delete", "a.b.binary.sourced"]),
        ({"include": ("lab",), "deny": ("azul.old.lab.binary.mapped",)}, ["lab.binary.sourced"]),
        ({"include": ("*.sourced",), "deny": ("lab.*",)}, ["a.b.binary.sourced"]),
    ],
)
def test_lists_narrow_the_choice(wanted: dict[str, Any], expected: list[str]) -> None:
    assert chosen(**wanted) == expected


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"include": ("labs",)}, "called labs; did you mean lab?"),
        ({"deny": ("system.delte",)}, "called system.delte; did you mean system.delete?"),
        ({"include": ("*nothing*",)}, "`--plan` lists what there is"),
        ({"include_system": ("inserts",)}, "no system topic of events called inserts; there are: delete, download,"),
    ],
)
def test_a_name_that_means_nothing_is_refused(wanted: dict[str, Any], words: str) -> None:
    with pytest.raises(StartupError) as error:
        chosen(**wanted)
    assert words in str(error.value)


def test_sources_that_the_settings_would_refuse_are_left_out() -> None:
    document = "sources: {lab: {}}"
    selection = select(TOPICS, NAMES, Wanted(), Sources.from_yaml(document))
    assert selection.unlisted == ["a.b"]
    assert selection.left_out["azul.old.a.b.binary.sourced"] == "source a.b is not in DISPATCHER_SOURCES_HELM"
    assert select(TOPICS, NAMES, Wanted(deny=["a.b"]), Sources.from_yaml(document)).unlisted == []
    assert select(TOPICS, NAMES, Wanted(), Sources.from_yaml(document, strict=False)).unlisted == []


def test_more_unlisted_sources_than_there_is_room_for() -> None:
    topics = [NAMES.binary(f"s{number}", "sourced") for number in range(200)]
    selection = select(topics, NAMES, Wanted(), Sources())
    check_room(selection, [f"s{number}" for number in range(256)], Sources())
    with pytest.raises(StartupError, match="200 sources"):
        check_room(selection, [f"other{number}" for number in range(57)], Sources())
