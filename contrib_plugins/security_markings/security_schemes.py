"""What markings mean: ladders of levels, caveats, and groups that something is releasable to."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

LONGEST: Final = 300
"""Characters of a marking; a longer one is unknown. Markings come from outside and are remembered."""
MOST_REMEMBERED: Final = 4096

Ladder = Sequence[str | Sequence[str]] | Mapping[str, int]
"""Lowest first, where a list in the list has one rank; or each label with its rank."""

_TIGHT: Final = re.compile(r"\s*([:+,])\s*")
_BREAK: Final = re.compile(r"[\s/\\]+")
_NOT_IN_WORDS: Final = frozenset(" \t\n,/\\")
_Words = tuple[str, ...]


class UnknownMarking(ValueError):
    """A marking has something in it that this organisation does not use."""


class Meaning(NamedTuple):
    """What a marking says. `levels`: ladder → its lowest and highest rank in the marking (usually the same)."""

    levels: Mapping[int, tuple[int, int]]
    caveats: frozenset[str]
    groups: frozenset[str]


class Scheme:
    """An organisation's markings. Raises ValueError when one label means two things, or nothing.

    Case does not matter, nor does how labels are separated: by spaces, slashes or commas. A label may have
    spaces. `groups` are written behind `prefix`, as in `REL:AUS,NZL`.
    """

    def __init__(
        self, ladders: Iterable[Ladder], caveats: Iterable[str] = (), groups: Iterable[str] = (), prefix: str = "REL:"
    ) -> None:
        self._prefix = _tidy(prefix)
        self._groups = frozenset(map(_tidy, groups))
        if any(not word or set(word) & _NOT_IN_WORDS for word in (self._prefix, *self._groups)):
            raise ValueError("groups and their prefix are single words, without spaces, slashes and commas")
        self._ranks: dict[_Words, tuple[int, int]] = {}
        self._caveats: dict[_Words, str] = {}
        for number, ladder in enumerate(ladders):
            for label, rank in _ranked(ladder):
                self._ranks[self._fresh(label)] = number, rank
        for caveat in caveats:
            words = self._fresh(caveat)
            self._caveats[words] = " ".join(words)
        self._longest = max(map(len, (*self._ranks, *self._caveats)), default=0)
        self._remembered = lru_cache(MOST_REMEMBERED)(self._read)

    def may_see(self, limit: str, marking: str) -> bool:
        """May somebody who is cleared for `limit` see what is marked so? Raises UnknownMarking."""
        cleared, needed = self.read(limit), self.read(marking)
        return (
            all(_reaches(cleared.levels.get(ladder), top) for ladder, (_, top) in needed.levels.items())
            and needed.caveats <= cleared.caveats
            and (not needed.groups or bool(needed.groups & cleared.groups))
        )

    def read(self, marking: str) -> Meaning:
        """Raises UnknownMarking."""
        if len(marking) > LONGEST:
            raise UnknownMarking(f"a marking of {len(marking)} characters")
        meaning = self._remembered(marking)
        if isinstance(meaning, str):
            raise UnknownMarking(meaning)
        return meaning

    def _read(self, marking: str) -> Meaning | str:
        """Its meaning, or what is unknown in it."""
        levels: dict[int, tuple[int, int]] = {}
        caveats, groups = set(), set()
        words = self._words(marking)
        while words:
            if words[0].startswith(self._prefix):
                groups.update(words[0].removeprefix(self._prefix).split(","))
                words = words[1:]
                continue
            label = self._first_label(words)
            if not label:
                return f"{words[0]!r} is no label"
            if label in self._ranks:
                ladder, rank = self._ranks[label]
                low, high = levels.get(ladder, (rank, rank))
                levels[ladder] = min(low, rank), max(high, rank)
            else:
                caveats.add(self._caveats[label])
            words = words[len(label) :]
        if strangers := groups - self._groups:
            return f"{sorted(strangers)[0]!r} is no group"
        if not (levels or caveats or groups):
            return "there is no label in it"
        return Meaning(levels, frozenset(caveats), frozenset(groups))

    def _first_label(self, words: _Words) -> _Words:
        """The longest one, so that `TOP SECRET` is not `SECRET` behind something unknown."""
        for count in range(min(self._longest, len(words)), 0, -1):
            if words[:count] in self._ranks or words[:count] in self._caveats:
                return words[:count]
        return ()

    def _words(self, text: str) -> _Words:
        words: list[str] = []
        for word in _BREAK.split(_tidy(text)):
            words += [word] if word.startswith(self._prefix) else word.split(",")
        return tuple(filter(None, words))

    def _fresh(self, label: str) -> _Words:
        words = self._words(label)
        if not words:
            raise ValueError(f"{label!r} is no label")
        if words[0].startswith(self._prefix):
            raise ValueError(f"{label!r} begins like a group: list it among the groups, without {self._prefix}")
        if words in self._ranks or words in self._caveats:
            raise ValueError(f"{label!r} is there twice")
        return words


def _tidy(text: str) -> str:
    """`tlp: amber` and `TLP:AMBER` are the same."""
    return _TIGHT.sub(r"\1", text.upper()).strip()


def _ranked(ladder: Ladder) -> Iterable[tuple[str, int]]:
    if isinstance(ladder, Mapping):
        yield from ladder.items()
        return
    for rank, labels in enumerate(ladder):
        for label in (labels,) if isinstance(labels, str) else labels:
            yield label, rank


def _reaches(cleared: tuple[int, int] | None, needed: int) -> bool:
    """Who names two levels of a ladder gets the lower one, and who names none gets nothing of it."""
    return cleared is not None and cleared[0] >= needed
