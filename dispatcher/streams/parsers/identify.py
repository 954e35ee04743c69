"""First identification of a file: what libmagic says, translated into the taxonomy."""

from collections.abc import Mapping
from typing import Any

from dispatcher.streams import taxonomy
from dispatcher.streams.frames import MAX_TEXT
from dispatcher.streams.parsers import libmagic, magic_rules

IDENTIFY_VERSION = 2
EMPTY: dict[str, str | int] = {
    "identify_version": IDENTIFY_VERSION,
    "mime": "inode/x-empty",
    "magic": "empty",
    "file_format": taxonomy.UNKNOWN,
}


def identify(path: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """mime, magic, file_format, file_extension. Two ways of asking libmagic, ordered rules over its answers,
    then the table of MIME types that can be trusted alone."""
    if not known["size"]:
        return dict(EMPTY)
    mimes = libmagic.describe(path, mime=True)
    magics = libmagic.describe(path, mime=False)
    file_format = magic_rules.first_match(magics, mimes)
    if file_format in taxonomy.VAGUE:
        trusted = (taxonomy.TRUSTED_MIMES[mime] for mime in mimes if mime in taxonomy.TRUSTED_MIMES)
        file_format = next(trusted, file_format)
    return {
        "identify_version": IDENTIFY_VERSION,
        # libmagic knows some formats by words only and gives an empty MIME type for them.
        "mime": next(filter(None, mimes), "application/octet-stream"),
        "magic": magics[0][:MAX_TEXT],
        "file_format": file_format,
        **taxonomy.extension_field(file_format),
    }
