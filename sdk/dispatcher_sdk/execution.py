"""Run the author's function on one job and say honestly how it went."""

import asyncio
import inspect
import time
import traceback
from pathlib import Path
from typing import Any, Final

from dispatcher_sdk.errors import JobEnded, OutputError, RetryLater
from dispatcher_sdk.findings import info_json
from dispatcher_sdk.job import Job
from dispatcher_sdk.limits import MESSAGE_CHARACTERS, TEXT_CHARACTERS
from dispatcher_sdk.outcome import Outcome
from dispatcher_sdk.plugin import Plugin
from dispatcher_sdk.text import clean, safe_str

_OWN_FOLDER: Final = str(Path(__file__).parent)


def execute(plugin: Plugin, job: Job) -> tuple[Outcome, BaseException | None]:
    """Run a plain plugin. Nothing that it raises gets out, not even SystemExit."""
    started = time.monotonic()
    problem: BaseException | None = None
    try:
        plugin.call(job)
    except BaseException as raised:
        problem = raised
    return outcome(job, problem, time.monotonic() - started), problem


async def execute_async(plugin: Plugin, job: Job, seconds: float | None) -> tuple[Outcome, BaseException | None]:
    """Run an async plugin. Only the caller's own cancellation gets out. It has `seconds`."""
    started = time.monotonic()
    problem: BaseException | None = None
    called = plugin.call(job)
    assert called is not None, "a plain plugin is not run on a loop"
    task = asyncio.ensure_future(called)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            problem = _TimedOut(seconds or 0.0, _where(task))
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
        else:
            problem = asyncio.CancelledError() if task.cancelled() else task.exception()
    except asyncio.CancelledError:
        task.cancel()
        raise
    return outcome(job, problem, time.monotonic() - started), problem


async def prepare(plugin: Plugin) -> Any:
    """The plugin's state, from a plain or async setup."""
    state = plugin.prepare()
    return await state if inspect.isawaitable(state) else state


def outcome(job: Job, problem: BaseException | None, runtime: float) -> Outcome:
    """What the job found, or why it found nothing."""
    if problem is None:
        return _finished(job, runtime)
    if isinstance(problem, RetryLater):
        return Outcome(problem.status, message=_text(problem), runtime=runtime, retry_after=problem.after)
    if isinstance(problem, JobEnded):
        return Outcome(problem.status, type(problem).__name__, _text(problem), runtime)
    if isinstance(problem, _TimedOut):
        return Outcome("error-timeout", "timeout", _text(problem), runtime)
    status = "error-exception"
    if isinstance(problem, OutputError):
        status = "error-output"
    elif isinstance(problem, MemoryError):
        status = "error-out-of-memory"
    unfit = not isinstance(problem, Exception) or isinstance(problem, MemoryError | RecursionError)
    return Outcome(status, _title(problem), _traceback(problem), runtime, unfit=unfit)


def _finished(job: Job, runtime: float) -> Outcome:
    found = job.findings
    problems = found.problems
    status = "completed-with-errors" if problems else "completed-empty" if found.empty else "completed"
    return Outcome(
        status,
        error=clean(problems[0], TEXT_CHARACTERS) if problems else "",
        message=clean("\n".join(problems), MESSAGE_CHARACTERS),
        runtime=runtime,
        features=found.features,
        children=found.children,
        streams=found.streams,
        info=info_json(found.info) if found.info else b"",
    )


class _TimedOut(Exception):
    def __init__(self, seconds: float, where: str) -> None:
        super().__init__(f"the job did not end within {seconds:g} s and was cancelled{where}")


def _where(task: "asyncio.Future[None]") -> str:
    frames = task.get_stack(limit=1) if isinstance(task, asyncio.Task) else []
    return f"; it was at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""


def _text(problem: BaseException) -> str:
    return clean(safe_str(problem), MESSAGE_CHARACTERS)


def _title(problem: BaseException) -> str:
    return clean(f"{type(problem).__name__}: {safe_str(problem)}", TEXT_CHARACTERS)


def _traceback(problem: BaseException) -> str:
    """As Python prints it, without the frames of the SDK above the plugin's own."""
    frames = problem.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        frames = frames.tb_next
    try:
        text = "".join(traceback.format_exception(type(problem), problem, frames))
    except BaseException:  # an exception may be made so that showing it fails
        text = _title(problem)
    half = MESSAGE_CHARACTERS // 2
    return clean(
        text if len(text) <= MESSAGE_CHARACTERS else f"{text[: half - 8]}\n[…]\n{text[-half + 8 :]}", MESSAGE_CHARACTERS
    )
