"""What may be part of an object's address, and the name under which folders keep it."""

import re

from dispatcher.hooks.types import StreamId

_SEGMENT = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_segment(text: str) -> bool:
    """A source or label: letters, digits, `.`, `_`, `-`; not `.` or `..`; at most 128 characters."""
    return bool(_SEGMENT.fullmatch(text))


def is_sha256(text: str) -> bool:
    """64 lower case hex digits."""
    return bool(_SHA256.fullmatch(text))


def is_address(where: StreamId) -> bool:
    """Whether an object may have this address: source and label are both segments or both empty."""
    folders = where[:2] if where.source or where.label else ()
    return is_sha256(where.sha256) and all(map(is_segment, folders))


def key_of(where: StreamId) -> str:
    """`<source>/<label>/<id[0]>/<id[1]>/<id>`; without source and label the last three.

    Raises ValueError for anything that is not plainly an address: nothing leaves a store's root.
    """
    if not is_address(where):
        raise ValueError(f"not an object address: {where}")
    source, label, sha256 = where
    folders = [source, label] if source or label else []
    return "/".join([*folders, sha256[0], sha256[1], sha256])
