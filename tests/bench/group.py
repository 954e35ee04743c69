"""Several servers that share one Kafka and the subscribers on it."""

import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.costs import metrics_of
from tests.bench.generator import Generator
from tests.bench.logs import Kafka
from tests.bench.server import Server

SETTLE_SECONDS = 4.0
"""After the last one has joined: the slots are dealt anew within a second or so."""


@contextmanager
def servers(count: int, log: Kafka, **settings: str) -> Iterator[list[Server]]:
    """So many on one empty log."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-store-"))
        shared = log.fresh() | {"DISPATCHER_STORE": Path(folder).as_uri()} | settings
        yield [stack.enter_context(Server(**shared)) for _ in range(count)]
    log.forget()


def settle() -> None:
    time.sleep(SETTLE_SECONDS)


def forwarded(server: Server) -> int:
    """Requests that this server has passed on."""
    found = re.findall(r"^dispatcher_forwarded_requests_total\{.*\} (\S+)$", metrics_of(server), re.MULTILINE)
    return int(sum(map(float, found)))


def owner_of(number: int, group: Sequence[Server], fleet: Generator) -> Server:
    """The one of two that serves this subscriber."""
    first, second = group
    before = forwarded(first)
    fleet.ask("poll_from", number=number, server=first.address, polls=1)
    return second if forwarded(first) > before else first
