"""Which character of a path closes which: brackets, strings and escapes."""

from typing import Final

_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}


class PathError(ValueError):
    """This is no gjson path that a filter can use; the text says why."""


def split(text: str, separator: str) -> list[str]:
    cuts = [at for at in outside(text) if text[at] == separator]
    return [text[start + 1 : end] for start, end in zip([-1, *cuts], [*cuts, len(text)], strict=True)]


def outside(text: str) -> list[int]:
    """Positions that are inside no string or bracket and not escaped."""
    found: list[int] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif char == '"':
            at = string_end(text, at)
        elif char in _CLOSING:
            at = closing(text, at)
        else:
            found.append(at)
        at += 1
    return found


def closing(text: str, start: int) -> int:
    """Position of the bracket that closes the one at `start`."""
    waiting = [_CLOSING[text[start]]]
    at = start
    while waiting:
        at += 1
        if at >= len(text):
            raise PathError(f"{waiting[-1]!r} is missing: {text[start]!r} at {start} is not closed")
        char = text[at]
        if char == "\\":
            at += 1
        elif char == '"':
            at = string_end(text, at)
        elif char in _CLOSING:
            waiting.append(_CLOSING[char])
        elif char in ")]}" and char != waiting.pop():
            raise PathError(f"{char!r} at {at} closes nothing")
    return at


def string_end(text: str, start: int) -> int:
    at = start + 1
    while at < len(text):
        if text[at] == '"':
            return at
        at += 2 if text[at] == "\\" else 1
    raise PathError(f"the string at {start} is not closed")
