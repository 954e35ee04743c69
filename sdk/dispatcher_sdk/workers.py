"""A pool of worker processes for plain plugins: one job each at a time, killed when it takes too long."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from typing import Final, Self

from dispatcher_sdk import frames
from dispatcher_sdk.deaths import died, oom_kills, timed_out
from dispatcher_sdk.errors import WorkerFailed
from dispatcher_sdk.frames import BadFrame, Broken, Done, Frame, Ready, Start
from dispatcher_sdk.models import BinaryEvent, encode
from dispatcher_sdk.outcome import STATUSES, Outcome
from dispatcher_sdk.output import Output
from dispatcher_sdk.plugin import Plugin
from dispatcher_sdk.retry import Backoff
from dispatcher_sdk.workspace import JobFolder

_log: Final = logging.getLogger(__name__)

_READY_SECONDS: Final = 120.0
"""For importing the plugin and its setup."""
_GRACE_SECONDS: Final = 0.5
"""A worker's own watchdog comes first: it can say where the plugin hangs."""
_STARTS: Final = 4
"""Attempts to replace a dead worker before the runner gives up."""


class WorkerProcess:
    """One process in its own process group, with a private channel and its output in a pipe."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        life: int,
        name: str,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._life = life
        assert process.stdout is not None
        self._output = Output(process.stdout, name)

    @classmethod
    async def start(cls, target: str, name: str) -> "WorkerProcess":
        """A process that is ready for jobs. Raises WorkerFailed with the plugin's own traceback."""
        ours, theirs = socket.socketpair()
        life, held = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "dispatcher_sdk.worker", target),
                *("--channel", str(theirs.fileno()), "--life", str(life)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(theirs.fileno(), life),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            os.close(held)
            raise
        finally:
            theirs.close()
            os.close(life)
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)
        worker = cls(process, reader, writer, held, name)
        try:
            await worker._until_ready()
        except BaseException:
            await worker.stop()
            raise
        return worker

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self._reader.at_eof()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def run(self, event: BinaryEvent, folder: JobFolder, seconds: float) -> Outcome:
        """Run one job. When the process dies of it, the outcome names the cause and the worker is not `alive`."""
        self._output.forget()
        started, before = time.monotonic(), oom_kills()
        try:
            self._writer.write(frames.pack(Start(str(folder.root), encode(event), seconds)))
            async with asyncio.timeout(seconds + _GRACE_SECONDS):
                frame = await frames.read(self._reader)
            if isinstance(frame, Done) and frame.outcome.status in STATUSES:
                return frame.outcome
            code = None
        except TimeoutError:
            code = 0
        except (asyncio.IncompleteReadError, ConnectionError, BadFrame):
            code = await self._exit_code()
        runtime = time.monotonic() - started
        await self.stop()
        if runtime >= seconds:
            return timed_out(seconds, runtime, self._output.tail)
        return died(code, oom_kills() > before, runtime, self._output.tail)

    async def stop(self) -> None:
        """Kill the process and all it started, and wait until it is gone. A second call does nothing."""
        if self._life < 0:
            return
        os.close(self._life)
        self._life = -1
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await self._process.wait()
        await self._output.close()

    async def _until_ready(self) -> None:
        frame: Frame | None = None
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, BadFrame, TimeoutError):
            async with asyncio.timeout(_READY_SECONDS):
                frame = await frames.read(self._reader)
        if isinstance(frame, Ready):
            return
        if isinstance(frame, Broken):
            raise WorkerFailed(f"the plugin cannot be set up:\n{frame.text}")
        code = await self._exit_code()
        await self._output.drain()
        problem = WorkerFailed(f"a worker process did not become ready (exit code {code}):\n{self._output.tail}")
        problem.by_signal = code is not None and code < 0
        raise problem

    async def _exit_code(self) -> int | None:
        """None when the process closed its channel but lives on."""
        try:
            async with asyncio.timeout(2.0):
                return await self._process.wait()
        except TimeoutError:
            return None


class WorkerPool:
    """An Executor of `slots` worker processes."""

    def __init__(self, plugin: Plugin, target: str, slots: int) -> None:
        self.slots = slots
        self._plugin = plugin
        self._target = target
        self._free: asyncio.Queue[WorkerProcess | None] = asyncio.Queue()
        self._workers: set[WorkerProcess] = set()

    async def __aenter__(self) -> Self:
        """The first worker shows whether the plugin can be set up at all; the others start when they are needed."""
        try:
            first = await self._start()
        except WorkerFailed as problem:
            if not problem.by_signal:
                raise
            first = await self._replace(None)  # killed from outside: that says nothing of the plugin
        self._free.put_nowait(first)
        for _ in range(self.slots - 1):
            self._free.put_nowait(None)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for worker in list(self._workers):
            await self._discard(worker)

    async def run(self, event: BinaryEvent, folder: JobFolder) -> Outcome:
        """As Executor says. When the caller is cancelled the job's process is killed."""
        worker = await self._free.get()
        fit: WorkerProcess | None = None
        try:
            if worker is None or not worker.alive:
                worker = await self._replace(worker)
            outcome = await worker.run(event, folder, self._plugin.timeout)
            fit = worker if worker.alive and not outcome.unfit else None
            return outcome
        finally:
            if fit is None and worker is not None:
                await self._discard(worker)
            self._free.put_nowait(fit)

    async def _replace(self, dead: WorkerProcess | None) -> WorkerProcess:
        """A new worker, tried a few times: its rules may be on a share that is away for a moment."""
        if dead is not None:
            await self._discard(dead)
        backoff = Backoff(first=0.5, most=10.0)
        for _ in range(_STARTS - 1):
            try:
                return await self._start()
            except WorkerFailed as problem:
                _log.warning("%s", problem, extra={"action": "worker-failed", "plugin": self._plugin.name})
                await asyncio.sleep(backoff.next())
        return await self._start()

    async def _start(self) -> WorkerProcess:
        worker = await WorkerProcess.start(self._target, self._plugin.name)
        self._workers.add(worker)
        return worker

    async def _discard(self, worker: WorkerProcess) -> None:
        self._workers.discard(worker)
        await worker.stop()
