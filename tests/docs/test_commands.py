"""Every command of the README and the tutorial runs and shows what the page says."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
END = "__end_of_block__"
TUTORIALS = ("docs/tutorial/first-ten-minutes.md", "docs/tutorial/first-hook.md")
PATIENCE = 60.0

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


class Terminals:
    """A shell for what ends, and one more for each command that stays. All in a copy of the checkout."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DISPATCHER_")},
            "DISPATCHER_LISTEN": f"127.0.0.1:{port}",
            "CI": "true",
        }
        self._shell = self._bash([], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._staying: list[subprocess.Popen[str]] = []

    def run(self, code: str) -> str:
        """What the command prints. Fails when its exit code is not 0."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{self._here(code)}\necho; echo {END} $?\n")
        self._shell.stdin.flush()
        printed = ""
        for line in self._shell.stdout:
            if line.startswith(END):
                assert line.split()[1] == "0", f"{code}\nfailed:\n{printed}"
                return printed
            printed += line
        raise AssertionError(f"the shell ended in\n{code}\n{printed}")

    def start(self, code: str) -> None:
        log = (self._folder / f"terminal-{len(self._staying)}.log").open("w")
        self._staying.append(
            self._bash(["-c", self._here(code)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        )
        log.close()
        if "make serve" in code:
            self._wait_for_server()

    def close(self) -> None:
        for process in (*reversed(self._staying), self._shell):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        for pipe in (self._shell.stdin, self._shell.stdout):
            assert pipe is not None
            pipe.close()

    def _here(self, code: str) -> str:
        """The same command on another port, and without installing what this test runs in."""
        code = re.sub(r"^make\b", "make --old-file=.venv/.ready", code, flags=re.MULTILINE)
        return code.replace("localhost:8111", f"localhost:{self._port}")

    def _bash(self, arguments: Sequence[str], **pipes: Any) -> "subprocess.Popen[str]":
        command = ["bash", "-o", "pipefail", *arguments]
        return subprocess.Popen(
            command, cwd=self._folder, env=self._environ, text=True, start_new_session=True, **pipes
        )

    def _wait_for_server(self) -> None:
        def answers() -> bool:
            assert self._staying[-1].poll() is None, (self._folder / "terminal-0.log").read_text()
            try:
                with urllib.request.urlopen(f"http://localhost:{self._port}/", timeout=5):
                    return True
            except OSError:
                return False

        eventually(answers)


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".venv", "data"):
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    opened = Terminals(tmp_path, port)
    yield opened
    opened.close()


@pytest.mark.parametrize("page", TUTORIALS)
def test_the_tutorial(page: str, blocks: Callable[[str], list[Any]], terminals: Terminals, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            name = re.match(r"# (\w+\.py)\n", block.code)
            assert name, f"a Python block starts with its file name:\n{block.code}"
            (tmp_path / name[1]).write_text(block.code)
        elif block.stays:
            terminals.start(block.code)
        elif block.until:
            eventually(lambda block=block: block.until in terminals.run(block.code))  # type: ignore[misc]
        else:
            assert block.shows in terminals.run(block.code)


def test_the_readme_shows_two_commands(blocks: Callable[[str], list[Any]]) -> None:
    assert [block.code for block in blocks("README.md")] == ["make demo\n", "make test\n"]


def test_make_test_runs_every_test(terminals: Terminals) -> None:
    assert "python -m pytest" in terminals.run("make --dry-run test")


def test_make_demo_works_and_works_again(terminals: Terminals) -> None:
    for _ in range(2):
        printed = terminals.run("make demo ARGS='--files 40'")
        assert re.search(r"\b[34]\d files submitted", printed)
        assert re.search(r"url-finder +[1-9]", printed)
        assert re.search(r"unpack-zip +[1-9].* [1-9]\d*\n", printed), "children were unpacked"
        assert "Try next:" in printed
