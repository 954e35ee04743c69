import asyncio

from dispatcher.eventlog.base import LogUnavailable
from dispatcher.eventlog.cleaner import Cleaner


async def test_it_goes_on_after_failures(caplog):
    passes: list[Exception | None] = [LogUnavailable("away"), ValueError("a bug"), None]
    done = asyncio.Event()

    async def clean_once() -> None:
        outcome = passes.pop(0)
        if outcome:
            raise outcome
        done.set()

    cleaner = Cleaner(clean_once, 0.001)
    cleaner.start()
    await done.wait()
    await cleaner.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


async def test_closing_one_that_never_ran():
    await Cleaner(asyncio.Event().wait, 1).close()
