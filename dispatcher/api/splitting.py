"""Telling the elements of a JSON array apart without decoding it.

Two ways. `split_small` lets msgspec do it: fastest, but an object per element at once, which a hostile body of a
million tiny ones turns into much memory. `split_large` finds one element after the other in flat memory. Neither
promises that an element is valid JSON: whoever decodes it will notice.
"""

import mmap
import re
from collections.abc import Iterator
from typing import Final

import msgspec
from dispatcher_sdk.models import InvalidMessage

from dispatcher.errors import TooLarge

Buffer = bytes | mmap.mmap

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN: Final = rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*+'
_FLAT: Final = rb"[\[{]" + _PLAIN + rb"[\]}]"
_NEXT_BRACKET: Final = re.compile(_PLAIN + rb"(?:" + _FLAT + _PLAIN + rb")*+([\[\]{}])", re.DOTALL)
"""From anywhere outside a string to the next bracket that is not part of a flat object or array."""
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_OPENING: Final = b"[{"

_raws: Final = msgspec.json.Decoder(list[msgspec.Raw])


def first_byte(data: Buffer) -> int:
    """Index of the first byte that is not white space; the length of `data` when there is none."""
    return _skip_space(data, 0)


def split_small(data: bytes) -> list[msgspec.Raw]:
    """The elements of an array. Raises InvalidMessage."""
    try:
        return _raws.decode(data)
    except RecursionError:
        raise InvalidMessage("JSON is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        raise InvalidMessage(str(problem)) from None


def split_large(data: Buffer, longest: int) -> Iterator[bytes]:
    """As `split_small`, one at a time. Raises TooLarge for an element of more than `longest` bytes."""
    at = _skip_space(data, first_byte(data) + 1)
    if data[at : at + 1] == b"]":
        _expect_end(data, at + 1)
        return
    while True:
        end = _element_end(data, at, longest)
        yield bytes(data[at:end])
        at = _skip_space(data, end)
        separator = data[at : at + 1]
        if separator == b"]":
            return _expect_end(data, at + 1)
        if separator != b",":
            raise InvalidMessage(f"',' or ']' expected at byte {at}")
        at = _skip_space(data, at + 1)


def _element_end(data: Buffer, start: int, longest: int) -> int:
    if data[start : start + 1] not in (b"{", b"["):
        raise InvalidMessage(f"an object expected at byte {start}")
    limit = min(len(data), start + longest)
    at, depth = start + 1, 1
    while depth:
        found = _NEXT_BRACKET.match(data, at, limit)
        if found is None:
            raise _unclosed(start, longest, limit < len(data))
        at = found.end()
        depth += 1 if found[1] in _OPENING else -1
    return at


def _unclosed(start: int, longest: int, cut: bool) -> Exception:
    if cut:
        return TooLarge(f"the element at byte {start} of the body is longer than {longest} bytes")
    return InvalidMessage(f"the object at byte {start} is not closed")


def _skip_space(data: Buffer, at: int) -> int:
    found = _SPACE.match(data, at)
    return found.end() if found else at


def _expect_end(data: Buffer, at: int) -> None:
    if _skip_space(data, at) != len(data):
        raise InvalidMessage(f"nothing expected after the array at byte {at}")
