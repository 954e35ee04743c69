"""Serve a plugin: lease jobs, have them worked on, post their statuses, until told to stop.

One task takes jobs in, one posts statuses, one sends heartbeats; each job is a task of its own. A job's lease
is held from the moment it arrives until its status has been accepted or it was given back. Heartbeats come from
this process, so that they go on while a worker is stuck in native code.
"""

import asyncio
import contextlib
import logging
from typing import Final

from msgspec import Struct

from dispatcher_sdk.client import DispatcherClient, Fetched
from dispatcher_sdk.errors import BadReply, DispatcherError, Refused, Unavailable, WorkerFailed
from dispatcher_sdk.executors import Executor
from dispatcher_sdk.models import BinaryEvent, StatusEvent
from dispatcher_sdk.outbox import Outbox
from dispatcher_sdk.plugin import Plugin
from dispatcher_sdk.results import bare_status
from dispatcher_sdk.retry import Backoff
from dispatcher_sdk.work import GiveBack, Work
from dispatcher_sdk.workspace import Workspace

_log: Final = logging.getLogger(__name__)

_FLUSH_SECONDS: Final = 5.0
"""For statuses and releases at the very end, after the grace time."""
_LATE_SECONDS: Final = 1.0
"""For the reply to a poll that was under way at the order to stop: it may bring jobs that nobody would work on."""
_PAUSED_SECONDS: Final = 1.0
_FAILED_SECONDS: Final = 30.0


class RunnerSettings(Struct, frozen=True, kw_only=True):
    """All in seconds. `lease`: how long the dispatcher waits for a heartbeat; three are sent in that time.

    `grace`: how long jobs may go on after the order to stop. `deadline`: of one long poll.
    """

    lease: int = 90
    grace: float = 30.0
    deadline: int = 10


class Runner:
    """Serves one plugin from one dispatcher."""

    def __init__(
        self,
        plugin: Plugin,
        executor: Executor,
        client: DispatcherClient,
        workspace: Workspace,
        settings: RunnerSettings | None = None,
    ) -> None:
        self._plugin = plugin
        self._client = client
        self._workspace = workspace
        self._settings = settings or RunnerSettings()
        self._work = Work(plugin, executor, client)
        self._most = 2 * executor.slots
        """Jobs held at once: each slot works on one while the next is fetched."""
        self._held: dict[str, BinaryEvent] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._started: set[str] = set()
        self._room = asyncio.Event()
        self._poll: asyncio.Task[Fetched] | None = None
        """A poll whose jobs have not begun."""
        self._outbox = Outbox(client.post_statuses, self._accepted)
        self._author = plugin.author
        self._broken: asyncio.Queue[BaseException] = asyncio.Queue()

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event | None = None) -> None:
        """Serve until `stop` is set, then drain; `hurry` ends the grace time of running jobs.

        Raises Refused when the dispatcher will not have this plugin, and WorkerFailed when the plugin cannot be
        set up any more. A dispatcher that is away is waited for, for ever.
        """
        intake, outbox, heart, broken, ordered = (
            asyncio.create_task(part)
            for part in (self._intake(), self._outbox.run(), self._heartbeats(), self._breaking(), _until(stop))
        )
        try:
            parts = (intake, outbox, heart, broken, ordered)
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            await _cancel(intake, broken, ordered)
            await self._drain(hurry or asyncio.Event())
            await _cancel(outbox, heart)

    # Taking jobs in

    async def _intake(self) -> None:
        backoff, backlog, registered = Backoff(), False, False
        while True:
            await self._until_room()
            try:
                if not registered:
                    await self._client.register(self._plugin.registration())
                    registered = True
                backlog = await self._take(backlog)
                backoff.reset()
            except Refused as problem:
                if problem.status < 500:
                    raise
                registered = await self._away(problem, backoff)
            except (Unavailable, BadReply) as problem:
                registered = await self._away(problem, backoff)

    async def _take(self, backlog: bool) -> bool:
        """One poll. A poll for several waits until all are there, so only a known backlog is asked for many at once.

        Whether there is a backlog: all that was asked for came.
        """
        plugin, settings = self._plugin, self._settings
        count = self._most - len(self._held) if backlog else 1
        poll = self._poll = asyncio.create_task(
            self._client.fetch(
                plugin.name,
                plugin.version,
                plugin.subscription.query(),
                count=count,
                deadline=0 if backlog else settings.deadline,
                lease=settings.lease,
            )
        )
        await asyncio.wait({poll})  # the order to stop ends this wait and not the poll
        self._poll = None
        fetched = poll.result()
        for event in fetched.events:
            self._begin(event)
        if not fetched.events and (fetched.info.paused or not fetched.info.ready):
            await asyncio.sleep(_PAUSED_SECONDS)
        return len(fetched.events) == count

    def _begin(self, event: BinaryEvent) -> None:
        token = event.dequeued
        if not token or token in self._held:
            return
        self._held[token] = event
        task = asyncio.create_task(self._job(event))
        self._jobs[token] = task
        task.add_done_callback(lambda done: self._ended(token, done))

    def _ended(self, token: str, task: asyncio.Task[None]) -> None:
        self._jobs.pop(token, None)
        self._started.discard(token)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            self._broken.put_nowait(problem)

    async def _breaking(self) -> None:
        raise await self._broken.get()

    async def _until_room(self) -> None:
        while len(self._held) >= self._most:
            self._room.clear()
            await self._room.wait()

    async def _away(self, problem: DispatcherError, backoff: Backoff) -> bool:
        """Wait; False, since a dispatcher that was away may have forgotten the registration."""
        seconds = backoff.next(getattr(problem, "retry_after", None))
        details = {"action": "fetch", "plugin": self._plugin.name}
        _log.warning("the dispatcher is away, next attempt in %.1f s: %s", seconds, problem, extra=details)
        await asyncio.sleep(seconds)
        return False

    # One job

    async def _job(self, event: BinaryEvent) -> None:
        token = event.dequeued
        try:
            result = await self._result(event)
        except WorkerFailed:
            raise
        except Exception as problem:  # a full disk, or a mistake of ours: no reason to stop serving
            _log.exception("a job failed in the runner", extra={"action": "job", "event_id": token})
            result = GiveBack(_FAILED_SECONDS, f"{type(problem).__name__}: {problem}")
        if isinstance(result, GiveBack):
            _log.warning("a job goes back: %s", result.why, extra={"action": "release", "event_id": token})
            await self._give_back(token, after=round(result.after))
        else:
            await self._outbox.put(result)

    async def _result(self, event: BinaryEvent) -> StatusEvent | GiveBack:
        folder = await asyncio.to_thread(self._workspace.job)
        try:
            return await self._work.do(event, folder, lambda: self._started.add(event.dequeued))
        finally:
            await asyncio.to_thread(folder.remove)

    # Leases

    def _accepted(self, token: str) -> None:
        self._held.pop(token, None)
        self._room.set()

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease / 3)
            beats = [bare_status(event, self._author, "heartbeat") for event in self._held.values()]
            if not beats:
                continue
            try:
                await self._client.post_statuses(beats)
            except DispatcherError as problem:
                _log.warning("no heartbeat: %s", problem, extra={"action": "heartbeat", "plugin": self._plugin.name})

    async def _give_back(self, token: str, *, after: int = 0) -> None:
        """Or leave it: a lease that nobody extends comes back by itself."""
        try:
            await self._client.release(token, after=after)
        except DispatcherError as problem:
            details = {"action": "release", "event_id": token, "plugin": self._plugin.name}
            _log.warning("a job could not be given back, its lease will expire: %s", problem, extra=details)
        self._accepted(token)

    # Stopping

    async def _drain(self, hurry: asyncio.Event) -> None:
        """Give back what has not begun, let the rest finish within the grace time, post what is finished."""
        late = asyncio.create_task(self._give_late_back())
        waiting = {token: task for token, task in self._jobs.items() if token not in self._started}
        await _cancel(*waiting.values())
        await self._give_all_back(list(waiting))
        if self._jobs:
            _log.info("stopping: %d jobs have %g s to end", len(self._jobs), self._settings.grace)
            ended = asyncio.create_task(_until_done(list(self._jobs.values())))
            hurried = asyncio.create_task(_until(hurry))
            await asyncio.wait({ended, hurried}, timeout=self._settings.grace, return_when=asyncio.FIRST_COMPLETED)
            await _cancel(ended, hurried)
        await _cancel(*self._jobs.values())
        await late
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._outbox.emptied()
        await self._give_all_back(list(self._held))

    async def _give_late_back(self) -> None:
        """What the last poll brings. Had it been cut off, jobs already on their way would wait for their leases."""
        if self._poll is None:
            return
        with contextlib.suppress(TimeoutError, DispatcherError):
            async with asyncio.timeout(_LATE_SECONDS):
                fetched = await self._poll
            await self._give_all_back([event.dequeued for event in fetched.events if event.dequeued])

    async def _give_all_back(self, tokens: list[str]) -> None:
        """All at once and not for long: the dispatcher may be away, and then leases expire."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await asyncio.gather(*(self._give_back(token) for token in tokens))


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def _until_done(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
