"""The server.properties of a broker for tests: one machine, quick elections, compaction within seconds."""

from dataclasses import dataclass
from pathlib import Path

_QUICK = {
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.backoff.ms": "500",
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "1000",
}


@dataclass(frozen=True)
class Node:
    """One broker that is also a controller. Ports are on 127.0.0.1."""

    id: int
    port: int
    controller_port: int
    folder: Path
    more_listeners: tuple[tuple[str, int], ...] = ()
    """(security protocol, port) for clients beside the plain one."""

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def controller(self) -> str:
        return f"127.0.0.1:{self.controller_port}"


def properties(node: Node, nodes: list[Node], more: dict[str, str]) -> str:
    """The file of one node; `more` wins over what is said here."""
    copies = str(len(nodes))
    clients = {"PLAINTEXT": node.port, **dict(node.more_listeners)}
    advertised = ",".join(f"{protocol}://127.0.0.1:{port}" for protocol, port in clients.items())
    alone = len(nodes) == 1
    quorum = (
        {"controller.quorum.bootstrap.servers": node.controller}
        if alone
        else {"controller.quorum.voters": ",".join(f"{other.id}@{other.controller}" for other in nodes)}
    )
    lines = {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        "listeners": f"{advertised},CONTROLLER://{node.controller}",
        "advertised.listeners": advertised,
        "listener.security.protocol.map": ",".join(
            ["CONTROLLER:PLAINTEXT", *(f"{protocol}:{protocol}" for protocol in clients)]
        ),
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(node.folder / "data"),
        "default.replication.factor": copies,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "min.insync.replicas": "1" if alone else "2",
        **quorum,
        **_QUICK,
        **more,
    }
    return "".join(f"{key}={value}\n" for key, value in lines.items())
