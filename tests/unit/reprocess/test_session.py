"""What a copy needs before it begins, whom it pauses, and what it leaves untouched."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.delivery.signals import PAUSED, Signals
from dispatcher.errors import StartupError
from dispatcher.eventlog.base import TopicSpec
from dispatcher.eventlog.memory import MemoryLog
from dispatcher.eventlog.sqlite.log import SqliteLog
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import unpack
from dispatcher.hooks.types import Subscription
from dispatcher.reprocess.pausing import Pausing
from dispatcher.reprocess.session import Request, Session
from dispatcher.reprocess.tally import Counts
from dispatcher.testing import LocalDispatcher
from tests.unit.reprocess.conftest import Installations

Make = Callable[..., Any]
TOPIC = "samples.binary.extracted"


async def looked(installations: Installations, request: Request, **settings: Any) -> Session:
    async with Session(installations.settings(**settings), request, asyncio.Event()) as session:
        return session


async def refusal(installations: Installations, request: Request, **settings: Any) -> str:
    with pytest.raises(StartupError) as error:
        await looked(installations, request, **settings)
    return str(error.value)


async def paused(installations: Installations) -> list[str]:
    signals = await installations.records("system.status", with_signals=True)
    return [unpack(record.tag or b"").status for record in signals]


async def test_looking_changes_nothing_and_tells_what_there_is(
    installations: Installations, binary: Make, row: Make
) -> None:
    await installations.fill(TOPIC, [row(binary("b")), row(binary("c"))])
    await installations.fill("system.report", [])
    await installations.fill("system.deadletter", [(b"k", b"{}")])
    session = await looked(installations, Request("", installations.old))
    assert (session.tally.topics[f"azul.old.{TOPIC}"].total, session.tally.topics[f"azul.old.{TOPIC}"].left) == (2, 2)
    assert list(session.selection.left_out) == ["azul.old.system.deadletter"]
    log = SqliteLog(installations.new)
    await log.start()
    assert log.topics() == {}
    await log.close()


async def test_plugins_are_paused_while_there_is_something_to_copy(
    installations: Installations, binary: Make, row: Make
) -> None:
    await installations.fill(TOPIC, [row(binary("b"))])
    await installations.copy()
    assert await paused(installations) == [PAUSED]
    await installations.copy()
    assert await paused(installations) == [PAUSED], "a pod that starts again and again must not pause for ever"


async def test_plugins_work_on_when_asked_for(installations: Installations, binary: Make, row: Make) -> None:
    await installations.fill(TOPIC, [row(binary("b"))])
    await installations.copy(pause=False)
    assert await paused(installations) == []


async def test_a_server_that_starts_here_for_the_first_time_pauses(
    installations: Installations, binary: Make, row: Make
) -> None:
    await installations.fill(TOPIC, [row(binary("b"))])
    await installations.copy()
    here = {"event_log": "sqlite", "kafka_topic_prefix": "new"}
    wanted = Subscription("plugin", "1", model="binary", task=True, historic=True)
    async with LocalDispatcher(installations.new, **here) as server:
        batch = await server.app.delivery.poll(wanted, count=1, deadline=0)
        assert batch.info.paused
    later = time.time() + 601
    async with LocalDispatcher(installations.new, clock=lambda: later, **here) as server:
        batch = await server.app.delivery.poll(wanted, count=1, deadline=0)
        assert (batch.info.paused, batch.events) == (False, []), "what was copied is skipped"


async def test_a_pause_is_said_again_while_it_lasts() -> None:
    log, names = MemoryLog(), TopicNames("t")
    with pytest.raises(StartupError, match="cannot be paused"):
        async with Pausing(Signals(log, names, lambda: 1.0)):
            pass
    await log.ensure_topics([TopicSpec(names.system("status"))])
    status = (names.system("status"), 0)
    async with asyncio.timeout(10), Pausing(Signals(log, names, lambda: 1.0), 0.001):
        while (await log.bounds([status]))[status][1] < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_two_laptops_with_the_same_topics_are_two_origins(
    installations: Installations, binary: Make, row: Make, tmp_path: Path
) -> None:
    await installations.fill(TOPIC, [row(binary("b"))])
    await installations.fill(TOPIC, [row(binary("c"))], folder=tmp_path / "other")
    await installations.copy()
    installations.old = tmp_path / "other"
    assert (await installations.copy()).sum() == Counts(copied=1)
    assert len(await installations.events(TOPIC)) == 2


async def test_a_prefix_of_the_same_log(installations: Installations, binary: Make, row: Make) -> None:
    await installations.fill(TOPIC, [row(binary("b"))])
    installations.new = installations.old
    for folder in (None, installations.old):
        async with Session(installations.settings(), Request("old", folder), asyncio.Event()) as session:
            assert await session.copy()
    assert len(await installations.events(TOPIC)) == 1


class TestRefused:
    async def test_no_prefix_and_no_folder(self, installations: Installations) -> None:
        assert "say which with --previous-prefix" in await refusal(installations, Request(""))

    async def test_the_current_prefix(self, installations: Installations) -> None:
        words = await refusal(installations, Request("new"))
        assert "new is the current prefix too: set DISPATCHER_KAFKA_TOPIC_PREFIX" in words

    async def test_a_prefix_that_is_not_there(self, installations: Installations) -> None:
        await installations.fill(TOPIC, [])
        words = await refusal(installations, Request("olt", installations.old))
        assert f"no topics of the prefix olt in {installations.old}; it has old" in words

    async def test_a_folder_without_a_log_gets_none(self, installations: Installations, tmp_path: Path) -> None:
        assert "there is no event log in" in await refusal(installations, Request("", tmp_path / "typo"))
        assert not (tmp_path / "typo").exists()

    async def test_a_folder_whose_server_runs(self, installations: Installations) -> None:
        await installations.fill(TOPIC, [])
        log = SqliteLog(installations.old)
        await log.start()
        assert "in use by another dispatcher; stop that one" in await refusal(
            installations, Request("", installations.old)
        )
        await log.close()

    async def test_a_log_that_forgets(self, installations: Installations) -> None:
        words = await refusal(installations, Request("", installations.old), event_log="memory")
        assert "forgets everything at the end" in words

    async def test_several_prefixes_in_the_folder(self, installations: Installations) -> None:
        await installations.fill(TOPIC, [])
        installations.new, here = installations.old, installations.new
        await installations.fill(TOPIC, [], folder=installations.new)
        installations.new = here
        assert "has topics of new, old: say which" in await refusal(installations, Request("", installations.old))

    async def test_a_kafka_that_does_not_answer(self, installations: Installations) -> None:
        words = await refusal(installations, Request("old"), kafka_endpoint="127.0.0.1:1")
        assert "no Kafka answers at 127.0.0.1:1" in words
