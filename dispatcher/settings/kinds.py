"""Types of settings: each validator gives the value or a ValueError that says the cure."""

import re
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from dispatcher.settings.sizes import parse_size

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\s/\[\]]*):(?P<port>\d{1,5})", re.ASCII)
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WEB_URL = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[^:\s/\[\]@?#]+)(:\d{1,5})?", re.ASCII)
_URL = re.compile(r"[a-z][a-z0-9+.-]*:\S*", re.ASCII)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; no host means every interface, as in Go. Raises ValueError."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None or int(parts["port"]) > 65535:
        raise ValueError(f"{address!r} is not HOST:PORT: write 127.0.0.1:8111, or 0.0.0.0:8111 for every interface")
    return parts["host"].strip("[]") or "0.0.0.0", int(parts["port"])


def _address(address: str) -> str:
    split_address(address)
    return address


def _topic_prefix(prefix: str) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} cannot be part of a topic name: use 1 to 64 letters, digits, _ or -")
    return prefix


def _topic_prefix_or_none(prefix: str) -> str:
    return prefix and _topic_prefix(prefix)


def _endpoint(servers: str) -> str:
    for server in servers.split(",") if servers else ():
        parts = _ADDRESS.fullmatch(server.strip())
        if parts is None or not parts["host"] or int(parts["port"]) > 65535:
            raise ValueError(f"{server!r} is not HOST:PORT: write kafka:9092, or several with commas between")
    return servers


def _store(url: str) -> str:
    if url and not _URL.fullmatch(url):
        raise ValueError("not a URL: write file:///srv/azul for a folder, or memory: to keep nothing")
    return url


def _web_url(url: str) -> str:
    url = url.rstrip("/")
    if url and not _WEB_URL.fullmatch(url):
        raise ValueError(f"{url!r} is not the URL of a server: write http://10.0.0.5:8111")
    return url


def _names(value: object) -> object:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


Address = Annotated[str, AfterValidator(_address)]
TopicPrefix = Annotated[str, AfterValidator(_topic_prefix)]
OptionalPrefix = Annotated[str, AfterValidator(_topic_prefix_or_none)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
StoreUrl = Annotated[str, AfterValidator(_store)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
"""Scheme, host and perhaps a port; nothing behind them."""
Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes."""
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
"""Written with commas between."""


@dataclass(frozen=True)
class About:
    """What the table says of a setting beside its name, type and default."""

    text: str
    """One sentence."""
    also: tuple[str, ...] = field(default=())
    """Other names of the same thing: `DISPATCHER_…`, or a key of the original such as `events.sources`."""
    hides: bool = False
    """Its value may hold a password, which is never printed."""
    secret: bool = False
    """Its value is a password: nothing of it is printed."""
