"""What a worker process and the server say to each other: a length, then JSON.

JSON and nothing cleverer, because a worker that hostile bytes took over may write anything into the socket.
This module runs on both sides, so it imports next to nothing.
"""

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

HEAD = struct.Struct(">I")
MAX_FRAME = 1 << 20
"""Bytes of one message; a longer one is not read."""

TEXT_FIELDS = frozenset(("ssdeep", "tlsh", "mime", "magic", "file_format", "file_extension", "language"))
NUMBER_FIELDS = frozenset(("identify_version",))
MAX_TEXT = 1 << 13
"""Characters of one field: all of them together fit into a message, however they are escaped."""
MAX_INFO = 1 << 15
"""Bytes of what an enricher says besides fields, as JSON: it travels in replies and events."""
MAX_INFO_DEPTH = 16
CAUSES = frozenset(("", "raised", "memory", "garbage"))
"""Why an enricher gave nothing although its process lives; empty when it gave something."""

Fields = dict[str, str | int]
Info = dict[str, Any]


def pack(message: Mapping[str, Any]) -> bytes:
    """Raises TypeError or ValueError for what JSON cannot hold."""
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > MAX_FRAME:
        raise ValueError(f"message of {len(body)} bytes; at most {MAX_FRAME}")
    return HEAD.pack(len(body)) + body


def unpack(read: Callable[[int], bytes]) -> dict[str, Any]:
    """Read one message. `read(n)` gives exactly n bytes or raises."""
    (length,) = HEAD.unpack(read(HEAD.size))
    message: dict[str, Any] = json.loads(read(length))
    return message


def fault(answer: object) -> str:
    """What is wrong with the fields that an enricher returned; empty when nothing is.

    Only descriptive fields may be set: an enricher cannot change the size or the hashes of a file.
    """
    if not isinstance(answer, dict):
        return f"expected a dict of fields, got {type(answer).__name__}"
    for name, value in answer.items():
        if problem := _field_fault(name, value):
            return problem
    return ""


def info_fault(info: object) -> str:
    """What is wrong with the `info` that an enricher returned; empty when nothing is."""
    if not isinstance(info, dict):
        return f"info is a {type(info).__name__}, not a dict"
    if _is_deeper(info, MAX_INFO_DEPTH):
        return f"info nests deeper than {MAX_INFO_DEPTH}"
    try:
        size = len(json.dumps(info, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError) as problem:
        return f"info cannot be written as JSON: {problem}"
    return "" if size <= MAX_INFO else f"info of {size} bytes; at most {MAX_INFO}"


def _is_deeper(value: object, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return bool(inner) and (depth == 0 or any(_is_deeper(each, depth - 1) for each in inner))


def _field_fault(name: object, value: object) -> str:
    if name in TEXT_FIELDS:
        return (
            "" if isinstance(value, str) and _clean(value) else f"{name} is not text of at most {MAX_TEXT} characters"
        )
    if name in NUMBER_FIELDS:
        good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
        return "" if good else f"{name} is not a small number"
    return f"{str(name)[:60]!r} is not a field that an enricher may set"


def _clean(text: str) -> bool:
    if len(text) > MAX_TEXT:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
