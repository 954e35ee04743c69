"""Taking an address before anybody is served there: who else needs to know it can be told first."""

import os
import socket
from collections.abc import Sequence

from dispatcher.errors import StartupError


def bind(host: str, port: int) -> Sequence[socket.socket]:
    """Bound sockets, not listening yet, one for each address of the host, all with one port.

    Port 0 lets the system choose. Raises StartupError.
    """
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in _addresses(host, port):
            sockets.append(made := socket.socket(family, kind, protocol))
            if os.name == "posix":
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((address[0], port, *address[2:]))
            port = made.getsockname()[1]
    except OSError as problem:
        for made in sockets:
            made.close()
        raise cannot_listen(host, port, problem) from None
    return sockets


def cannot_listen(host: str, port: int, problem: OSError) -> StartupError:
    return StartupError(
        f"cannot listen on {host}:{port}: {problem.strerror or problem}; choose another DISPATCHER_LISTEN"
    )


def _addresses(host: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys(found))  # type: ignore[arg-type]
