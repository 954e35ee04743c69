"""URLs in text with their offsets, and base64 blobs as children."""

import base64
import re
from collections.abc import Iterator
from typing import Final

from dispatcher_sdk import URI, Feature, Job, Plugin

# Possessive and bounded: hostile text must not make the search slow.
_URL: Final = re.compile(rb"\b(?:https?|ftp)://[\w.%~:/?#@!$&'()*+,;=\[\]-]{1,2000}+", re.IGNORECASE)
_TRAILING: Final = b".,;:!?'\"*"
_BLOB: Final = re.compile(
    rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{40,}+(?:\r?\n[A-Za-z0-9+/]{1,100}+)*+={0,2}(?![A-Za-z0-9+/])"
)
_MAGIC: Final = (
    *(b"MZ", b"\x7fELF", b"PK\x03\x04", b"%PDF-", b"\x1f\x8b\x08", b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8"),
    *(b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"\xd0\xcf\x11\xe0", b"BZh", b"\xfd7zXZ", b"{\\rtf", b"\xca\xfe\xba\xbe"),
)
_TEXT: Final = frozenset((*range(0x20, 0x7F), *b"\t\r\n"))
_SAMPLE: Final = 4096
_BLOBS: Final = 200
_DECODED_BYTES: Final = 32 * 1024 * 1024

plugin = Plugin(
    "url-finder",
    version="1.0",
    description="URLs in text, and the files that are written into it as base64",
    accepts=["text/*", "code/*"],
    include_self=True,  # text inside base64 is searched as well
    max_size=32 * 1024 * 1024,
    features=[
        Feature("url", URI, "A URL written in the sample"),
        Feature("base64_offset", int, "Where a base64 blob begins that holds a file or text"),
    ],
)


@plugin.execute
def execute(job: Job) -> None:
    text = job.read()
    for match in _URL.finditer(text):
        url = _trimmed(match[0])
        job.add_feature("url", url.decode("latin-1"), offset=match.start(), size=len(url))
    room = _DECODED_BYTES
    for index, (offset, size, data) in enumerate(blobs(text)):
        room -= len(data)
        if index >= _BLOBS or room < 0:
            job.add_problem(f"more base64 than {_BLOBS} blobs or {_DECODED_BYTES} bytes: the rest is left out")
            return
        job.add_feature("base64_offset", offset, offset=offset, size=size)
        job.add_child(data, relationship={"encoding": "base64", "offset": str(offset)})


def blobs(text: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(offset, size, decoded bytes) of each run that is base64 of something known."""
    for match in _BLOB.finditer(text):
        data = decoded(match[0])
        if data is not None:
            yield match.start(), len(match[0]), data


def decoded(run: bytes) -> bytes | None:
    """What a run of base64 letters holds, or None when it is an identifier, a digest or nothing known."""
    letters = b"".join(run.split())
    if len(letters) % 4 or re.fullmatch(rb"[0-9a-fA-F]+", letters):
        return None
    try:
        data = base64.b64decode(letters, validate=True)
    except ValueError:
        return None
    return data if data.startswith(_MAGIC) or _readable(data[:_SAMPLE]) else None


def _readable(sample: bytes) -> bool:
    return sum(byte in _TEXT for byte in sample) > 0.95 * len(sample)


def _trimmed(url: bytes) -> bytes:
    """Without what belongs to the sentence around it: `(see https://a.example/b).`"""
    url = url.rstrip(_TRAILING)
    while url.endswith((b")", b"]")) and url.count(url[-1:]) > url.count({b")": b"(", b"]": b"["}[url[-1:]]):
        url = url[:-1].rstrip(_TRAILING)
    return url
