import asyncio
import contextlib
import logging
from typing import Any

import pytest

from dispatcher.api.completion import Completion


async def cancelled(completion: Completion, work: Any) -> None:
    """Run `work` for a caller that goes away at once."""
    caller = asyncio.create_task(completion.run(work))
    await asyncio.sleep(0)
    caller.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await caller


async def test_the_caller_gets_results_and_errors() -> None:
    async def good() -> int:
        return 7

    async def bad() -> int:
        raise ValueError("x")

    assert await Completion().run(good()) == 7
    with pytest.raises(ValueError, match="x"):
        await Completion().run(bad())


async def test_drain_waits_for_work_whose_caller_left() -> None:
    completion, go = Completion(), asyncio.Event()
    done: list[str] = []

    async def work() -> None:
        await go.wait()
        done.append("all of it")

    await cancelled(completion, work())
    drained = asyncio.create_task(completion.drain())
    await asyncio.sleep(0)
    assert not drained.done()
    go.set()
    await drained
    assert done == ["all of it"]


async def test_an_error_that_nobody_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    completion, go = Completion(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        raise ValueError("disk on fire")

    await cancelled(completion, work())
    go.set()
    with caplog.at_level(logging.WARNING):
        await completion.drain()
    assert "disk on fire" in caplog.text
