"""Real processes with private folders and logs, which never outlive a test."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

INHERITED = {name: value for name, value in os.environ.items() if not name.startswith(("DISPATCHER_", "DP_", "DP."))}
INHERITED["DISPATCHER_HOOKS_INSTALLED"] = "false"
READY_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_TAIL_BYTES = 3000


class Running:
    """One process; what it prints goes to `log`."""

    def __init__(self, name: str, popen: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.log = log
        self._popen = popen

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: int) -> None:
        self._popen.send_signal(number)

    async def ended(self, seconds: float) -> int:
        """Its exit code. Raises AssertionError when it has not ended by then."""
        try:
            return await asyncio.to_thread(self._popen.wait, seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds:g} s") from None

    async def kill(self) -> float:
        """`kill -9`; when it was dead, in unix seconds. Nothing that it had started may live on.

        Raises AssertionError when something does.
        """
        family = self.family()
        self._popen.kill()
        await self.ended(10)
        died_at = time.time()
        _, orphans = await asyncio.to_thread(psutil.wait_procs, family, 10)
        assert not orphans, f"{self.name} left behind: {orphans}"
        return died_at

    def family(self) -> list[psutil.Process]:
        """Processes that it started, and theirs."""
        return psutil.Process(self.pid).children(recursive=True)

    async def printed(self, pattern: str) -> re.Match[str]:
        """The first match of `pattern` in its log. Raises AssertionError when it ends, or takes too long, before."""
        for _ in range(int(READY_SECONDS / _LOOK_SECONDS)):
            if found := re.search(pattern, self.said()):
                return found
            if not self.alive:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        raise AssertionError(f"{self.name} never printed {pattern!r}:\n{self.tail()}")

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def tail(self) -> str:
        return self.log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")

    def clear_away(self) -> None:
        """End it and all it started, at once."""
        family = self.family() if self.alive else []
        self._popen.kill()
        self._popen.wait()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()


class Processes:
    """Starts the project's own commands, as they were installed beside this Python."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Running] = []

    def start(self, command: str, *arguments: object, **environ: str) -> Running:
        """`environ` comes on top of the test's own environment, without its settings of dispatchers."""
        name = f"{len(self.started) + 1:02d}-{command}"
        temporary, log = self._folder / "tmp" / name, self._folder / f"{name}.log"
        temporary.mkdir(parents=True)
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [Path(sys.executable).with_name(command), *map(str, arguments)],
                env=_environment(environ, temporary),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = Running(f"{name} {' '.join(map(str, arguments))[:80]}", popen, log)
        self.started.append(running)
        return running

    def close(self) -> None:
        for running in reversed(self.started):
            running.clear_away()


def _environment(environ: Mapping[str, str], temporary: Path) -> dict[str, str]:
    return {**INHERITED, "PYTHONUNBUFFERED": "1", "TMPDIR": str(temporary), **environ}


async def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Look again and again; for what only shows in files. Raises TimeoutError."""
    for _ in range(int(seconds / _LOOK_SECONDS)):
        if true():
            return
        await asyncio.sleep(_LOOK_SECONDS)
    raise TimeoutError
