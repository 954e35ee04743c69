"""Which topics of an older installation are copied, and which are left where they are."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from dispatcher_sdk.models import MODELS

from dispatcher.delivery.undecodable import model_of
from dispatcher.errors import StartupError
from dispatcher.eventlog.topics import TopicName, TopicNames
from dispatcher.publish.first_use import MAX_UNLISTED
from dispatcher.publish.sources import Sources

SYSTEM: Final = tuple(sorted({*MODELS, "expedite", "error"} - {"binary"}))
"""System topics that hold events."""
FIRST: Final = ("delete", "insert")
_NO_EVENTS: Final[Mapping[str, str]] = {
    "deadletter": "dead letters name places of the old log",
    "dispatch": "cursors and leases name places of the old log",
    "reprocess": "it says how far an earlier copy came",
}


@dataclass(frozen=True)
class Wanted:
    """What the operator asked for. Names may have `*`, and are topics with or without prefix, or sources."""

    sources: bool = True
    system: bool = True
    include_system: Collection[str] = ()
    include: Sequence[str] = ()
    deny: Sequence[str] = ()


class Chosen(NamedTuple):
    """A topic that is copied. `model` is what its values are."""

    topic: str
    model: str
    name: TopicName


class Selection(NamedTuple):
    chosen: list[Chosen]
    left_out: dict[str, str]
    """Topics that nobody asked to leave out, and why they are all the same."""
    unlisted: list[str]
    """Sources whose events the settings would refuse."""


def select(topics: Collection[str], names: TopicNames, wanted: Wanted, sources: Sources) -> Selection:
    """`names` are those of the old installation. Raises StartupError when a name of `wanted` means nothing."""
    _check_system(wanted.include_system)
    ours = {topic: names.parse(topic) or TopicName() for topic in topics if topic.startswith(names.unprefixed(""))}
    _check_names(ours, names, wanted)
    selection = Selection([], {}, [])
    for topic, name in sorted(ours.items(), key=_order):
        if _is_wanted(topic, name, names, wanted):
            _put(selection, topic, name, sources)
    return selection


def check_room(selection: Selection, present: Collection[str], sources: Sources) -> None:
    """`present`: unlisted sources that have topics already. Raises StartupError when there would be too many."""
    fresh = {item.name.source for item in selection.chosen if item.name.source and not sources.known(item.name.source)}
    if fresh and len(fresh | set(present)) > MAX_UNLISTED:
        raise StartupError(
            f"{len(fresh)} sources of the old topics are not in DISPATCHER_SOURCES_HELM, and only {MAX_UNLISTED} such "
            "sources may have topics: list them there"
        )


def _order(item: tuple[str, TopicName]) -> tuple[int, str]:
    """What decides about other events comes first."""
    topic, name = item
    return (0 if name.system in FIRST else 1 if name.system else 2), topic


def _put(selection: Selection, topic: str, name: TopicName, sources: Sources) -> None:
    model = model_of(name)
    if model is None:
        selection.left_out[topic] = _NO_EVENTS.get(name.system, "no model of events is known for it")
    elif name.source and sources.refuses(name.source):
        selection.left_out[topic] = f"source {name.source} is not in DISPATCHER_SOURCES_HELM"
        if name.source not in selection.unlisted:
            selection.unlisted.append(name.source)
    else:
        selection.chosen.append(Chosen(topic, model, name))


def _is_wanted(topic: str, name: TopicName, names: TopicNames, wanted: Wanted) -> bool:
    if name.source:
        kind = wanted.sources
    else:
        kind = wanted.system and (not wanted.include_system or name.system in wanted.include_system)
    known = list(_names_of(topic, name, names))
    included = not wanted.include or any(_fits(pattern, known) for pattern in wanted.include)
    return kind and included and not any(_fits(pattern, known) for pattern in wanted.deny)


def _names_of(topic: str, name: TopicName, names: TopicNames) -> Iterator[str]:
    yield topic
    yield topic.removeprefix(names.unprefixed(""))
    if name.source:
        yield name.source


def _fits(pattern: str, known: Iterable[str]) -> bool:
    return any(fnmatchcase(each, pattern) for each in known)


def _check_names(ours: Mapping[str, TopicName], names: TopicNames, wanted: Wanted) -> None:
    known = {each for topic, name in ours.items() for each in _names_of(topic, name, names)}
    for pattern in (*wanted.include, *wanted.deny):
        if not _fits(pattern, known):
            raise StartupError(f"no topic or source of the old installation is called {pattern}{_near(pattern, known)}")


def _check_system(chosen: Iterable[str]) -> None:
    for name in chosen:
        if name not in SYSTEM:
            raise StartupError(f"there is no system topic of events called {name}; there are: {', '.join(SYSTEM)}")


def _near(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {found[0]}?" if found else ": `--plan` lists what there is"
