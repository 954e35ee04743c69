"""The two-part reply to a fetch, joined by hand: a writer object per part costs more than the events themselves.

The original's shape exactly: CRLF, parts named `info` and `events`, a content type on each, a boundary of 60 hex
digits. The boundary is drawn per reply, so no event can contain it.
"""

import secrets


def new_boundary() -> str:
    return secrets.token_hex(30)


def content_type(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


def opening(boundary: str, info: bytes) -> bytes:
    """Everything before the content of the events part."""
    return (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="info"; filename="info.json"\r\n'
        "Content-Type: application/octet-stream\r\n"
        "\r\n"
    ).encode() + (
        info
        + f"\r\n--{boundary}\r\n".encode()
        + b'Content-Disposition: form-data; name="events"; filename="events.json"\r\n'
        b"Content-Type: application/octet-stream\r\n"
        b"\r\n"
    )


def closing(boundary: str) -> bytes:
    """Everything after it."""
    return f"\r\n--{boundary}--\r\n".encode()
