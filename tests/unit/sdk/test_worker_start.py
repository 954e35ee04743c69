"""A worker that is killed while it starts is started again; a plugin that cannot be set up is not tried for ever."""

from pathlib import Path

import pytest
from dispatcher_sdk.errors import WorkerFailed
from dispatcher_sdk.loading import load_plugin
from dispatcher_sdk.workers import WorkerPool

PLUGIN = """
import os, pathlib, signal, sys
from dispatcher_sdk import Job, Plugin

plugin = Plugin("shot", version="1")
once = pathlib.Path(__file__).with_name("once")
if sys.argv[0].endswith("worker.py") and not once.exists():
    once.touch()
    ACT

@plugin.execute
def execute(job: Job) -> None: ...
"""


def written(folder: Path, act: str) -> Path:
    file = folder / "shot.py"
    file.write_text(PLUGIN.replace("ACT", act))
    return file


async def test_the_first_worker_may_be_killed(tmp_path: Path) -> None:
    file = written(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    async with WorkerPool(load_plugin(str(file)), str(file), 1):
        assert (tmp_path / "once").exists(), "it was killed once"


async def test_a_plugin_that_fails_at_the_start_ends_the_runner_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "raise RuntimeError('no rules')")
    with pytest.raises(WorkerFailed, match="no rules"):
        async with WorkerPool(load_plugin(str(file)), str(file), 1):
            pass
