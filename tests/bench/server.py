"""A real server in a process of its own, and what it costs."""

import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from os import environ
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

START_SECONDS = 120.0
STOP_SECONDS = 20.0


class Server:
    """`with Server() as server:` on a fresh data folder and a free port."""

    def __init__(self, **settings: str) -> None:
        self.settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Raises RuntimeError when it does not answer."""
        env = {
            **environ,
            "DISPATCHER_LISTEN": self.address,
            "DISPATCHER_DATA_DIR": self._folder.name,
            "DISPATCHER_LOG_LEVEL": "WARNING",
            "DISPATCHER_HOOKS_INSTALLED": "false",
            **self.settings,
        }
        command = Path(sys.executable).with_name("dispatcher")
        with Path(self._folder.name, "server.log").open("wb") as log:
            self._process = subprocess.Popen([command, "serve"], env=env, stdout=log, stderr=log)
        self._watch = psutil.Process(self._process.pid)
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill9()
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            sys.stderr.write(self.log())
        self._folder.cleanup()

    def stop(self) -> None:
        """As an operator would."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill9()

    def kill9(self) -> None:
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        """What it said last."""
        return Path(self._folder.name, "server.log").read_text(errors="replace")[-3000:]

    def cpu(self) -> float:
        """User and system seconds of the server process."""
        times = self._watch.cpu_times()
        return times.user + times.system

    def workers_cpu(self) -> float:
        """The same of its parser processes."""
        total = 0.0
        for child in self._watch.children(recursive=True):
            times = child.cpu_times()
            total += times.user + times.system
        return total

    def memory_mb(self) -> float:
        """Resident memory now, in MB."""
        return self._watch.memory_info().rss / 1e6

    def peak_mb(self) -> float:
        """Largest resident memory so far, in MB."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1000
        return self.memory_mb()

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{self.address}/", timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"the server does not answer:\n{self.log()}")
