"""Bounds that a worker process puts on itself before it looks at the first hostile byte."""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
MOST_WRITTEN = 64 << 20
"""Bytes of one file that a worker may write: parsers need none, and a taken-over one shall not fill the disk."""


def confine(memory_bytes: int, parent: int) -> None:
    """Bound memory and files, leave no core files, and die with the server process `parent`."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_AS, memory_bytes)
    _lower(resource.RLIMIT_FSIZE, MOST_WRITTEN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _first_to_go()
    _die_with(parent)


def allow_cpu(seconds: float) -> None:
    """From now on this process may use so many more seconds of CPU, rounded up; then the kernel ends it."""
    used = sum(os.times()[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + seconds) + 1, hard))


def _lower(what: int, value: int) -> None:
    # macOS refuses some limits; the server's own clock still bounds a worker there.
    try:
        resource.setrlimit(what, (value, value))
    except (ValueError, OSError):
        return


def _first_to_go() -> None:
    """When the machine runs out of memory, let the kernel end a worker and not the server."""
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
    except OSError:
        return


def _die_with(parent: int) -> None:
    """A busy worker does not see that its socket was closed: ask the kernel for a signal instead."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
