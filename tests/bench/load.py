"""The load generator of one row. Prints one JSON line: what it did and what it cost itself.

`python -m tests.bench.load ROW HOST PORT SECONDS`, see generator.py.
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tests.bench import events
from tests.bench.generator import READY
from tests.bench.wire import Connection

FLAGS = "r-expedite=true&r-live=true&r-historic=true"


class Row:
    """Counts operations and keeps latencies of whole requests in seconds."""

    def __init__(self, name: str, host: str, port: int, seconds: float) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.seconds = seconds
        self.operations = 0
        self.latencies: list[float] = []
        self.began = 0.0
        self.stopped = 0.0
        self.ready = False

    async def connect(self) -> Connection:
        return await Connection.open(self.host, self.port)

    def start_clock(self) -> None:
        """Everything before is preparation; the parent reads the server's CPU at this moment."""
        sys.stdout.write(READY + "\n")
        sys.stdout.flush()
        sys.stdin.readline()
        self.began = time.perf_counter()
        self.cpu = time.process_time()

    def over(self) -> bool:
        return time.perf_counter() - self.began >= self.seconds

    async def timed(self, call: Awaitable[tuple[int, bytes]], operations: int) -> bytes:
        began = time.perf_counter()
        status, body = await call
        self.latencies.append(time.perf_counter() - began)
        if status != 200:
            raise RuntimeError(f"{self.name}: {status} {body[:300]!r}")
        self.operations += operations
        return body

    async def fill(self, count: int) -> None:
        connection = await self.connect()
        stamp = f"{os.getpid()}-{time.time_ns()}"
        for start in range(0, count, 500):
            body = (
                b"[" + b",".join(events.encoded(f"{stamp}-{i}") for i in range(start, min(start + 500, count))) + b"]"
            )
            status, reply = await connection.request("POST", "/api/v2/event?model=binary&sync=true", body)
            if status != 200:
                raise RuntimeError(f"fill: {status} {reply[:300]!r}")
        connection.close()


async def post(row: Row, per_request: int, connections: int, sync: bool) -> None:
    bodies = []
    for number in range(64 if per_request == 1 else 8):
        texts = [events.encoded(f"{os.getpid()}-{number}-{i}") for i in range(per_request)]
        bodies.append(texts[0] if per_request == 1 else b"[" + b",".join(texts) + b"]")
    path = "/api/v2/event?model=binary" + ("&sync=true" if sync else "")
    clients = [await row.connect() for _ in range(connections)]
    await clients[0].request("POST", path, bodies[0])
    row.start_clock()

    async def one(client: Connection) -> None:
        turn = 0
        while not row.over():
            turn += 1
            await row.timed(client.request("POST", path, bodies[turn % len(bodies)]), per_request)

    await asyncio.gather(*map(one, clients))


async def fetch(row: Row, count: int, readers: int = 1) -> None:
    total = 40_000
    await row.fill(total)
    clients = [await row.connect() for _ in range(readers)]
    row.start_clock()

    async def one(number: int, client: Connection) -> None:
        name = f"bench-{os.getpid()}-{number}"
        path = f"/api/v2/event/binary/passive?name={name}&version=1&r-historic=true&count={count}&deadline=0"
        for _ in range(total // count - 1):
            if row.over():
                return
            await row.timed(client.request("GET", path), count)

    await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))


async def latency(row: Row, rate: int) -> None:
    """From the begin of a POST to the reply of the poll that waits for it."""
    name = f"waiting-{os.getpid()}"
    path = f"/api/v2/event/binary/passive?name={name}&version=1&r-live=true&count=1&deadline=5"
    poster, waiting = await row.connect(), await row.connect()
    bodies = [events.encoded(f"{os.getpid()}-{number}") for number in range(64)]
    await poster.request("POST", "/api/v2/event?model=binary&sync=true", bodies[0])
    await waiting.request("GET", path.replace("deadline=5", "deadline=0"))
    posted: deque[float] = deque()
    row.start_clock()

    async def receive() -> None:
        while not row.over():
            status, body = await waiting.request("GET", path, accept="application/json")
            found = json.loads(body)["info"]["fetched"]
            if status != 200:
                raise RuntimeError(f"{row.name}: {status} {body[:300]!r}")
            now = time.perf_counter()
            row.latencies += [now - posted.popleft() for _ in range(found)]
            row.operations += found

    receiving = asyncio.create_task(receive())
    turn = 0
    while not row.over():
        await asyncio.sleep(max(row.began + turn / rate - time.perf_counter(), 0))
        posted.append(time.perf_counter())
        await poster.request("POST", "/api/v2/event?model=binary&sync=true", bodies[turn % 64])
        turn += 1
    receiving.cancel()
    await asyncio.wait([receiving])
    if not receiving.cancelled():
        receiving.result()


async def jobs(row: Row, workers: int, count: int) -> None:
    await row.fill(20_000 if count == 1 else 60_000)
    name = f"worker-{os.getpid()}"
    path = f"/api/v2/event/binary/active?name={name}&version=1&{FLAGS}&d-self=true&count={count}&deadline=2"
    clients = [await row.connect() for _ in range(workers)]
    await clients[0].request("GET", path.replace(f"count={count}", "count=1"), accept="application/json")
    row.start_clock()

    async def one(client: Connection) -> None:
        while not row.over():
            began = time.perf_counter()
            found = (await client.json(path))["events"]
            if not found:
                return
            answers = [events.completed(event, name) for event in found]
            body = answers[0] if len(answers) == 1 else b"[" + b",".join(answers) + b"]"
            status, reply = await client.request("POST", "/api/v2/event?model=status", body)
            if status != 200 or json.loads(reply)["total_failures"]:
                raise RuntimeError(f"status: {status} {reply[:300]!r}")
            row.latencies.append(time.perf_counter() - began)
            row.operations += len(found)

    await asyncio.gather(*map(one, clients))


async def upload(row: Row, size: int, connections: int) -> None:
    clients = [await row.connect() for _ in range(connections)]
    body = bytearray(os.urandom(size))
    await clients[0].request("POST", "/api/v3/stream/bench/content", os.urandom(10_000))
    row.start_clock()

    async def one(client: Connection) -> None:
        while not row.over():
            body[:16] = os.urandom(16)
            await row.timed(client.request("POST", "/api/v3/stream/bench/content", bytes(body)), 1)

    await asyncio.gather(*map(one, clients))


ROWS: dict[str, Callable[[Row], Coroutine[Any, Any, None]]] = {
    "post-1": lambda row: post(row, 1, 8, sync=False),
    "post-1-sync": lambda row: post(row, 1, 8, sync=True),
    "post-345": lambda row: post(row, 345, 2, sync=False),
    "post-345-sync": lambda row: post(row, 345, 2, sync=True),
    "fetch-1000": lambda row: fetch(row, 1000),
    "fetch-1000-by-4": lambda row: fetch(row, 1000, readers=4),
    "latency-200": lambda row: latency(row, 200),
    "jobs-1": lambda row: jobs(row, 1, 1),
    "jobs-8": lambda row: jobs(row, 8, 1),
    "jobs-count-50": lambda row: jobs(row, 4, 50),
    "upload-10KB": lambda row: upload(row, 10_000, 4),
    "upload-1MB": lambda row: upload(row, 1_000_000, 2),
    "upload-100MB": lambda row: upload(row, 100_000_000, 1),
}


def main() -> None:
    name, host, port, seconds = sys.argv[1:]
    row = Row(name, host, int(port), float(seconds))
    asyncio.run(ROWS[name](row))
    elapsed = time.perf_counter() - row.began
    latencies = sorted(row.latencies)
    result = {
        "operations": row.operations,
        "seconds": elapsed,
        "generator_cpu": time.process_time() - row.cpu,
        "p50_ms": latencies[len(latencies) // 2] * 1e3,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
