"""The `dispatcher` command as somebody at a terminal meets it: real processes, a real server."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

COMMAND = str(Path(sys.executable).with_name("dispatcher"))
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(("DISPATCHER_", "DP_", "DP."))}


def dispatcher(*arguments: object, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [COMMAND, *map(str, arguments)],
        env={**ENVIRON, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


class Server:
    """`dispatcher` without a command, on a port of its own."""

    def __init__(self, data: Path, **environ: str) -> None:
        self.log = data.parent / "server.log"
        settings = {"DISPATCHER_LISTEN": "127.0.0.1:0", "DISPATCHER_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [COMMAND], env={**ENVIRON, **settings, **environ}, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if match := re.search(r"http://\S+:\d+", line):
                self.url = match[0]
                return
        self.stop()
        raise AssertionError(self.log.read_text())

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        with self.process:
            return self.process.wait(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "data")
    yield started
    if started.process.poll() is None:
        started.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "samples"
    (made / "deep").mkdir(parents=True)
    for number in range(20):
        (made / "deep" / f"{number}.txt").write_text(f"sample {number}")
    return made


def published(server: Server) -> list[str]:
    """Names of the files that the log has an event for."""
    url = f"{server.url}/api/v2/event/binary/passive?name=t&version=1&r-historic=true&count=1000&deadline=0&reset=true"
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return sorted(event["source"]["path"][0]["filename"] for event in json.load(reply)["events"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_cleanly_on_signals(server: Server, number: int) -> None:
    assert server.stop(number) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_folder_is_submitted_once(server: Server, folder: Path) -> None:
    first = dispatcher("submit", folder, "--source", "tests", "--server", server.url)
    assert (first.returncode, first.stderr) == (0, "")
    assert "20 files submitted" in first.stdout
    assert published(server) == sorted(f"deep/{number}.txt" for number in range(20))
    (folder / "new.txt").write_text("new")
    second = dispatcher("submit", folder, "--source", "tests", "--server", server.url)
    assert "1 file submitted" in second.stdout
    assert "20 already stored" in second.stdout
    assert len(published(server)) == 21


def test_what_was_submitted_is_there_after_a_restart(server: Server, folder: Path, tmp_path: Path) -> None:
    dispatcher("submit", folder, "--source", "tests", "--server", server.url)
    server.stop(signal.SIGKILL)
    again = Server(tmp_path / "data")
    try:
        assert len(published(again)) == 20
    finally:
        assert again.stop() == 0


def test_unreadable_files_are_named_and_the_exit_code_is_1(server: Server, folder: Path) -> None:
    (folder / "broken").symlink_to(folder / "nowhere")
    result = dispatcher("submit", folder, folder / "missing", "--source", "tests", "--server", server.url)
    assert result.returncode == 1
    assert f"*{folder}/broken: no such file or directory" in result.stdout
    assert f"*{folder}/missing: no such file or directory" in result.stdout
    assert "20 files submitted" in result.stdout
    assert "2 failed" in result.stdout


def test_a_source_that_the_server_refuses_is_one_line_a_file(tmp_path: Path, folder: Path) -> None:
    server = Server(tmp_path / "data", DISPATCHER_SOURCES_HELM="sources: {known: {}}")
    try:
        result = dispatcher("submit", folder, "--source", "unknown", "--server", server.url)
    finally:
        server.stop()
    assert result.returncode == 1
    assert "20 failed" in result.stdout
    assert len(result.stdout.splitlines()) == 21
    assert "Traceback" not in result.stdout + result.stderr


def test_watch_prints_what_moved(server: Server, folder: Path) -> None:
    dispatcher("submit", folder, "--source", "tests", "--server", server.url)
    figures = json.loads(dispatcher("watch", "--once", "--json", "--server", server.url).stdout)
    assert (figures["published"], figures["uploads"]) == (20, 20)
    assert "20 events published" in dispatcher("watch", "--once", "--server", server.url).stdout


def test_watch_goes_on_until_it_is_stopped(server: Server) -> None:
    command = [COMMAND, "watch", "--every", "0.1", "--server", server.url]
    with subprocess.Popen(
        command, env={**ENVIRON, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None
        assert "(0.0/s)" in [watch.stdout.readline(), watch.stdout.readline()][1]
        watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 0


def test_clients_without_a_server_say_so_in_one_line(folder: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    for arguments in (("submit", folder, "--source", "tests"), ("watch", "--once")):
        result = dispatcher(*arguments, "--server", url)
        assert result.returncode == 1
        assert result.stderr.startswith(f"dispatcher: no answer from {url}")
        assert len(result.stderr.splitlines()) == 1


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        environ = {"DISPATCHER_LISTEN": address, "DISPATCHER_DATA_DIR": str(tmp_path / "data")}
        for command in ("serve", "demo"):
            result = dispatcher(command, environ=environ)
            assert result.returncode == 1
            assert "Traceback" not in result.stderr
            assert address in result.stderr


def test_an_unknown_setting_stops_the_server_with_a_suggestion(tmp_path: Path) -> None:
    result = dispatcher(environ={"DISPATCHER_DATA_DIRECTORY": str(tmp_path)})
    assert result.returncode == 1
    assert result.stderr == (
        "dispatcher: DISPATCHER_DATA_DIRECTORY is not a setting: did you mean DISPATCHER_DATA_DIR?\n"
    )


def test_settings_as_a_table_and_as_json(tmp_path: Path) -> None:
    environ = {"DISPATCHER_DATA_DIR": str(tmp_path), "DP__EVENTS__REDIS__ENDPOINT": "redis:6379"}
    table = dispatcher("settings", environ=environ)
    assert re.search(rf"DISPATCHER_DATA_DIR +{tmp_path} +DISPATCHER_DATA_DIR ", table.stdout)
    assert table.stderr.startswith("warning: DP__EVENTS__REDIS__ENDPOINT has no effect")
    rows = json.loads(dispatcher("settings", "--json", environ=environ).stdout)
    assert rows[0] == {
        "name": "DISPATCHER_LISTEN",
        "value": "127.0.0.1:8111",
        "source": "default",
        "text": "HOST:PORT to listen on; 0.0.0.0 as the host means every interface.",
    }


def test_filetype_goes_on_after_a_file_that_cannot_be_opened(folder: Path) -> None:
    (folder / "a.html").write_text("<!DOCTYPE html><html><body>hello</body></html>")
    (folder / "broken").symlink_to(folder / "nowhere")
    (folder / "empty").touch()
    result = dispatcher("filetype", folder)
    lines = result.stdout.splitlines()
    assert len(lines) == 23
    assert re.fullmatch(rf"{folder}/a.html\t\t\S*html\S*\ttext/html", lines[0])
    assert f"*Unable to open: {folder}/broken (no such file or directory)" in lines
    assert f"{folder}/empty\t\tunknown\tinode/x-empty" in lines
    assert f"{folder}/deep/0.txt\t\ttext/plain\ttext/plain" in lines
    assert result.returncode == 0


def test_filetype_without_a_path() -> None:
    result = dispatcher("filetype")
    assert (result.returncode, result.stdout) == (1, "")


@pytest.mark.parametrize("command", ["serve", "submit", "watch", "filetype", "settings", "demo", "lost-tasks"])
def test_every_command_has_help(command: str) -> None:
    assert command in dispatcher("--help").stdout
    result = dispatcher(command, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"Usage: dispatcher {command}")


def test_lost_tasks_says_why_it_waits_and_ends_when_stopped() -> None:
    with subprocess.Popen([COMMAND, "lost-tasks"], env=ENVIRON, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "by itself" in process.stdout.readline()
        process.terminate()
        assert process.wait(10) == 0
