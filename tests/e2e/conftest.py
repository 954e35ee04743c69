"""Real processes for end-to-end tests: killed at the end whatever happens, and their logs shown when a test fails."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.ledger.processes import Processes

STARTED = pytest.StashKey[Processes]()
LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def processes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Processes]:
    """Starts `dispatcher` and `dispatcher-sdk` as processes with private folders."""
    started = Processes(tmp_path)
    request.node.stash[STARTED] = started
    yield started
    started.close()


@pytest.fixture
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Lines for the end of the run, also when everything passed."""
    return pytestconfig.stash.setdefault(LINES, []).append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> "Iterator[None]":  # pragma: no cover - only failing tests
    if call.excinfo is not None and STARTED in item.stash:
        for running in item.stash[STARTED].started:
            item.add_report_section(call.when, running.name, running.tail())
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(LINES, []):
        terminalreporter.write_line(line)
