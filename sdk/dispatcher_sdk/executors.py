"""Where the author's function runs. Async plugins: on the runner's own loop (plain ones: workers.py)."""

import traceback
from typing import Any, Protocol, Self

from dispatcher_sdk.errors import WorkerFailed
from dispatcher_sdk.execution import execute_async, prepare
from dispatcher_sdk.job import Job
from dispatcher_sdk.models import BinaryEvent
from dispatcher_sdk.outcome import Outcome
from dispatcher_sdk.plugin import Plugin
from dispatcher_sdk.workspace import JobFolder


class Executor(Protocol):
    """Runs jobs; enter it first. Its user calls `run` at most `slots` times at once."""

    slots: int

    async def run(self, event: BinaryEvent, folder: JobFolder) -> Outcome:
        """How the job went. Raises WorkerFailed when no job can be run any more."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


class LoopExecutor:
    """Jobs of an async plugin share one loop and one process: fast for work that waits, no shield against crashes.

    A job is cancelled after the plugin's timeout; code that blocks the loop blocks heartbeats too.
    """

    def __init__(self, plugin: Plugin, slots: int) -> None:
        self.slots = slots
        self._plugin = plugin
        self._state: Any = None

    async def __aenter__(self) -> Self:
        try:
            self._state = await prepare(self._plugin)
        except Exception:
            raise WorkerFailed(f"setup of {self._plugin.name} failed:\n{traceback.format_exc()}") from None
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._state = None

    async def run(self, event: BinaryEvent, folder: JobFolder) -> Outcome:
        """As Executor says."""
        job = Job(event, folder, self._plugin.features, self._state)
        return (await execute_async(self._plugin, job, self._plugin.timeout))[0]
