"""One broker for a whole run of pytest, started before the first test so that no test's time limit pays for it."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.kafka.broker import KafkaBroker
from tests.kafka.jars import Unavailable, jars

KAFKA = "kafka"
"""The fixture, and the mark of tests that ask for it only while they run."""


class KafkaSession:
    """A pytest plugin object: what the hooks and fixtures of tests/conftest.py ask."""

    def __init__(self) -> None:
        self.broker: KafkaBroker | None = None
        self.why_not = ""
        self._folder: Path | None = None
        self._skipped = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        wanted = [item for item in session.items if _needs_kafka(item)]
        if not wanted or session.config.option.collectonly:
            return
        try:
            self._start(jars())
        except Unavailable as why:
            if os.environ.get("CI") == "true":
                raise pytest.UsageError(f"CI needs a real Kafka: {why}") from None
            self.why_not = str(why)
            self._skipped = len(wanted)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.why_not:
            terminalreporter.write_line(f"{self._skipped} tests on a real Kafka were skipped: {self.why_not}")

    def pytest_unconfigure(self) -> None:
        if self.broker is not None:
            self.broker.kill9()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, found: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kafka-"))
        self.broker = KafkaBroker(self._folder, found)
        self.broker.start()


def _needs_kafka(item: pytest.Item) -> bool:
    return KAFKA in getattr(item, "fixturenames", ()) or item.get_closest_marker(KAFKA) is not None
