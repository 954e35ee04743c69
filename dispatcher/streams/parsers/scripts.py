"""A closer look at text: scripts and sources that libmagic calls plain text, told apart by YARA rules."""

import codecs
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dispatcher.streams import taxonomy

RULES = Path(__file__).with_name("scripts.yar")
POINTS = {"sure": 20, "strong": 15, "weak": 5}
ENOUGH = 20
HEAD_BYTES = 1 << 16
"""A script shows its language early; a scan of everything would cost 50 ms a megabyte."""
SCAN_SECONDS = 5


def refine(path: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """A better file_format for text/plain and unknown; nothing where none is found."""
    if known.get("file_format", taxonomy.UNKNOWN) not in taxonomy.VAGUE or not known["size"]:
        return {}
    with open(path, "rb", buffering=0) as file:
        text = as_text(file.read(HEAD_BYTES))
    best = language_of(text) if text else ""
    return {"file_format": best, **taxonomy.extension_field(best)} if best else {}


def as_text(head: bytes) -> bytes:
    """The head of a file as UTF-8 without byte order mark; empty when it is not text."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if head.startswith(mark):
            return head[2:].decode(encoding, errors="ignore").encode()
    return b"" if b"\0" in head else head.removeprefix(codecs.BOM_UTF8)


def language_of(text: bytes) -> str:
    """The format with most points, at least ENOUGH; empty when there is none."""
    scores = {
        match.meta["format"]: points(string.identifier for string in match.strings)
        for match in rules().match(data=text, timeout=SCAN_SECONDS, fast=True)
    }
    best = max(scores, key=scores.__getitem__, default="")
    return best if best and scores[best] >= ENOUGH else ""


def points(identifiers: Iterable[str]) -> int:
    """Each distinct string counts once: `$strong_name` as strong."""
    return sum(POINTS[name.lstrip("$").partition("_")[0]] for name in set(identifiers))


@cache
def rules() -> Any:
    import yara

    return yara.compile(filepath=str(RULES), error_on_warning=False)
