"""The runner with real worker processes against a real server: every way for a job to end."""

import asyncio
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from dispatcher_sdk.loading import load_plugin
from dispatcher_sdk.models import StatusEvent, decode_as, encode, problem
from dispatcher_sdk.runner import RunnerSettings
from dispatcher_sdk.serving import serve


@asynccontextmanager
async def serving(
    hub: Any, target: str, *, seconds: float = 20.0, workers: int = 1, **settings: Any
) -> AsyncIterator[asyncio.Event]:
    """A runner in this loop; drained at the end. Yields the event that orders it to stop."""
    stop = asyncio.Event()
    plugin = load_plugin(target)
    plugin.timeout = seconds
    given = RunnerSettings(**{"deadline": 1, "grace": 5.0, **settings})
    task = asyncio.create_task(serve(plugin, target, hub.url, workers=workers, settings=given, stop=stop))
    try:
        yield stop
    finally:
        stop.set()
        await task


CASES = {
    "sleeps for ever": ("import time; time.sleep(1000)", "error-timeout"),
    "native code that never returns": ("import re; re.match('(a+)+$', 'a' * 60 + 'b')", "error-timeout"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "error-runner"),
    "exit(0)": ("import os; os._exit(0)", "error-runner"),
    "sys.exit": ("import sys; sys.exit(3)", "error-exception"),
    "killed": ("import os; os.kill(os.getpid(), 9)", "error-runner"),
    "closes all descriptors": ("import os; os.closerange(3, 1000)", "error-runner"),
    "broken repr": (
        "class E(Exception):\n  def __str__(self): raise SystemExit(1)\n  __repr__ = __str__\nraise E",
        "error-exception",
    ),
    "memory error": ("raise MemoryError", "error-out-of-memory"),
    "unserialisable feature": ("job.add_feature('word', object())", "error-output"),
    "undeclared feature": ("job.add_feature('sentence', 'x')", "error-output"),
    "unserialisable info": ("job.add_info({'x': object()})", "error-output"),
    "input": ("raise InputError('half a file')", "error-input"),
    "network": ("raise NetworkError('no route')", "error-network"),
    "opt out": ("job.opt_out('not mine')", "opt-out"),
    "forks": ("import os\nif os.fork() == 0: return\nos.wait(); job.add_feature('word', 'parent')", "completed"),
    "prints": (
        "import os, sys\nprint('x' * 3_000_000); sys.stderr.write('y' * 100); os.write(1, b'\\xff\\x00\\x01')",
        "completed-empty",
    ),
    "closes stdout": ("import sys\nsys.stdout.close(); sys.stdout = None; job.add_feature('word', 'w')", "completed"),
    "problem": ("job.add_feature('word', 'w'); job.add_problem('half of it')", "completed-with-errors"),
    "10 001 features": ("for i in range(10_001): job.add_feature('word', str(i))", "completed-with-errors"),
    "grows info": ("job.add_info({'x': 'y' * 10_000_000})", "error-output"),
    "puts a link in place of a child": (
        "job.add_child(b'kid', relationship={'a': 'b'})\n"
        "out = job.folder.parent / 'out' / '0'; out.unlink(); out.symlink_to('/etc/passwd')",
        "error-output",
    ),
    "speaks on the runner's channel": (
        "import os\nfor fd in range(3, 64):\n  try: os.write(fd, b'\\xff' * 100)\n  except OSError: pass",
        "error-runner",
    ),
    "takes its folder's rights": (
        "import os; (job.folder / 'd').mkdir(); os.chmod(job.folder / 'd', 0); os.chmod(job.folder, 0)",
        "completed-empty",
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_faulty_job_ends_honestly_and_the_next_one_runs_clean(
    hub: Any, write_plugin: Callable[[str], str], case: str
) -> None:
    body, expected = CASES[case]
    indented = "".join(f"  {line}\n" for line in body.splitlines())
    target = write_plugin(f"if data == b'bad':\n{indented}else:\n  job.add_feature('word', data.decode())")
    hub.submit(b"bad")
    async with serving(hub, target, seconds=1.0 if "timeout" in expected else 20.0):
        await hub.outcomes(1)
        hub.submit(b"good")
        async with hub.changed:
            hub.changed.notify_all()
        bad, good = await hub.outcomes(2)
    assert (bad["status"], good["status"]) == (expected, "completed")
    assert [f["value"] for f in good["results"][0]["entity"]["features"]] == ["good"]
    for status in hub.statuses:
        assert problem(decode_as(StatusEvent, encode(status))) is None
    assert not hub.leased


async def test_causes_of_death_are_named(hub: Any, write_plugin: Callable[[str], str]) -> None:
    target = write_plugin(
        "import os, time, ctypes\n"
        "def deep(): time.sleep(1000)\n"
        "if data == b'segv': ctypes.string_at(0)\n"
        "if data == b'exit': print('last words', flush=True); os._exit(7)\n"
        "if data == b'hang': deep()"
    )
    for name in (b"segv", b"exit", b"hang"):
        hub.submit(name)
    async with serving(hub, target, seconds=1.0):
        segv, left, hang = await hub.outcomes(3)
    assert "SIGSEGV" in segv["error"]
    assert "execute" in segv["message"], "the stack of the crash"
    assert "code 7" in left["error"]
    assert "last words" in left["message"]
    assert "1 s" in hang["error"]
    assert "deep" in hang["message"], "where it hung"


async def test_an_exception_brings_its_traceback_without_frames_of_the_sdk(
    hub: Any, write_plugin: Callable[[str], str]
) -> None:
    target = write_plugin("def inner(): raise ValueError('boom')\ninner()")
    hub.submit(b"x")
    async with serving(hub, target):
        (status,) = await hub.outcomes(1)
    assert status["error"] == "ValueError: boom"
    assert "in inner" in status["message"]
    assert "dispatcher_sdk" not in status["message"]
    assert status["input"]["dequeued"]
    assert "features" not in status["input"]["entity"]
    assert "datastreams" not in status["input"]["entity"]


async def test_children_and_streams_are_uploaded_before_the_one_status(
    hub: Any, write_plugin: Callable[[str], str]
) -> None:
    target = write_plugin(
        "job.add_child(b'inside', relationship={'how': 'cut'}, filename='in.txt').add_feature('word', 'kid')\n"
        "job.add_stream('text', b'as text', language='en')\n"
        "job.add_info({'lines': 1})"
    )
    parent = hub.submit(b"outside")
    async with serving(hub, target):
        (status,) = await hub.outcomes(1)
    augmented, extracted = status["results"]
    assert augmented["action"] == "augmented"
    assert [s["label"] for s in augmented["entity"]["datastreams"]] == ["content", "text"]
    assert augmented["entity"]["info"] == {"lines": 1}
    assert augmented["entity"]["sha256"] == parent
    node = extracted["source"]["path"][-1]
    assert (node["action"], node["relationship"], node["filename"]) == ("extracted", {"how": "cut"}, "in.txt")
    assert node["sha256"] == extracted["entity"]["sha256"] == extracted["entity"]["datastreams"][0]["sha256"]
    assert len(extracted["source"]["path"]) == 2
    assert extracted["entity"]["file_format"] == "text/plain", "as the server identified it"
    assert hub.stored["test", "content", node["sha256"]] == b"inside"
    assert b"as text" in hub.stored.values()


async def test_the_subscription_says_what_the_plugin_accepts(hub: Any, write_plugin: Callable[[str], str]) -> None:
    target = write_plugin(
        "from dispatcher_sdk import Plugin\n"
        "plugin = Plugin('picky', version='2', accepts=['text/*', 'archive/zip'], max_size=1000)\n"
        "@plugin.execute\ndef execute(job): pass\n"
    )
    async with serving(hub, target, lease=60):
        await hub.until(lambda: bool(hub.polls))
    asked = hub.polls[0]
    for pair in (("name", "picky"), ("version", "2"), ("r-content", "true"), ("d-self", "true"), ("lease", "60")):
        assert pair in asked
    assert ("r-streams", "content,text/,archive/zip") in asked
    assert ("r-under-content-size", "1000") in asked
    assert hub.registered[0]["entity"]["name"] == "picky"


async def test_heartbeats_go_on_while_native_code_blocks(hub: Any, write_plugin: Callable[[str], str]) -> None:
    target = write_plugin("import re; re.match('(a+)+$', 'a' * 60 + 'b')")
    hub.submit(b"x")
    async with serving(hub, target, seconds=4.0, lease=3):
        (status,) = await hub.outcomes(1)
    beats = [s["entity"] for s in hub.statuses if s["entity"]["status"] == "heartbeat"]
    assert status["status"] == "error-timeout"
    assert len(beats) >= 3
    assert {beat["input"]["dequeued"] for beat in beats} == {status["input"]["dequeued"]}


async def test_retry_later_gives_the_lease_back(hub: Any, write_plugin: Callable[[str], str]) -> None:
    target = write_plugin("if job.state is None: raise RetryLater('busy', after=7)")
    hub.submit(b"x")
    async with serving(hub, target):
        await hub.until(lambda: bool(hub.released))
    assert hub.released[0][1] == "7"
    assert not hub.final()


async def test_nothing_of_one_job_is_seen_by_the_next(hub: Any, write_plugin: Callable[[str], str]) -> None:
    target = write_plugin(
        "import os, tempfile\n"
        "job.add_feature('word', str('LEAK' in os.environ))\n"
        "job.add_feature('word', os.getcwd())\n"
        "job.add_feature('word', str(os.listdir(tempfile.gettempdir())))\n"
        "os.environ['LEAK'] = '1'; os.chdir('/'); tempfile.mkstemp(); tempfile.mkdtemp()"
    )
    for name in (b"1", b"2"):
        hub.submit(name)
    async with serving(hub, target):
        first, second = await hub.outcomes(2)
    values = [[f["value"] for f in status["results"][0]["entity"]["features"]] for status in (first, second)]
    assert values[0] == values[1] == ["False", os.getcwd(), "[]"]


async def test_async_jobs_overlap_in_one_process_and_time_out(hub: Any, write_plugin: Callable[[str], str]) -> None:
    target = write_plugin(
        "import asyncio\nfrom dispatcher_sdk import *\n"
        "plugin = Plugin('waiter', version='1', features=[Feature('word', str)])\n"
        "@plugin.setup\nasync def setup(): return asyncio.Barrier(3)\n"
        "@plugin.execute\nasync def execute(job):\n"
        "    if job.read() == b'hang': await asyncio.sleep(1000)\n"
        "    await job.state.wait()\n"
        "    job.add_feature('word', 'together')\n"
    )
    for name in (b"1", b"2", b"3", b"hang"):
        hub.submit(name)
    async with serving(hub, target, seconds=2.0, workers=4):
        statuses = await hub.outcomes(4)
    assert sorted(status["status"] for status in statuses) == ["completed", "completed", "completed", "error-timeout"]
    hung = next(status for status in statuses if status["status"] == "error-timeout")
    assert "plugin_0.py" in hung["message"]


async def test_a_dispatcher_that_is_away_is_waited_for_and_results_are_kept(
    hub: Any, write_plugin: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = tmp_path / "gate"
    target = write_plugin(
        f"import os\nos.mkfifo({str(gate)!r})\nopen({str(gate)!r}).read()\njob.add_feature('word', 'kept')"
    )
    hub.submit(b"x")
    async with serving(hub, target):
        await until(gate.exists)
        await hub.stop()
        go_on(gate)
        await until(lambda: "is away" in caplog.text and "statuses wait" in caplog.text)
        await hub.start()
        (status,) = await hub.outcomes(1)
        await hub.until(lambda: len(hub.registered) == 2)
    assert status["status"] == "completed"
    assert not hub.leased


@pytest.mark.parametrize("kind", ["fetch", "post", "upload", "download"])
async def test_transient_failures_are_tried_again(hub: Any, write_plugin: Callable[[str], str], kind: str) -> None:
    target = write_plugin("job.add_child(b'kid', relationship={'a': 'b'})")
    hub.submit(b"x")
    hub.faults += [(kind, 503, {}), (kind, 429, {"Retry-After": "0"})]
    async with serving(hub, target):
        (status,) = await hub.outcomes(1)
    assert status["status"] == "completed"
    assert not hub.faults


async def test_a_refused_result_still_ends_the_job(hub: Any, write_plugin: Callable[[str], str]) -> None:
    target = write_plugin("job.add_feature('word', data.decode())")
    hub.invalid = lambda status: "too odd" if "results" in status["entity"] and b"odd" in str(status).encode() else ""
    hub.submit(b"odd")
    hub.submit(b"fine")
    async with serving(hub, target):
        statuses = await hub.outcomes(2)
    by_status = {status["status"]: status for status in statuses}
    assert set(by_status) == {"error-output", "completed"}
    assert "too odd" in by_status["error-output"]["message"]


async def test_a_missing_file_is_an_input_error_and_a_wrong_one_is_not_believed(
    hub: Any, write_plugin: Callable[[str], str]
) -> None:
    target = write_plugin("job.add_feature('word', 'never')")
    gone, changed = hub.submit(b"gone"), hub.submit(b"changed")
    del hub.stored["test", "content", gone]
    hub.stored["test", "content", changed] = b"other bytes"
    async with serving(hub, target):
        statuses = await hub.outcomes(2)
    assert [status["status"] for status in statuses] == ["error-input", "error-input"]
    assert {"404" in status["message"] for status in statuses} == {True, False}


async def test_a_refused_registration_ends_the_runner_with_the_servers_words(
    hub: Any, write_plugin: Callable[[str], str]
) -> None:
    hub.faults.append(("post", 422, {}))
    with pytest.raises(Exception, match="422: made to fail"):
        async with serving(hub, write_plugin("pass")):
            await asyncio.wait_for(hub.until(lambda: bool(hub.polls)), 1.0)


async def test_stopping_lets_jobs_finish_and_gives_the_others_back(
    hub: Any, write_plugin: Callable[[str], str], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    target = write_plugin(f"import os\nos.mkfifo({str(gate)!r})\nopen({str(gate)!r}).read()")
    running = hub.submit(b"running")
    async with serving(hub, target) as stop:
        await until(gate.exists)  # of two that come together either may begin
        waiting = hub.submit(b"waiting")
        await hub.until(lambda: len(hub.leased) == 2)
        stop.set()
        await hub.until(lambda: bool(hub.released))
        go_on(gate)
    assert [entity["input"]["entity"]["sha256"] for entity in hub.final()] == [running]
    assert [event["entity"]["sha256"] for event in hub.waiting] == [waiting]
    assert hub.released[0][1] == "0"


async def test_stopping_gives_a_job_back_that_was_on_its_way(hub: Any, write_plugin: Callable[[str], str]) -> None:
    async with serving(hub, write_plugin("pass")) as stop:
        await hub.until(lambda: bool(hub.polls))
        async with hub.changed:  # nothing is answered until this is let go
            hub.submit(b"late")
            hub.changed.notify_all()
            stop.set()
            for _ in range(50):
                await asyncio.sleep(0)  # the order is obeyed before the reply leaves
    assert [after for _, after in hub.released] == ["0"]
    assert not hub.leased


async def test_stopping_gives_a_job_back_that_takes_too_long(
    hub: Any, write_plugin: Callable[[str], str], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    target = write_plugin(
        f"import os, time, pathlib\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\ntime.sleep(1000)"
    )
    hub.submit(b"slow")
    async with serving(hub, target, grace=0.2):
        await until(lambda: pid.exists() and pid.read_text() != "")
    assert len(hub.released) == 1
    assert not hub.final()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_workers_end_when_their_runner_is_killed(
    hub: Any, write_plugin: Callable[[str], str], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    target = write_plugin(
        f"import os, subprocess, time, pathlib\nchild = subprocess.Popen(['sleep', '1000'])\n"
        f"pathlib.Path({str(pids)!r}).write_text(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(1000)"
    )
    hub.submit(b"x")
    runner = await command("serve", target, "--server", hub.url, "--workers", "1")
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    runner.kill()
    await runner.wait()
    for pid in pids.read_text().split():
        await until(lambda pid=pid: not running(int(pid)))


async def test_sigterm_ends_the_command_cleanly(hub: Any, write_plugin: Callable[[str], str]) -> None:
    target = write_plugin("job.add_feature('word', 'done')")
    hub.submit(b"x")
    runner = await command("serve", target, "--server", hub.url)
    (status,) = await hub.outcomes(1)
    runner.send_signal(signal.SIGTERM)
    assert await runner.wait() == 0
    assert status["status"] == "completed"


async def test_folders_are_removed_and_only_ours(
    hub: Any, write_plugin: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "tmp"
    (shared / "tmp-of-somebody").mkdir(parents=True)
    abandoned = shared / "dispatcher-sdk-abandoned"
    abandoned.mkdir()
    (abandoned / "in-use").touch()
    os.utime(abandoned, (1, 1))
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    hub.submit(b"x")
    async with serving(hub, write_plugin("job.add_child(b'kid', relationship={'a': 'b'})")):
        await hub.outcomes(1)
    assert [path.name for path in shared.iterdir()] == ["tmp-of-somebody"]


async def test_a_plugin_that_cannot_be_set_up_says_why(hub: Any, write_plugin: Callable[[str], str]) -> None:
    target = write_plugin(
        "from dispatcher_sdk import Plugin\nplugin = Plugin('broken', version='1')\n"
        "@plugin.setup\ndef setup(): raise FileNotFoundError('rules.yar')\n@plugin.execute\ndef execute(job): pass\n"
    )
    runner = await command("serve", target, "--server", hub.url)
    _, said = await runner.communicate()
    assert runner.returncode == 1
    assert b"rules.yar" in said
    assert not hub.polls


async def command(*arguments: str) -> asyncio.subprocess.Process:
    script = "from dispatcher_sdk.cli import main; main()"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )


def running(pid: int) -> bool:
    """Not gone, and not a zombie that nobody has collected yet."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def go_on(gate: Path) -> None:
    """Let the job that reads from this pipe go on; never blocks, even when no job does."""
    descriptor = os.open(gate, os.O_RDWR)
    os.write(descriptor, b"go on")
    os.close(descriptor)


async def until(true: Callable[[], bool]) -> None:
    """For what happens outside this loop: look again until it is so (the test's own time limit ends it)."""
    pause = threading.Event()
    while not true():
        await asyncio.to_thread(pause.wait, 0.02)
