"""The URL at which other dispatchers reach this one."""

import contextlib
import socket
from typing import Final

from dispatcher.settings import Settings
from dispatcher.settings.kinds import split_address

EVERYWHERE: Final = ("0.0.0.0", "::")


def advertised(settings: Settings, port: int) -> str:
    """As the settings say; else the host to listen on; else the address from which we reach Kafka."""
    if settings.advertised_url:
        return settings.advertised_url
    host = settings.host
    if host in EVERYWHERE:
        host = _address_towards(settings.kafka_endpoint.split(",")[0].strip()) or socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _address_towards(endpoint: str) -> str:
    """Ours on the way there; connecting without a connection sends nothing. Empty when there is no way."""
    host, port = split_address(endpoint)
    with contextlib.suppress(OSError):
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
            with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
                probe.connect(address)
                return str(probe.getsockname()[0])
    return ""
