"""One leased event from its bytes to its status: download, run, upload."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from dispatcher_sdk.client import DispatcherClient
from dispatcher_sdk.errors import BadReply, DispatcherError, OutputError, Refused, Unavailable
from dispatcher_sdk.executors import Executor
from dispatcher_sdk.models import BinaryEvent, Datastream, StatusEvent
from dispatcher_sdk.outcome import RETRY, Outcome
from dispatcher_sdk.plugin import Plugin
from dispatcher_sdk.results import bare_status, status_event
from dispatcher_sdk.retry import Backoff
from dispatcher_sdk.workspace import JobFolder

T = TypeVar("T")

_log: Final = logging.getLogger(__name__)

_UPLOADS: Final = 4
"""Of one job at once."""
_NOT_OUR_DAY_SECONDS: Final = 30.0
"""Before a job is tried again whose failure says nothing about its file: a full disk, a broken store."""


class GiveBack(NamedTuple):
    """No status: the event is to be handed out again after so many seconds."""

    after: float
    why: str


class Work:
    """Runs jobs, at most as many at once as the executor has slots; what waits for a slot downloads meanwhile."""

    def __init__(self, plugin: Plugin, executor: Executor, client: DispatcherClient) -> None:
        self._plugin = plugin
        self._executor = executor
        self._client = client
        self._slots = asyncio.Semaphore(executor.slots)
        self._author = plugin.author

    async def do(self, event: BinaryEvent, folder: JobFolder, started: Callable[[], None]) -> StatusEvent | GiveBack:
        """Calls `started` when the plugin's own code begins. Raises WorkerFailed when nothing can run any more."""
        try:
            await self._download(event, folder)
        except (DispatcherError, OSError) as problem:
            return self._without(event, Outcome("error-input", "the file cannot be fetched", str(problem)), problem)
        async with self._slots:
            started()
            outcome = await self._executor.run(event, folder)
        if outcome.status == RETRY:
            return GiveBack(outcome.retry_after, outcome.message)
        self._say(event, outcome)
        try:
            stored = await self._upload(event.source.name, folder, outcome) if outcome.completed else {}
        except (DispatcherError, OutputError, OSError) as problem:
            error = "what the plugin found cannot be stored"
            return self._without(event, Outcome("error-output", error, str(problem), outcome.runtime), problem)
        return status_event(event, self._author, outcome, stored)

    def _without(self, event: BinaryEvent, outcome: Outcome, problem: Exception) -> StatusEvent | GiveBack:
        """The status of a job that cannot go on; one that failed for want of a working machine is given back."""
        if isinstance(problem, OSError) or (isinstance(problem, Refused) and problem.status >= 500):
            return GiveBack(_NOT_OUR_DAY_SECONDS, f"{outcome.error}: {problem}")
        self._say(event, outcome)
        return bare_status(event, self._author, outcome.status, outcome.error, outcome.message, outcome.runtime)

    async def _download(self, event: BinaryEvent, folder: JobFolder) -> None:
        content = next((stream for stream in event.entity.datastreams if stream.label == "content"), None)
        if content is None:
            return
        source, most = event.source.name, self._plugin.subscription.max_size
        await self._persist(lambda: self._client.download(source, "content", content.sha256, folder.content, most=most))

    async def _upload(self, source: str, folder: JobFolder, outcome: Outcome) -> dict[str, Datastream]:
        """Store all children and streams; their metadata by file name."""
        limit = asyncio.Semaphore(_UPLOADS)
        stored: dict[str, Datastream] = {}

        async def store(file: str, label: str, sha256: str) -> None:
            async with limit:
                reply = await self._persist(lambda: self._client.upload(source, label, lambda: folder.open_out(file)))
            if reply.sha256 != sha256:
                raise BadReply(f"the server stored {sha256} as {reply.sha256}")
            stored[file] = reply

        wanted = [(child.file, "content", child.sha256) for child in outcome.children]
        wanted += [(stream.file, stream.label, stream.sha256) for stream in outcome.streams]
        try:
            async with asyncio.TaskGroup() as group:
                for file, label, sha256 in wanted:
                    group.create_task(store(file, label, sha256))
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None
        return stored

    async def _persist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Again until it works or is refused: the job's work is worth more than the wait."""
        backoff = Backoff()
        while True:
            try:
                return await call()
            except Unavailable as problem:
                _log.warning("a job waits: %s", problem, extra={"action": "job", "plugin": self._plugin.name})
                await asyncio.sleep(backoff.next(problem.retry_after))

    def _say(self, event: BinaryEvent, outcome: Outcome) -> None:
        details = {"action": "job", "event_id": event.dequeued, "plugin": self._plugin.name}
        found = f"{len(outcome.features)} features, {len(outcome.children)} children"
        text = f"{event.entity.sha256[:16]} {outcome.status} in {outcome.runtime:.2f} s"
        _log.info("%s: %s", text, outcome.error or found, extra=details)
