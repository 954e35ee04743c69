"""Three dispatchers on one Kafka: whoever is killed, stopped or away, nothing is lost or done twice without a reason.

Real processes, a real broker of our own, real signals. LEDGER_SEED=N repeats the choices of a run.
"""

import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.ledger import samples as sampling
from tests.e2e.ledger.lab import PLUGINS, summary
from tests.e2e.ledger.many import ManyLab
from tests.e2e.ledger.processes import Processes, Running
from tests.e2e.ledger.samples import Samples
from tests.e2e.ledger.witness import Witness
from tests.kafka.broker import KafkaBroker
from tests.kafka.jars import jars

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(240)]

SESSION = 2
Say = Callable[[str], None]
Deed = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return sampling.make(tmp_path_factory.mktemp("samples") / "files")


@pytest.fixture(scope="module")
def broker(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One that we may kill; the shared one says whether there can be any."""
    broker = KafkaBroker(tmp_path_factory.mktemp("broker"), jars())
    broker.start()
    yield broker
    broker.kill9()


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("LEDGER_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.fixture
def session_seconds() -> float:
    return SESSION


@pytest.fixture
async def lab(
    processes: Processes,
    tmp_path: Path,
    seed: int,
    broker: KafkaBroker,
    topic_prefix: str,
    session_seconds: float,
) -> AsyncIterator[ManyLab]:
    settings = {
        "DISPATCHER_KAFKA_ENDPOINT": broker.endpoint,
        "DISPATCHER_KAFKA_TOPIC_PREFIX": topic_prefix,
        "DISPATCHER_KAFKA_SESSION_SECONDS": str(session_seconds),
        "DISPATCHER_GLOBAL_PARTITION_COUNT": "2",
        "DISPATCHER_STORE": (tmp_path / "store").as_uri(),
    }
    async with Witness() as witness, aiohttp.ClientSession() as session:
        made = ManyLab(processes, witness, session, tmp_path / "data", seed, settings, broker)
        await made.start_servers()
        yield made


async def _happen(lab: ManyLab, deeds: list[Deed], folders: list[Path]) -> list[Running]:
    """Each deed at a random moment while the files of another folder are worked on. Gives the submitters."""
    submits = []
    lab.random.shuffle(deeds)
    for deed, folder in zip(deeds, folders, strict=True):
        submits.append(lab.submit(folder))
        await lab.at(deed, moves=lab.witness.saw.moves + lab.random.randrange(5, 60))
    return submits


def _portions(samples: Samples, count: int, folder: Path) -> list[Path]:
    """The samples, dealt into so many folders."""
    folders = [folder / str(number) for number in range(count)]
    for number, path in enumerate(sorted(path for path in samples.folder.rglob("*") if path.is_file())):
        target = folders[number % count] / f"{number}-{path.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    return folders


async def test_nothing_is_lost_whoever_is_killed(
    lab: ManyLab, samples: Samples, seed: int, say: Say, tmp_path: Path
) -> None:
    """Three kills of servers, three of the broker, a zombie, more partitions and a new source, all while jobs run."""
    began = time.monotonic()
    late = tmp_path / "late"
    late.mkdir()
    for number in range(20):
        (late / f"{number}.txt").write_text(f"see http://example.com/{seed}/{number} for more\n" * 3)

    async def new_source() -> None:
        assert await lab.submit_as("late", late).ended(60) == 0

    for plugin in PLUGINS:
        lab.start_runner(plugin.name)
    deeds: list[Deed] = [
        *[lab.kill_one] * 3,
        *[lab.kill_broker] * 3,
        lambda: lab.stop_for(SESSION + 3),
        lambda: lab.grow(5),
        new_source,
    ]
    submits = await _happen(lab, deeds, _portions(samples, len(deeds), tmp_path / "portions"))
    for submit in submits:
        assert await submit.ended(90) == 0
    log = await lab.settled()
    account = await lab.audit(log, samples)
    say(f"ledger of three, seed {seed}, {time.monotonic() - began:.0f} s: {account.line()}")
    assert not account.problems, account.told()
    assert account.lost == 0
    assert account.finished == account.pairs > 320
    said = [summary(submit) for submit in submits]
    assert sum(counts["submitted"] + counts.get("already", 0) for counts in said) == len(samples.sha256s)
    assert {event["entity"]["sha256"] for event in log.binaries} >= samples.sha256s
    assert sum(event["source"]["name"] == "late" for event in log.binaries) >= 20


@pytest.mark.parametrize("session_seconds", [6])
async def test_the_next_owner_delivers_soon_after_a_kill(lab: ManyLab, samples: Samples, seed: int, say: Say) -> None:
    """Promised: within 15 s with the session as it is by default."""
    for plugin in PLUGINS:
        lab.start_runner(plugin.name)
    submit = lab.submit(samples.folder)
    await lab.at(lab.kill_one, finals=lab.random.randrange(20, 60))
    await lab.at(lab.kill_one, finals=lab.random.randrange(100, 160))
    assert await submit.ended(120) == 0
    log = await lab.settled()
    account = await lab.audit(log, samples)
    gaps = [_longest_gap(lab, plugin.name) for plugin in PLUGINS]
    say(f"failover, seed {seed}: longest pause of a plugin {max(gaps):.1f} s; {account.line()}")
    assert not account.problems, account.told()
    assert max(gaps) < 15


def _longest_gap(lab: ManyLab, plugin: str) -> float:
    """Seconds between two deliveries, kills included."""
    times = [delivery.at for delivery in lab.witness.saw.deliveries if delivery.plugin == plugin]
    return max(later - earlier for earlier, later in itertools.pairwise(times))
