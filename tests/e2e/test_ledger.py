"""Nothing is lost and nothing is done twice without a reason, whoever is killed and whenever.

Real processes, real files, real signals. A run prints its seed; LEDGER_SEED=N repeats its choices.
"""

import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.ledger import samples as sampling
from tests.e2e.ledger.facts import GATED
from tests.e2e.ledger.lab import PLUGINS, Lab, summary
from tests.e2e.ledger.processes import Processes, until
from tests.e2e.ledger.samples import Samples
from tests.e2e.ledger.witness import Witness

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DRAIN_SECONDS = 10
LONG_LEASE = 600
"""Seconds; longer than any of these tests, so that a job that only an expired lease can free is never done."""

BOTH = pytest.mark.parametrize("log", ["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
Say = Callable[[str], None]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return sampling.make(tmp_path_factory.mktemp("samples") / "files")


@pytest.fixture
def log(request: pytest.FixtureRequest, topic_prefix: str) -> dict[str, str]:
    """Settings of where the server keeps its log: in its folder, unless a test wants `BOTH`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return {}
    broker = request.getfixturevalue("kafka")
    return {"DISPATCHER_KAFKA_ENDPOINT": broker.endpoint, "DISPATCHER_KAFKA_TOPIC_PREFIX": topic_prefix}


@pytest.fixture
async def lab(processes: Processes, tmp_path: Path, seed: int, log: dict[str, str]) -> AsyncIterator[Lab]:
    async with Witness() as witness, aiohttp.ClientSession() as session:
        made = Lab(processes, witness, session, tmp_path / "data", seed, log)
        await made.start_server()
        yield made


@BOTH
async def test_every_job_ends_once_whoever_is_killed(lab: Lab, samples: Samples, seed: int, say: Say) -> None:
    began = time.monotonic()
    for plugin in PLUGINS:
        lab.start_runner(plugin.name)
    submit = lab.submit(samples.folder)
    victims = [lab.kill_server, lab.kill_runner, lab.kill_worker]
    lab.random.shuffle(victims)
    for finals, kill in zip(sorted(lab.random.sample(range(10, 240), 3)), victims, strict=True):
        await lab.at(kill, finals=finals)
    assert await submit.ended(90) == 0
    log = await lab.settled()
    account = await lab.audit(log, samples)
    say(f"ledger, seed {seed}, {time.monotonic() - began:.0f} s: {account.line()}")
    assert not account.problems, account.told()
    assert account.lost == 0
    assert account.finished == account.pairs > 300
    said = summary(submit)
    assert said["submitted"] + said.get("already", 0) == len(samples.sha256s) >= 300
    assert {event["entity"]["sha256"] for event in log.binaries} >= samples.sha256s


async def test_what_submit_reports_survives_a_server_that_is_killed_again_and_again(
    lab: Lab, samples: Samples, seed: int, say: Say
) -> None:
    submit = lab.submit(samples.folder)
    for moves in sorted(lab.random.sample(range(20, 600), 3)):
        await lab.at(lab.kill_server, moves=moves)
    assert await submit.ended(90) == 0
    log = await lab.settled(plugins=())
    account = await lab.audit(log, samples, plugins=())
    say(f"submit, seed {seed}: {account.line()}")
    assert not account.problems, account.told()
    said = summary(submit)
    assert said["submitted"] + said.get("already", 0) == len(samples.sha256s)
    assert {event["entity"]["sha256"] for event in log.binaries} == samples.sha256s
    stored = {path.rsplit("/", 1)[1] for path in lab.witness.saw.stored}
    assert stored == samples.sha256s


@BOTH
async def test_sigterm_ends_a_busy_server_and_costs_nothing(lab: Lab, samples: Samples, seed: int, say: Say) -> None:
    for plugin in PLUGINS:
        lab.start_runner(plugin.name, lease=LONG_LEASE)
    submit = lab.submit(samples.folder)

    async def stop() -> None:
        lab.server.signal(signal.SIGTERM)

    await lab.at(stop, finals=lab.random.randrange(10, 200))
    assert await lab.server.ended(DRAIN_SECONDS) == 0
    assert "Traceback" not in lab.server.said()
    await lab.start_server()
    assert await submit.ended(90) == 0
    log = await lab.settled()
    account = await lab.audit(log, samples)
    say(f"sigterm of the server, seed {seed}: {account.line()}")
    assert not account.problems, account.told()
    assert account.finished == account.pairs > 300
    assert (account.redelivered.total(), account.done_twice, account.posted_twice) == (0, 0, 0)


async def test_sigterm_of_busy_runners_frees_their_jobs_at_once(
    lab: Lab, samples: Samples, seed: int, say: Say
) -> None:
    for plugin in PLUGINS:
        lab.start_runner(plugin.name, lease=LONG_LEASE)
    submit = lab.submit(samples.folder)

    async def restart() -> None:
        assert await lab.stop_runners() == []
        for plugin in PLUGINS:
            lab.start_runner(plugin.name, lease=LONG_LEASE)

    for finals in sorted(lab.random.sample(range(10, 240), 2)):
        await lab.at(restart, finals=finals)
    assert await submit.ended(90) == 0
    log = await lab.settled()
    account = await lab.audit(log, samples)
    say(f"sigterm of runners, seed {seed}: {account.line()}")
    assert not account.problems, account.told()
    assert account.finished == account.pairs > 300
    assert account.redelivered.keys() <= {"given back"}
    assert account.done_twice == 0


@pytest.mark.parametrize("signals", [1, 2])
async def test_a_stopping_runner_gives_back_what_it_does_not_finish(lab: Lab, tmp_path: Path, signals: int) -> None:
    """After one SIGTERM that is what has not begun; after a second one everything."""
    files, shut, free = (tmp_path / name for name in ("files", "shut", "free"))
    for folder in (files, shut, free):
        folder.mkdir()
    (free / "open").touch()
    for number in range(8):
        (files / str(number)).write_text(f"sample {number}")
    samples = Samples(files)
    runner = lab.start_runner(GATED.name, lease=LONG_LEASE, GATE=str(shut))
    assert await lab.submit(files).ended(30) == 0
    await until(lambda: len(list(shut.glob("begun-*"))) == 2)
    await lab.witness.until(lambda saw: len(saw.deliveries) == 4)

    runner.signal(signal.SIGTERM)
    await lab.witness.until(lambda saw: len(saw.released) == 2)
    assert runner.alive
    if signals == 2:
        runner.signal(signal.SIGTERM)
        assert await runner.ended(10) == 0
        await lab.witness.until(lambda saw: len(saw.released) == 4)
    begun = {path.name.removeprefix("begun-") for path in shut.glob("begun-*")}
    lab.start_runner(GATED.name, lease=LONG_LEASE, GATE=str(free))
    await lab.witness.until(lambda saw: saw.finals == (8 if signals == 2 else 6))
    if signals == 1:
        assert runner.alive
        (shut / "open").touch()
        assert await runner.ended(10) == 0
        assert lab.witness.saw.finals == 8
    done_again = {path.name.removeprefix("begun-") for path in free.glob("begun-*")}
    assert len(done_again) == (8 if signals == 2 else 6)
    assert (begun & done_again) == (begun if signals == 2 else set())

    account = await lab.audit(await lab.settled([GATED]), samples, [GATED])
    assert not account.problems, account.told()
    assert (account.finished, account.done_twice) == (8, 0)
    assert account.redelivered == {"given back": 2 * signals}
