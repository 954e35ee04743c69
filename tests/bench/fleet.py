"""Subscribers and the events for them, in one process: `python -m tests.bench.fleet JSON`, see generator.py.

Events are of so many kinds (sizes of content); subscriber i wants kind i % kinds only. Of ten subscribers six are
plugins with jobs (`active`, answered with a completed status), three read passively and one reads what is older first.
"""

import asyncio
import json
import re
import secrets
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.bench import events
from tests.bench.generator import READY
from tests.bench.wire import Connection

STEP = 1_000
"""Bytes between the sizes of two kinds."""
NEVER = 1_000
"""Kinds from here on do not come."""
FETCHED = re.compile(rb'"fetched":(\d+)')
POSTED_AT = re.compile(rb'"submitter":"(\d+)"')
PIECE = 500
LATEST_SECONDS = 30.0
REFUSED_SECONDS = 0.05


@dataclass
class Plan:
    """What the whole is told at its start."""

    servers: list[str]
    """HOST:PORT; subscribers and posts take turns."""
    subscribers: int
    kinds: int
    count: int = 50
    """Most events in one reply; a job at a time is 1."""
    mixed: bool = True
    """False: all read passively, and live only."""
    name: str = "fleet"
    posts_to: list[str] = field(default_factory=list)
    """HOST:PORT of the servers that events are posted to; empty means the same."""
    matching: bool = True
    """False: each wants a kind of its own that never comes."""
    one_topic: bool = False
    """Each reads one topic only, else those of all actions."""
    in_turn: bool = False
    """Those that read what is older begin one after the other, not at the same time."""


@dataclass
class Subscriber:
    number: int
    kind: int
    task: bool
    historic: bool
    server: str
    path: str
    seen: int = 0
    latencies: list[float] = field(default_factory=list)


def event_of(kind: int) -> dict[str, Any]:
    """Unlike any other, as brokers pack what is alike."""
    event = events.binary(secrets.token_hex(8), size=kind * STEP + STEP // 2)
    event["source"]["references"]["submitter"] = str(time.perf_counter_ns())
    return event


def subscriber(plan: Plan, number: int) -> Subscriber:
    kind = number % plan.kinds if plan.matching else NEVER + number
    historic = plan.mixed and number % 10 == min(9, plan.subscribers - 1)
    task = plan.mixed and not historic and number % 10 < 6
    bounds = f"r-over-content-size={max(kind * STEP, 1)}&r-under-content-size={kind * STEP + STEP - 1}"
    count = plan.count if task or not plan.mixed else 1000
    topic = "&r-action=extracted" if plan.one_topic else ""
    path = (
        f"/api/v2/event/binary/{'active' if task else 'passive'}?name={plan.name}-{number}&version=1&{bounds}{topic}"
        f"&r-live=true&r-historic={str(historic).lower()}&count={count}"
    )
    return Subscriber(number, kind, task, historic, plan.servers[number % len(plan.servers)], path)


class Fleet:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.all = [subscriber(plan, number) for number in range(plan.subscribers)]
        self._polls: list[asyncio.Task[None]] = []
        self._posters: dict[str, Connection] = {}
        self._posted = 0

    # ---- what the parent asks for

    async def fill(self, events: int) -> dict[str, Any]:
        """Post so many, of all kinds in turn."""
        for start in range(0, events, PIECE):
            await self._post(min(PIECE, events - start))
        return {}

    async def join(self) -> dict[str, Any]:
        """Each asks once and does not wait; those that read what is older do so only when they begin in turn."""
        for server in self.plan.servers:
            connection = await self._open(server)
            for one in self.all:
                if one.server == server and (self.plan.in_turn or not one.historic):
                    await self._ask(connection, one, 0)
            connection.close()
        return {}

    async def catch_up(self) -> dict[str, Any]:
        """Those that read what is older read all of it, at the same time."""
        began, cpu = time.perf_counter(), time.process_time()
        readers = [one for one in self.all if one.historic]

        async def read(one: Subscriber) -> None:
            connection = await self._open(one.server)
            wanted = sum(number % self.plan.kinds == one.kind for number in range(self._posted))
            while one.seen < wanted:
                await self._ask(connection, one, 1)
            connection.close()

        await asyncio.gather(*map(read, readers))
        return {"readers": len(readers), **_spent(began, cpu)}

    async def stay(self, deadline: int) -> dict[str, Any]:
        """From now on each waits in long polls of so many seconds."""
        await self.leave()
        self._polls = [asyncio.create_task(self._poll(one, deadline)) for one in self.all]
        return {}

    async def leave(self) -> dict[str, Any]:
        for poll in self._polls:
            poll.cancel()
        if self._polls:
            await asyncio.wait(self._polls)
        self._polls.clear()
        return {}

    async def wait(self, seconds: float) -> dict[str, Any]:
        await asyncio.sleep(seconds)
        self._check()
        return {}

    async def load(self, rate: float, seconds: float, batch: int) -> dict[str, Any]:
        """Post at a rate, `batch` events a request, until everybody has what is his."""
        began, cpu = time.perf_counter(), time.process_time()
        start, seen = self._posted, sum(one.seen for one in self.all)
        for one in self.all:
            one.latencies.clear()
        turns = int(rate * seconds / batch)
        for turn in range(turns):
            await asyncio.sleep(max(began + turn * batch / rate - time.perf_counter(), 0))
            await self._post(batch)
            self._check()
        posting = time.perf_counter() - began
        due = sum(kind % self.plan.kinds == one.kind for kind in range(start, self._posted) for one in self.all)
        end = time.perf_counter() + LATEST_SECONDS
        while (got := sum(one.seen for one in self.all) - seen) < due:
            self._check()
            if time.perf_counter() > end:
                raise RuntimeError(f"only {got} of {due} events have arrived after {LATEST_SECONDS:g} s")
            await asyncio.sleep(0.05)
        latencies = sorted(value for one in self.all for value in one.latencies) or [0.0]
        return {
            "posted": self._posted - start,
            "delivered": due,
            "posting_seconds": posting,
            "p50_ms": latencies[len(latencies) // 2] * 1e3,
            "p99_ms": latencies[int(len(latencies) * 0.99)] * 1e3,
            "longest_ms": latencies[-1] * 1e3,
            **_spent(began, cpu),
        }

    async def poll_from(self, number: int, server: str, polls: int) -> dict[str, Any]:
        """One subscriber fetches so many times from this server; it does not wait."""
        one = next(one for one in self.all if one.number == number)
        connection = await self._open(server)
        began, cpu, seen = time.perf_counter(), time.process_time(), one.seen
        for _ in range(polls):
            await self._ask(connection, one, 0)
        connection.close()
        return {"polls": polls, "events": one.seen - seen, **_spent(began, cpu)}

    # ---- how

    async def _open(self, server: str) -> Connection:
        host, _, port = server.rpartition(":")
        return await Connection.open(host, int(port))

    def _check(self) -> None:
        """A poll that failed fails everything."""
        for poll in self._polls:
            if poll.done() and not poll.cancelled():
                poll.result()

    async def _post(self, count: int) -> None:
        servers = self.plan.posts_to or self.plan.servers
        server = servers[(self._posted // count) % len(servers)]
        if server not in self._posters:
            self._posters[server] = await self._open(server)
        numbers = range(self._posted, self._posted + count)
        body = msgspec.json.encode([event_of(number % self.plan.kinds) for number in numbers])
        status, reply = await self._posters[server].request("POST", "/api/v2/event?model=binary&sync=true", body)
        if status != 200:
            raise RuntimeError(f"post: {status} {reply[:300]!r}")
        self._posted += count

    async def _poll(self, one: Subscriber, deadline: int) -> None:
        connection = await self._open(one.server)
        try:
            while True:
                await self._ask(connection, one, deadline)
        finally:
            connection.close()

    async def _ask(self, connection: Connection, one: Subscriber, deadline: int) -> None:
        path = f"{one.path}&deadline={deadline}"
        status, body = await connection.request("GET", path, accept="application/json")
        if status == 503:  # nobody serves it at the moment
            return await asyncio.sleep(REFUSED_SECONDS)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {body[:300]!r}")
        fetched = FETCHED.search(body, 0, 400)
        if fetched is None or fetched[1] == b"0":
            return
        now = time.perf_counter_ns()
        one.latencies += [(now - int(at)) / 1e9 for at in POSTED_AT.findall(body)]
        if one.task:
            await self._complete(connection, one, body)
        one.seen += int(fetched[1])

    async def _complete(self, connection: Connection, one: Subscriber, body: bytes) -> None:
        own = {"name": f"{self.plan.name}-{one.number}", "version": "1", "category": "plugin"}
        statuses = [
            {
                "model_version": 6,
                "timestamp": events.NOW,
                "author": own,
                "entity": {
                    "input": {**event, "entity": {"sha256": event["entity"]["sha256"]}},
                    "status": "completed",
                    "runtime": 0.01,
                },
            }
            for event in msgspec.json.decode(body)["events"]
        ]
        body = msgspec.json.encode(statuses)
        status, reply = await connection.request("POST", "/api/v2/event?model=status", body)
        if status != 200 or json.loads(reply)["total_failures"]:
            raise RuntimeError(f"status: {status} {reply[:300]!r}")


def _spent(began: float, cpu: float) -> dict[str, float]:
    return {"seconds": time.perf_counter() - began, "generator_cpu": time.process_time() - cpu}


async def main(plan: Plan) -> None:
    fleet = Fleet(plan)
    print(READY, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        asked = json.loads(line)
        answer = await getattr(fleet, asked.pop("do"))(**asked)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Plan(**json.loads(sys.argv[1]))))
