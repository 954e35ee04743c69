"""Child processes that never outlive the demo."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatcher.cli.console import Failure

STOP_SECONDS = 15.0
"""How long a child may take to end by itself."""


def script(name: str) -> str:
    """Path of a command that was installed beside this Python."""
    return str(Path(sys.executable).with_name(name))


class Processes:
    """Use as `async with`: at the end all children are stopped, the last started first."""

    def __init__(self, logs: Path) -> None:
        """What a child prints goes to `<logs>/<name>.log`."""
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # One thread for all of them: it goes on to the last child even when Ctrl-C comes a second time.
        await asyncio.shield(asyncio.to_thread(self._stop_all))

    def _stop_all(self) -> None:
        for child in reversed(self._running.values()):
            _stop(child)

    def start(self, name: str, command: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        """Its own session keeps Ctrl-C away from the child: it is stopped in order, by us."""
        with (self._logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises Failure when a child has ended, with the last lines it printed."""
        for name, child in self._running.items():
            if child.poll() is not None:
                log = self._logs / f"{name}.log"
                last = log.read_bytes()[-2000:].decode("utf-8", "replace").splitlines()[-5:]
                raise Failure("\n".join([f"{name} ended with code {child.returncode} (see {log}):", *last]))


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
