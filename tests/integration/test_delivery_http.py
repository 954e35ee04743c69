"""Delivery as plugins see it over HTTP: leases, redelivery, priorities, filters, pauses, restarts.

Time is a clock that the test moves; what the server does by itself is seen through long polls.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dispatcher.testing import LocalDispatcher
from tests import shapes
from tests.shapes import JsonDict, status_of

JOBS = "/api/v2/event/binary/active?name=plug&version=1&r-expedite=true&r-live=true&r-historic=true"
READ = "/api/v2/event/{}/passive?name=reader&version=1&r-live=true&r-historic=true"
ATTEMPT, OFFSET = 4, 3
"""Pieces of a token's place."""


class Clock:
    """Begins now: Kafka keeps statuses for a day by its own clock, and takes away what seems to be older."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


def binary(number: int, source: str = "lab", **changes: Any) -> JsonDict:
    return shapes.binary(f"{number:064x}", source, number, **changes)


def numbers(events: list[JsonDict]) -> list[int]:
    return [int(event["entity"]["sha256"], 16) for event in events]


def place(event: JsonDict) -> list[str]:
    return event["dequeued"].split(".")[-2].split("-")


class Client:
    """Speaks plain HTTP; replies as Python values."""

    def __init__(self, http: aiohttp.ClientSession, server: LocalDispatcher, clock: Clock) -> None:
        self.http = http
        self.server = server
        self.clock = clock

    async def post(self, events: JsonDict | list[JsonDict], model: str = "binary", query: str = "") -> None:
        async with self.http.post(f"/api/v2/event?model={model}{query}", json=events) as response:
            assert response.status == 200, await response.text()
            assert (await response.json())["total_failures"] == 0

    async def status(self, job: JsonDict, status: str = "completed-empty") -> None:
        await self.post(status_of(job, status), "status")

    async def poll(self, path: str = JOBS, count: int = 1, deadline: int = 0) -> tuple[JsonDict, list[JsonDict]]:
        query = f"{path}&count={count}&deadline={deadline}"
        async with self.http.get(query, headers={"Accept": "application/json"}) as response:
            assert response.status == 200, await response.text()
            reply = await response.json()
            assert reply["info"]["fetched"] == len(reply["events"])
            return reply["info"], reply["events"]

    async def jobs(self, path: str = JOBS, count: int = 1, deadline: int = 5) -> list[JsonDict]:
        """Waits no longer than until `count` are there."""
        return (await self.poll(path, count, deadline))[1]

    async def none_left(self, path: str = JOBS, deadline: int = 0) -> bool:
        return await self.jobs(path, 9, deadline) == []

    async def release(self, job: JsonDict, after: int = 0) -> int:
        async with self.http.post(f"/api/v2/lease/{job['dequeued']}/release?after={after}") as response:
            return response.status

    async def tail_has(self, topic: str) -> None:
        """Until the server has seen what was posted to this system topic."""
        position = self.server.app.delivery.scheduler.position
        async with asyncio.timeout(5):
            while not any(at for (name, _), at in position.items() if name.endswith(f"system.{topic}")):  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def metric(self, line: str) -> float:
        async with self.http.get("/metrics") as response:
            values = [row.rpartition(" ")[2] for row in (await response.text()).splitlines() if row.startswith(line)]
        return float(values[0]) if values else 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(tmp_path: Path, clock: Clock, log: dict[str, str]) -> AsyncIterator[Client]:
    async with (
        LocalDispatcher(tmp_path, clock=clock, lease_seconds=60, **log) as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        yield Client(http, server, clock)


# ---- leases


async def test_a_job_whose_worker_dies_comes_again(client: Client) -> None:
    await client.post(binary(1))
    (job,) = await client.jobs()
    assert await client.none_left(), "somebody works on it"
    client.clock.now += 61
    (again,) = await client.jobs()
    assert again["entity"] == job["entity"]
    assert [place(job)[ATTEMPT], place(again)[ATTEMPT]] == ["1", "2"]
    await client.status(again)
    client.clock.now += 61
    assert await client.none_left(deadline=1)


async def test_a_client_may_ask_for_a_shorter_lease(client: Client) -> None:
    await client.post([binary(1), binary(2)])
    (short,) = await client.jobs(JOBS + "&lease=10")
    await client.jobs()
    client.clock.now += 11
    (again,) = await client.jobs()
    assert numbers([again]) == numbers([short])
    assert await client.none_left()


async def test_heartbeats_keep_a_job(client: Client) -> None:
    await client.post(binary(1))
    (job,) = await client.jobs()
    for _ in range(4):
        client.clock.now += 50
        await client.status(job, "heartbeat")
    assert await client.none_left(deadline=1)
    client.clock.now += 61
    assert len(await client.jobs()) == 1


async def test_attempts_end_in_an_error_of_the_plugin_and_a_dead_letter(client: Client) -> None:
    await client.post(binary(7))
    await client.poll(READ.format("status"))
    for _ in range(3):
        assert len(await client.jobs()) == 1
        client.clock.now += 61
    (status,) = await client.jobs(READ.format("status"))
    entity = status["entity"]
    assert (entity["status"], entity["error"]) == ("error-runner", "lease expired 3 times")
    assert (status["author"]["name"], status["author"]["category"]) == ("plug", "plugin")
    assert entity["input"]["entity"]["sha256"] == f"{7:064x}"
    assert await client.none_left(deadline=1)
    log = client.server.app.delivery._log
    (topic,) = [topic for topic in log.topics() if topic.endswith("system.deadletter")]
    (record,) = (await log.read((topic, 0), 0, 1 << 20)).records
    letter = json.loads(record.value or b"")
    assert (letter["name"], letter["attempts"], letter["reason"]) == ("plug", 3, "lease expired 3 times")
    assert letter["event"]["entity"]["sha256"] == f"{7:064x}"
    assert await client.metric('dispatcher_dead_letters_total{reason="lease"}') == 1


async def test_a_late_status_ends_what_somebody_else_has_by_now(client: Client) -> None:
    await client.post(binary(1))
    (slow,) = await client.jobs()
    client.clock.now += 61
    assert len(await client.jobs()) == 1
    await client.status(slow)
    client.clock.now += 61
    assert await client.none_left(deadline=1)
    finished = 'dispatcher_events_finished_total{plugin="plug",status="completed-empty"}'
    assert await client.metric(finished) == 1


async def test_jobs_can_be_given_back(client: Client) -> None:
    await client.post(binary(1))
    (job,) = await client.jobs()
    assert await client.release(job, after=30) == 200
    assert await client.none_left(deadline=1)
    client.clock.now += 30
    (again,) = await client.jobs()
    assert numbers([again]) == [1]
    assert await client.release({"dequeued": job["dequeued"].replace("-", "-9", 1)}) == 404
    assert await client.release({"dequeued": "key.plug.1.1700000000"}) == 404
    assert await client.release({"dequeued": job["dequeued"]}) == 200, "once more changes nothing"
    assert await client.none_left(deadline=1)


async def test_statuses_that_name_what_nobody_handed_out_end_nothing(client: Client) -> None:
    """A plugin that reckons with tokens instead of repeating them must harm nobody."""
    await client.post([binary(n) for n in range(5)])
    (job,) = await client.jobs()
    for offset in ("1", "2", str(2**62), "9" * 40, "-1", ""):
        pieces = place(job)
        pieces[OFFSET] = offset
        head, _, tail = job["dequeued"].rsplit(".", 2)
        await client.status({**job, "dequeued": f"{head}.{'-'.join(pieces)}.{tail}"})
    assert numbers(await client.jobs(count=4)) == [1, 2, 3, 4]
    assert await client.none_left()


# ---- order


async def test_an_expedited_event_is_next(client: Client) -> None:
    await client.post([binary(n) for n in range(50)])
    assert numbers(await client.jobs(count=3)) == [0, 1, 2]
    await client.post(binary(99, flags={"expedite": True}))
    await client.tail_has("expedite")  # where the log is elsewhere, news take some milliseconds
    assert numbers(await client.jobs(count=3))[0] == 99


async def test_live_before_historic_and_no_doubles(client: Client) -> None:
    await client.post([binary(n) for n in range(20)])
    first = numbers(await client.jobs(count=5))
    await client.post([binary(n) for n in range(20, 30)])
    rest = numbers(await client.jobs(count=25))
    assert sorted(first + rest) == list(range(30))
    assert set(range(20, 30)) <= set(rest)
    assert await client.none_left(deadline=1)


async def test_live_only_begins_now(client: Client) -> None:
    await client.post(binary(1))
    live = JOBS.replace("&r-historic=true", "")
    assert await client.none_left(live)
    await client.post(binary(2))
    assert numbers(await client.jobs(live)) == [2]
    assert await client.none_left(live)


async def test_historic_only_goes_on(client: Client) -> None:
    """The most important consumer, the metastore, reads so."""
    path = "/api/v2/event/binary/passive?name=ingestor&version=1&r-historic=true"
    await client.post([binary(1), binary(2)])
    assert numbers(await client.jobs(path, count=2)) == [1, 2]
    waiting = asyncio.create_task(client.jobs(path, deadline=10))
    await client.post(binary(3))
    assert numbers(await waiting) == [3]


# ---- several clients


async def test_two_pollers_never_get_the_same_event(client: Client) -> None:
    await client.poll()
    polls = [asyncio.create_task(client.jobs(count=5)) for _ in range(8)]
    for start in range(0, 40, 10):
        await client.post([binary(n) for n in range(start, start + 10)])
    seen = [number for poll in polls for number in numbers(await poll)]
    assert sorted(seen) == list(range(40))


@pytest.mark.parametrize("kind", ["active", "passive"])
async def test_what_a_client_that_went_away_was_to_get_goes_to_the_next(client: Client, kind: str) -> None:
    path = JOBS.replace("active", kind)
    await client.post(binary(1))
    host, port = client.server.url.removeprefix("http://").split(":")
    for number in range(2, 6):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path}&count=50&deadline=60 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await client.post(binary(number))
        writer.close()
        await writer.wait_closed()
    assert sorted(numbers(await client.jobs(path, count=5))) == [1, 2, 3, 4, 5]


async def test_active_and_passive_share_what_is_to_be_seen(client: Client) -> None:
    await client.post([binary(n) for n in range(4)])
    (job,) = await client.jobs()
    passive = await client.jobs(JOBS.replace("active", "passive"), count=2)
    assert numbers([job, *passive]) == [0, 1, 2]
    assert "dequeued" not in passive[0]
    client.clock.now += 61
    again = numbers(await client.jobs(count=2))
    assert sorted(again) == [0, 3], "a lease ends; what was read passively is done"
    assert await client.none_left()


# ---- filters


async def test_filters_may_change_from_poll_to_poll(client: Client) -> None:
    await client.post([binary(n) for n in range(1, 9)])
    assert numbers(await client.jobs(JOBS + "&r-under-content-size=4", count=2)) == [1, 2]
    info, jobs = await client.poll(JOBS + "&r-over-content-size=4", deadline=5)
    assert numbers(jobs) == [4], "what was decided and not handed out is decided again"
    assert info["filters"]["FilterConsumerRules-reject_content_too_small"] == 1
    await client.post(binary(9))
    assert numbers(await client.jobs()) == [9], "what a filter said no to is done"
    assert await client.none_left()


async def test_counts_are_exact(client: Client) -> None:
    picky = JOBS + "&r-under-content-size=4"
    await client.post([binary(n) for n in range(10)])
    totals = {"filtered": 0, "fetched": 0}
    for _ in range(10):
        info, _ = await client.poll(picky, count=2)
        assert info["filtered"] == sum(info.get("filters", {}).values())
        for name in totals:
            totals[name] += info[name]
    assert totals == {"filtered": 5, "fetched": 5}
    await client.post([binary(n) for n in range(5, 8)])
    info, _ = await client.poll(picky, deadline=1)
    assert info["filters"] == {"FilterConsumerRules-reject_content_too_large": 3}
    info, _ = await client.poll(picky)
    assert "filters" not in info


async def test_reset_begins_anew_and_debug_is_somebody_else(client: Client) -> None:
    await client.post([binary(1), binary(2)])
    jobs = await client.jobs(count=2)
    assert numbers(await client.jobs(JOBS + "&debug=true", count=2)) == [1, 2]
    assert numbers(await client.jobs(JOBS + "&reset=true", count=2)) == [1, 2]
    await client.status(jobs[0])
    client.clock.now += 61
    assert sorted(numbers(await client.jobs(count=2))) == [1, 2], "the old token means nothing now"
    assert len(await client.jobs(JOBS + "&debug=true", count=2)) == 2


async def test_simulate_asks_who_polled_within_a_day(client: Client) -> None:
    await client.poll(JOBS + "&r-under-content-size=4")
    await client.poll(READ.format("plugin"))
    async with client.http.post("/api/v2/event/simulate", json=binary(5)) as response:
        consumers = {c["name"]: c for c in (await response.json())["consumers"]}
    assert consumers["plug"]["filter_out_trigger"] == "FilterConsumerRules-reject_content_too_large"
    assert (consumers["reader"]["filter_out"], consumers["reader"]["filter_out_trigger"]) == (False, "")
    client.clock.now += 86_401
    async with client.http.post("/api/v2/event/simulate", json=binary(5)) as response:
        assert (await response.json())["consumers"] == []


# ---- topics and pauses


async def test_who_has_nothing_to_read_yet_is_told(client: Client) -> None:
    info, _ = await client.poll()
    assert (info["ready"], info["consumers_not_ready"]) == (False, "live,historic")
    await client.post(binary(1))
    info, events = await client.poll(deadline=5)
    assert info["ready"]
    assert "consumers_not_ready" not in info
    assert numbers(events) == [1]


async def test_a_new_source_reaches_a_poll_that_waits(client: Client) -> None:
    for source in ("first", "second", "third"):
        waiting = asyncio.create_task(client.jobs(JOBS.replace("&r-historic=true", ""), deadline=10))
        await client.poll(READ.format("binary"))  # the other request is there by now
        await client.post(binary(1, source))
        async with asyncio.timeout(1):
            (job,) = await waiting
        assert job["source"]["name"] == source


async def test_a_pause_and_what_comes_after(client: Client) -> None:
    await client.post(binary(1))
    (job,) = await client.jobs()
    waiting = asyncio.create_task(client.poll(deadline=20))
    await client.poll(READ.format("plugin"))
    await client.post(binary(2), query="&pause_plugins=true&sync=true")
    info, events = await waiting
    while not info["paused"]:  # it got the event before the pause began
        info, events = await client.poll()
    assert (info["paused"], info["ready"]) == (True, False)
    assert numbers(await client.jobs(READ.format("binary"), count=2)) == [1, 2], "readers go on"
    await client.post([binary(3), binary(4)])
    client.clock.now += 590
    assert (await client.poll())[0]["paused"]
    await client.status(job)
    client.clock.now += 11
    info, events = await client.poll(count=9, deadline=1)
    assert (info["paused"], numbers(events)) == (False, []), "what piled up is not for plugins"
    await client.post(binary(5))
    assert numbers(await client.jobs()) == [5]
    assert await client.none_left()


# ---- restarts


async def test_a_restart_keeps_leases_and_repeats_nothing(tmp_path: Path, clock: Clock, log: dict[str, str]) -> None:
    lasting = log or {"event_log": "sqlite"}
    finished: list[int] = []
    jobs: list[JsonDict] = []
    for round_ in range(3):
        async with (
            LocalDispatcher(tmp_path, clock=clock, lease_seconds=60, **lasting) as server,
            aiohttp.ClientSession(server.url) as http,
        ):
            client = Client(http, server, clock)
            if round_ == 0:
                await client.post([binary(n) for n in range(6)])
                jobs = await client.jobs(count=4)
                await client.status(jobs[0])
                assert await client.release(jobs[1], after=30) == 200
            elif round_ == 1:
                assert numbers(await client.jobs(count=2)) == [4, 5], "what is leased or waits stays so"
                assert await client.none_left()
                await client.status(jobs[2])  # answered to another process than the one that gave it
                finished = numbers([jobs[0], jobs[2]])
            else:
                clock.now += 61
                left = numbers(await client.jobs(count=4))
                assert sorted(left + finished) == list(range(6))
