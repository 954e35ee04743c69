"""Real Apache Kafka brokers in folders of their own, on free ports of 127.0.0.1.

Every method blocks: from a test with an event loop use `await asyncio.to_thread(broker.restart)`.
"""

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.kafka.config import Node, properties

READY_SECONDS = 60
STOP_SECONDS = 15
_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOG = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]


class KafkaBroker:
    """One broker process, or `brokers` of them. Data stays in `folder` between `stop` or `kill9` and `start`."""

    def __init__(
        self,
        folder: Path,
        jars: Path,
        *,
        brokers: int = 1,
        port: int = 0,
        settings: dict[str, str] | None = None,
        more_listeners: Sequence[str] = (),
        format_arguments: Sequence[str] = (),
        heap_mb: int = 256,
    ) -> None:
        self._jars = jars
        self._heap = (f"-Xms{heap_mb}m", f"-Xmx{heap_mb}m")
        self._settings = settings or {}
        self._format_arguments = format_arguments
        ports = free_ports((2 + len(more_listeners)) * brokers)
        ports[0] = port or ports[0]
        self.nodes = []
        for n in range(brokers):
            plain, controller, *others = ports[n::brokers]
            more = tuple(zip(more_listeners, others, strict=True))
            self.nodes.append(Node(n + 1, plain, controller, folder / f"node-{n + 1}", more))
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._formatted = False

    @property
    def endpoint(self) -> str:
        """Bootstrap servers, with commas between."""
        return ",".join(node.endpoint for node in self.nodes)

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes.values()]

    def start(self, *, detached: bool = False) -> None:
        """Start what does not run and wait until the cluster is complete. `detached` brokers outlive this process."""
        if not self._formatted:
            self._format()
        for node in self.nodes:
            if node.id not in self._processes:
                self._processes[node.id] = self._run(node, detached)
        self._wait_until_ready()

    def stop(self, node_id: int | None = None) -> None:
        """End it, or one of its nodes, as an operator would."""
        self._end(node_id, signal.SIGTERM)

    def kill9(self, node_id: int | None = None) -> None:
        self._end(node_id, signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def hang(self) -> None:
        """It still has its connections, but answers nothing until `go_on`."""
        for process in self._processes.values():
            process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """What the brokers said last."""
        logs = [node.folder / "kafka.log" for node in self.nodes]
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in logs if log.exists())

    def _format(self) -> None:
        cluster = self._tool("random-uuid").strip().splitlines()[-1]
        alone = ["--standalone"] if len(self.nodes) == 1 else []
        for node in self.nodes:
            node.folder.mkdir(parents=True)
            (node.folder / "server.properties").write_text(properties(node, self.nodes, self._settings))
            self._tool(
                "format", *alone, *self._format_arguments, "-t", cluster, "-c", str(node.folder / "server.properties")
            )
        self._formatted = True

    def _tool(self, *arguments: str) -> str:
        command = [*self._java(), "kafka.tools.StorageTool", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=READY_SECONDS).stdout

    def _run(self, node: Node, detached: bool) -> "subprocess.Popen[bytes]":
        with (node.folder / "kafka.log").open("ab") as log:
            return subprocess.Popen(
                [*self._java(), "kafka.Kafka", str(node.folder / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=detached,
            )

    def _java(self) -> list[str]:
        return ["java", *self._heap, *_FLAGS, _LOG, "-cp", f"{self._jars}/*"]

    def _end(self, node_id: int | None, number: signal.Signals) -> None:
        chosen = [node_id] if node_id is not None else list(self._processes)
        ending = [self._processes.pop(one) for one in chosen if one in self._processes]
        for process in ending:
            process.send_signal(number)
        for process in ending:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not all(map(_listens, self.nodes)) or asyncio.run(_brokers(self.endpoint)) < len(self.nodes):
            dead = [process.returncode for process in self._processes.values() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise RuntimeError(f"Kafka is not ready (exit codes {dead}):\n{self.log()}")
            time.sleep(0.1)


def _listens(node: Node) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", node.port)) == 0


async def _brokers(endpoint: str) -> int:
    """How many brokers the cluster at an endpoint has now; 0 when nobody answers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=endpoint, request_timeout_ms=2000)
    try:
        await admin.start()
        return len((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError, TimeoutError):
        return 0
    finally:
        await admin.close()
