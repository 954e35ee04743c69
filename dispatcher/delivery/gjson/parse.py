"""From a path's text to its steps; whatever is wrong with it is said here."""

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from dispatcher.delivery.gjson import modifiers, query
from dispatcher.delivery.gjson.brackets import PathError, closing, outside, split, string_end
from dispatcher.delivery.gjson.glob import Glob, has_wildcard, unescaped
from dispatcher.delivery.gjson.steps import (
    Count,
    Each,
    First,
    Gather,
    GatherNamed,
    Key,
    KeyLike,
    Meter,
    Modify,
    Step,
    Steps,
    run,
)

LONGEST_PATH: Final = 1024
"""Characters."""
MOST_NESTED: Final = 16
"""Queries and multipaths inside each other, and `#` inside `#`."""

_OPERATOR: Final = re.compile(r"==|!=|!%|<=|>=|[=<>%]")


@dataclass(frozen=True)
class Path:
    """A path ready for use."""

    text: str
    steps: Steps

    def find(self, value: Any, meter: Meter | None = None) -> Any:
        """What the path leads to in a decoded JSON value, or MISSING. Raises TooMuchWork."""
        return run(self.steps, value, meter or Meter())


def parse_path(text: str) -> Path:
    """Raises PathError."""
    if len(text) > LONGEST_PATH:
        raise PathError(f"the path is longer than {LONGEST_PATH} characters")
    return Path(text, _steps(text, 0))


def check_path(path: str) -> None:
    """Raises ValueError that says what is wrong with the path."""
    parse_path(path)


def _steps(text: str, depth: int) -> Steps:
    if not text.strip():
        raise PathError("a path is empty")
    parser = _Parser(text, depth)
    steps = parser.dotted()
    while parser.take("|"):
        steps += parser.dotted()
    return steps


class _Parser:
    """Reads one path from left to right. `at` is the next character."""

    def __init__(self, text: str, depth: int) -> None:
        if depth > MOST_NESTED:
            raise PathError(f"it nests more than {MOST_NESTED} deep")
        self._text = text
        self._depth = depth
        self._at = 0

    def take(self, char: str) -> bool:
        if not self._text.startswith(char, self._at):
            return False
        self._at += 1
        return True

    def dotted(self, hashes: int = 0) -> Steps:
        """Steps up to the next pipe; what follows `#.` belongs to each element."""
        if hashes + self._depth > MOST_NESTED:
            raise PathError(f"it nests more than {MOST_NESTED} deep")
        steps: list[Step] = []
        while True:
            step = self._component()
            more = self.take(".")
            if not more:
                self._expect_end()
            if isinstance(step, Count) and more:
                return (*steps, Each(self.dotted(hashes + 1)))
            if isinstance(step, Each):
                return (*steps, Each(self.dotted(hashes + 1) if more else (), step.matches))
            steps.append(step)
            if not more:
                return tuple(steps)

    def _expect_end(self) -> None:
        if self._at < len(self._text) and self._text[self._at] != "|":
            raise PathError(f"{self._text[self._at]!r} at {self._at} is not expected: '.' or '|' separate names")

    def _component(self) -> Step:
        char = self._text[self._at : self._at + 1]
        if char == "#":
            return self._hash()
        if char == "@":
            return self._modifier()
        if char in ("[", "{"):
            return self._multipath()
        if char == "!":
            raise PathError("literals ('!') have no use in a filter; write \\! for a name that starts so")
        return self._key()

    def _key(self) -> Step:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in ".|":
            self._at += 2 if self._text[self._at] == "\\" else 1
        name = self._text[start : self._at]
        if not name:
            raise PathError(f"a name is missing at {start}")
        if self._at > len(self._text):
            raise PathError("it ends in a backslash")
        if has_wildcard(name):
            return KeyLike(Glob(name))
        return Key(unescaped(name), int(name) if name.isascii() and name.isdigit() else None)

    def _hash(self) -> Step:
        self._at += 1
        if self._text[self._at : self._at + 1] in ("", ".", "|"):
            return Count()
        if self._text[self._at] != "(":
            raise PathError(f"'#' at {self._at - 1} stands alone or before '('; write \\# for a name that starts so")
        condition = _query(self._bracketed(), self._depth + 1)
        return Each((), condition) if self.take("#") else First(condition)

    def _modifier(self) -> Step:
        found = re.compile(r"@(\w*)(:?)", re.ASCII).match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        argument = self._argument() if found[2] else ""
        try:
            return Modify(modifiers.modifier(found[1], argument))
        except KeyError:
            known = ", ".join(f"@{name}" for name in modifiers.NAMES)
            raise PathError(
                f"@{found[1]} is no modifier of filters (they are {known}); write \\@ for a name that starts so"
            ) from None
        except ValueError as wrong:
            raise PathError(str(wrong)) from None

    def _argument(self) -> str:
        start = self._at
        if self._text[start : start + 1] == "{":
            return "{" + self._bracketed() + "}"
        raise PathError(f"a modifier's argument is a JSON object in braces, at {start}")

    def _multipath(self) -> Step:
        opening = self._text[self._at]
        parts = split(self._bracketed(), ",")
        if opening == "[":
            return Gather([_steps(part.strip(), self._depth + 1) for part in parts])
        return GatherNamed(dict(_named(part.strip(), self._depth + 1) for part in parts))

    def _bracketed(self) -> str:
        """The text between the bracket here and the one that closes it; moves behind that."""
        end = closing(self._text, self._at)
        inside = self._text[self._at + 1 : end]
        self._at = end + 1
        return inside


def _query(text: str, depth: int) -> query.Query:
    for at in outside(text):
        operator = _OPERATOR.match(text, at)
        if operator:
            left = text[:at].strip()
            test = _test(operator[0], text[operator.end() :].strip())
            return query.Query(_steps(left, depth) if left else (), test)
    return query.Query(_steps(text.strip(), depth), query.exists)


def _test(operator: str, right: str) -> query.Matches:
    if not right:
        raise PathError(f'nothing follows {operator} in a query: write "" for the empty text')
    if right.startswith("~"):
        try:
            return query.loose(operator, right)
        except KeyError:
            raise PathError(f"{operator} {right}: only = and != go with {', '.join(query.LOOSE)}") from None
    if operator in query.LIKE:
        return query.like(operator, _quoted(right) if right[0] == '"' else right)
    return query.compare(operator, _string(right) if right[0] == '"' else right)


def _quoted(text: str) -> str:
    """What is between the quotes, escapes left as they are."""
    if string_end(text, 0) != len(text) - 1:
        raise PathError(f"{text} in a query is not one string")
    return text[1:-1]


def _string(text: str) -> str:
    inside = _quoted(text)
    try:
        return msgspec.json.decode(f'"{inside}"', type=str)
    except (msgspec.MsgspecError, UnicodeError):
        raise PathError(f"{text} in a query is not a JSON string") from None


def _named(part: str, depth: int) -> tuple[str, Steps]:
    """A member of a `{...}` multipath: `"name":path`, or a path whose last name names it."""
    if part.startswith('"'):
        end = string_end(part, 0)
        if part[end + 1 : end + 2] != ":":
            raise PathError(f"{part}: a name in quotes is followed by ':' and a path")
        return _string(part[: end + 1]), _steps(part[end + 2 :].strip(), depth)
    steps = _steps(part, depth)
    last = steps[-1]
    return last.name if isinstance(last, Key) else "_", steps
