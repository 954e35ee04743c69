"""What servers, broker and wire have cost between two looks."""

import re
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.logs import Kafka, Log
from tests.bench.server import Server
from tests.bench.wiretap import Counts, growth


@dataclass(frozen=True)
class Costs:
    """Seconds of CPU, bytes of values as the servers' own metrics have them, and frames on the wire where tapped."""

    seconds: float
    server_cpu: float
    each_cpu: tuple[float, ...]
    broker_cpu: float
    appended: float
    tail: float
    ranged: float
    wire: Counts

    def since(self, before: "Costs") -> "Costs":
        return Costs(
            self.seconds - before.seconds,
            self.server_cpu - before.server_cpu,
            tuple(late - early for early, late in zip(before.each_cpu, self.each_cpu, strict=True)),
            self.broker_cpu - before.broker_cpu,
            self.appended - before.appended,
            self.tail - before.tail,
            self.ranged - before.ranged,
            growth(before.wire, self.wire),
        )

    def bytes(self, kind: str, way: str) -> int:
        """On the wire: of one kind of request, `sent` by servers or `received`."""
        return self.wire.get(kind, {}).get(way, 0)


def look(servers: Sequence[Server], log: Log) -> Costs:
    cpu = tuple(server.cpu() for server in servers)
    metrics = [metrics_of(server) for server in servers]

    def total(pattern: str) -> float:
        return sum(sum(map(float, re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))) for text in metrics)

    return Costs(
        time.perf_counter(),
        sum(cpu),
        cpu,
        log.cpu(),
        total(r"dispatcher_log_appended_bytes_total\{.*\}"),
        total(r'dispatcher_log_read_bytes_total\{reader="tail"\}'),
        total(r'dispatcher_log_read_bytes_total\{reader="ranged"\}'),
        log.counts() if isinstance(log, Kafka) and log.tap is not None else {},
    )


def metrics_of(server: Server) -> str:
    with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=10) as reply:
        text: str = reply.read().decode()
        return text
