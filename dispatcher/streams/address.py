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


def key_of(where: StreamId) -> str:
    """`<source>/<label>/<id[0]>/<id[1]>/<id>`; without source and label the last three.

    Raises ValueError for anything that is not plainly an address: nothing leaves a store's root.
    """
    source, label, sha256 = where
    folders = [source, label] if source or label else []
    if not is_sha256(sha256) or not all(map(is_segment, folders)):
        raise ValueError(f"not an object address: {where}")
    return "/".join([*folders, sha256[0], sha256[1], sha256])
