"""The reply to a fetch: two parts in multipart/form-data, `info` and `events`."""

from email.message import Message
from typing import Final

from dispatcher_sdk.errors import BadReply

_LINE: Final = b"\r\n"


def parts(body: bytes, content_type: str) -> dict[str, bytes]:
    """Bodies by part name. Raises BadReply."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_maintype() != "multipart" or not isinstance(boundary, str) or not boundary:
        raise BadReply(f"expected multipart/form-data, got {content_type[:100]!r}")
    found: dict[str, bytes] = {}
    for piece in _pieces(body, boundary.encode("utf-8", "replace")):
        head, blank, content = piece.partition(_LINE * 2)
        if not blank:
            raise BadReply("a part of the reply has no end of its header")
        found[_name(head)] = content
    return found


def _pieces(body: bytes, boundary: bytes) -> list[bytes]:
    """Between the delimiters, which also the closing one must end."""
    delimiter = _LINE + b"--" + boundary
    pieces = (_LINE + body).split(delimiter)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise BadReply("the multipart reply is cut short")
    return [piece.removeprefix(_LINE) for piece in pieces[1:-1]]


def _name(head: bytes) -> str:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            header = Message()
            header["content-disposition"] = value.strip()
            found = header.get_param("name", header="content-disposition")
            return found if isinstance(found, str) else ""
    return ""
