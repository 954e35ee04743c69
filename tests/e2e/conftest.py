"""Real processes for end-to-end tests: killed at the end whatever happens, and their logs shown when a test fails."""

import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.ledger.many import ManyLab
from tests.e2e.ledger.processes import Processes
from tests.e2e.ledger.settings import many_settings
from tests.e2e.ledger.topics import make_journal
from tests.e2e.ledger.witness import Witness
from tests.kafka.broker import KafkaBroker
from tests.kafka.jars import jars

STARTED = pytest.StashKey[Processes]()
LINES = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """For `make soak`."""
    group = parser.getgroup("soak")
    group.addoption("--kills", type=int, default=20, help="kill -9 of dispatchers")
    group.addoption("--broker-kills", type=int, default=4, help="kill -9 of the broker")
    group.addoption("--outage", type=float, default=60, help="seconds for which the broker is away once")
    group.addoption("--session", type=float, default=3, help="seconds of silence that cost a dispatcher its place")


@pytest.fixture
def processes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Processes]:
    """Starts `dispatcher` and `dispatcher-sdk` as processes with private folders."""
    started = Processes(tmp_path)
    request.node.stash[STARTED] = started
    yield started
    started.close()


@pytest.fixture
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Lines for the end of the run, also when everything passed."""
    return pytestconfig.stash.setdefault(LINES, []).append


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("LEDGER_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.fixture(scope="module")
def broker(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One that we may kill; the shared one says whether there can be any."""
    broker = KafkaBroker(tmp_path_factory.mktemp("broker"), jars())
    broker.start()
    yield broker
    broker.kill9()


@pytest.fixture
def session_seconds() -> float:
    """After which a dispatcher that is silent has lost its place."""
    return 2.0


@pytest.fixture
async def many(
    processes: Processes, tmp_path: Path, seed: int, broker: KafkaBroker, topic_prefix: str, session_seconds: float
) -> AsyncIterator[ManyLab]:
    """Three dispatchers and four plugins at work, on topics that are compacted all the time."""
    settings = many_settings(broker.endpoint, topic_prefix, tmp_path / "store", session_seconds)
    await make_journal(broker.endpoint, f"azul.{topic_prefix}.system.dispatch")
    async with Witness() as witness, aiohttp.ClientSession() as session:
        lab = ManyLab(processes, witness, session, tmp_path / "data", seed, settings, broker)
        async with lab.running():
            yield lab


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> "Iterator[None]":  # pragma: no cover - only failing tests
    if call.excinfo is not None and STARTED in item.stash:
        for running in item.stash[STARTED].started:
            item.add_report_section(call.when, running.name, running.tail())
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line)
