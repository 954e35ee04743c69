"""libmagic: the system's when it is new enough, else the one that pip brought along."""

import ctypes
from functools import cache
from typing import Any

MIN_VERSION = 544
"""5.44: older ones name many current formats differently."""
_NAMES = ("libmagic.so.1", "libmagic.dylib")


def system_version() -> int:
    """Version of the system's libmagic as major * 100 + minor; 0 when there is none."""
    for name in _NAMES:
        try:
            return int(ctypes.CDLL(name).magic_version())
        except (OSError, AttributeError):
            continue
    return 0


@cache
def _module() -> Any:
    if system_version() < MIN_VERSION:
        import pylibmagic  # noqa: F401  (from here on the loader below finds its library)
    import magic

    return magic


@cache
def _handle(mime: bool) -> Any:
    magic = _module()
    kind = magic.MAGIC_MIME_TYPE if mime else magic.MAGIC_NONE
    handle = magic.magic_open(kind | magic.MAGIC_RAW | magic.MAGIC_CONTINUE)
    magic.magic_load(handle, None)
    return handle


def describe(path: str, *, mime: bool) -> list[str]:
    """All that libmagic sees in a file, most likely first: MIME types or descriptions.

    Bytes that are not ASCII become dots, a character at a time.
    """
    found: bytes = _module().magic_file(_handle(mime), path)
    lines = found.decode(errors="replace").split("\n")
    return [_ascii(line.removeprefix("-").lstrip(" ,")) for line in lines]


def _ascii(text: str) -> str:
    return "".join(c if c.isascii() else "." for c in text)
