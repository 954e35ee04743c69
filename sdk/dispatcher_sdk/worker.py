"""The process in which plain plugins run: `python -m dispatcher_sdk.worker TARGET --channel FD --life FD`.

It is started by the runner, which kills its whole process group when a job takes too long. It ends by itself
when the runner is gone: `--life` is the reading end of a pipe that only the runner holds open.
"""

import argparse
import faulthandler
import os
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from dispatcher_sdk.execution import execute
from dispatcher_sdk.frames import BadFrame, Broken, Done, Ready, Start, pack, receive
from dispatcher_sdk.job import Job
from dispatcher_sdk.limits import MESSAGE_CHARACTERS
from dispatcher_sdk.loading import load_plugin
from dispatcher_sdk.models import BinaryEvent, decode_as
from dispatcher_sdk.outcome import Outcome
from dispatcher_sdk.plugin import Plugin
from dispatcher_sdk.text import clean
from dispatcher_sdk.workspace import JobFolder

_BROKEN: Final = 3
"""Exit code of a worker whose plugin cannot be set up."""
_STDERR: Final = 2
"""The descriptor, whatever the plugin made of sys.stderr."""


def main() -> None:
    options = _arguments()
    faulthandler.enable(_STDERR)
    threading.Thread(target=_follow_runner, args=(options.life,), daemon=True).start()
    channel = socket.socket(fileno=options.channel)
    try:
        plugin = load_plugin(options.target)
        state = plugin.prepare()
    except BaseException:
        channel.sendall(pack(Broken(clean(traceback.format_exc(), MESSAGE_CHARACTERS))))
        sys.exit(_BROKEN)
    channel.sendall(pack(Ready()))
    serve(plugin, state, channel)


def serve(plugin: Plugin, state: Any, channel: socket.socket) -> None:
    """One job after another until the runner closes the channel."""
    while True:
        start = receive(channel)
        if not isinstance(start, Start):
            return
        channel.sendall(_packed(run(plugin, state, start)))


def run(plugin: Plugin, state: Any, start: Start) -> Outcome:
    """One job, in its own temporary folder and with a watchdog that works even when native code never returns."""
    folder = JobFolder(Path(start.folder))
    event = decode_as(BinaryEvent, start.event)
    with _as_before(folder.scratch):
        process = os.getpid()
        faulthandler.dump_traceback_later(start.seconds, exit=True, file=_STDERR)
        outcome, _ = execute(plugin, Job(event, folder, plugin.features, state))
        if os.getpid() != process:  # the plugin forked and its child came back: it has no watchdog, and no job
            os._exit(0)
        faulthandler.cancel_dump_traceback_later()
        return outcome


@contextmanager
def _as_before(scratch: Path) -> Iterator[None]:
    """Temporary files go to the job's folder; what a job changed in the process is put back afterwards."""
    environment, streams, folder = dict(os.environ), (sys.stdout, sys.stderr), None
    with suppress(OSError):
        folder = os.getcwd()
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    try:
        yield
    finally:
        tempfile.tempdir = None
        sys.stdout, sys.stderr = streams
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)


def _packed(outcome: Outcome) -> bytes:
    try:
        return pack(Done(outcome))
    except BadFrame as problem:
        return pack(Done(Outcome("error-output", "the results are too large", str(problem), outcome.runtime)))


def _follow_runner(life: int) -> None:
    """End this process and whatever it started as soon as the runner is gone."""
    os.read(life, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dispatcher_sdk.worker", description="Started by the runner.")
    parser.add_argument("target")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--life", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
