"""The Range header, as clients of the original use it: one range of bytes."""

import re
from typing import NamedTuple

from dispatcher.errors import BadRange, BadRequest

_RANGE = re.compile(r"bytes=\s*([0-9]{0,40})\s*-\s*([0-9]{0,40})\s*", re.ASCII)
_TITLE = "invalid range provided"


class Span(NamedTuple):
    """Bytes [start, start + length) of an object."""

    start: int
    length: int


def parse_range(header: str, size: int) -> Span:
    """`bytes=a-b`, `bytes=a-` or `bytes=-n` of an object of `size` bytes; an end past the object is cut.

    `bytes=-0` means all of it, as in the original. Raises BadRequest for anything else and BadRange for a start
    at or past the end.
    """
    match = _RANGE.fullmatch(header)
    if match is None or match[1] == match[2] == "":
        raise BadRequest("expected one range: bytes=a-b, bytes=a- or bytes=-n", title=_TITLE)
    start, end = _bounds(match[1], match[2], size)
    if start >= size:
        raise BadRange(f"the object has {size} bytes")
    return Span(start, min(end, size) - start)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)) if int(last) else 0, size
    if not last:
        return int(first), size
    if int(last) < int(first):
        raise BadRequest("the range ends before it starts", title=_TITLE)
    return int(first), int(last) + 1


def content_range(span: Span, size: int) -> str:
    return f"bytes {span.start}-{span.start + span.length - 1}/{size}"
