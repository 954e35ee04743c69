"""Why did a worker process die? An honest cause for the status of its job."""

import signal
from pathlib import Path
from typing import Final

from dispatcher_sdk.limits import MESSAGE_CHARACTERS
from dispatcher_sdk.outcome import Outcome
from dispatcher_sdk.text import clean

_COUNTERS: Final = Path("/proc/vmstat")


def oom_kills() -> int:
    """How often the kernel killed for want of memory since boot; 0 where it does not say (not Linux)."""
    try:
        lines = _COUNTERS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def timed_out(seconds: float, runtime: float, said: str) -> Outcome:
    """The job had `seconds`; `said` is what the process wrote last, often the place where it hung."""
    return _outcome(
        "error-timeout", f"the job did not end within {seconds:g} s and its process was killed", said, runtime
    )


def died(code: int | None, oom: bool, runtime: float, said: str) -> Outcome:
    """The process ended in the middle of a job: exit code, negative for a signal, None when it did not end."""
    if code is None:
        return _outcome(
            "error-runner", "the worker closed or garbled its channel in the middle of a job", said, runtime
        )
    if code >= 0:
        return _outcome(
            "error-runner", f"the worker process exited with code {code} in the middle of a job", said, runtime
        )
    name = _signal_name(-code)
    if -code == signal.SIGKILL and oom:
        return _outcome(
            "error-out-of-memory", f"the kernel killed the worker process for want of memory ({name})", said, runtime
        )
    if -code == signal.SIGKILL:
        return _outcome(
            "error-runner", f"the worker process was killed by {name}, which this runner did not send", said, runtime
        )
    return _outcome("error-runner", f"the worker process crashed with {name}", said, runtime)


def _outcome(status: str, error: str, said: str, runtime: float) -> Outcome:
    message = f"{error}\n\nIt wrote last:\n{said}" if said else error
    return Outcome(status, error, clean(message, MESSAGE_CHARACTERS), runtime, unfit=True)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
