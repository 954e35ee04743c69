"""`make soak`: three dispatchers, and everything that may go wrong at the same time, for as long as it is asked for.

LEDGER_SEED=N repeats the choices of a run; what the machine makes of them differs. Not part of `make test`.
"""

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from tests.e2e.ledger.many import Deed, ManyLab
from tests.e2e.ledger.settings import SOURCE
from tests.e2e.ledger.topics import compacted_away

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(7200)]

_ANSWERS_LOST = 0.02
_AT_MOST = 20.0
"""Seconds without progress after which a server may be killed all the same: while the log is away, say."""


@pytest.fixture
def session_seconds(pytestconfig: pytest.Config) -> float:
    return float(pytestconfig.getoption("session"))


async def test_everything_at_once(
    many: ManyLab, session_seconds: float, seed: int, say: Callable[[str], None], pytestconfig: pytest.Config
) -> None:
    began = time.monotonic()
    servers, brokers, outage = (pytestconfig.getoption(name) for name in ("kills", "broker_kills", "outage"))
    tell = pytestconfig.get_terminal_writer().line
    tell(f"soak, seed {seed}: {servers} kills of dispatchers, {brokers} of the broker, once away for {outage:g} s")
    to_servers: list[Deed] = [
        *[many.kill_one] * servers,
        *[lambda: many.stop_for(session_seconds * many.random.uniform(0.5, 3))] * max(1, servers // 6),
        *[many.kill_runner, many.kill_worker] * max(1, servers // 10),
        *[many.grow] * 2,
    ]
    to_broker: list[Deed] = [
        *[many.kill_broker] * (brokers - 1),
        lambda: many.kill_broker(away=outage),
        lambda: many.hang_broker(session_seconds * 2),
    ]
    many.witness.loses = lambda: many.random.random() < _ANSWERS_LOST
    async with many.working(SOURCE, "late", SOURCE, "later"), asyncio.TaskGroup() as group:
        group.create_task(many.happen(to_servers, random.Random(f"{seed} servers"), at_most=_AT_MOST))
        group.create_task(many.happen(to_broker, random.Random(f"{seed} broker"), 200, 600))
    many.witness.loses = lambda: False
    log, account = await many.closed()
    gone = await compacted_away(many.endpoint, many.journal)
    say(f"soak, seed {seed}, {time.monotonic() - began:.0f} s: {account.line()}; compacted away: {gone}")
    assert not account.problems, account.told()
    assert account.lost == 0
    assert account.finished == account.pairs
    assert {event["entity"]["sha256"] for event in log.binaries} >= many.load.samples.sha256s
    assert gone
