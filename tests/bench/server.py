"""A real server in a process of its own, and what it costs."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil


class Server:
    """`with Server() as server:` on a fresh data folder and a free port."""

    def __init__(self, **settings: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._env = {
            **os.environ,
            "DISPATCHER_LISTEN": f"127.0.0.1:{self.port}",
            "DISPATCHER_DATA_DIR": self._folder.name,
            "DISPATCHER_LOG_LEVEL": "WARNING",
            **settings,
        }

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        command = Path(sys.executable).with_name("dispatcher")
        log = Path(self._folder.name, "server.log").open("wb")
        self._process = subprocess.Popen([command, "serve"], env=self._env, stdout=log, stderr=log)
        self._watch = psutil.Process(self._process.pid)
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=1):
                    return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(Path(self._folder.name, "server.log").read_text())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._folder.cleanup()

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

    def peak_mb(self) -> float:
        """Largest resident memory so far, in MB."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1000
        return self._watch.memory_info().rss / 1e6
