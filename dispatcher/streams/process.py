"""One worker process, seen from the server: start it, ask it, notice how it died, end it."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

import msgspec

from dispatcher.streams.frames import CAUSES, HEAD, MAX_FRAME, fault, info_fault, pack

_MODULE = "dispatcher.streams.worker_main"
_PASSED_ON = ("PATH", "LANG", "LC_", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_", "MAGIC", "VIRTUAL_ENV", "PYTHON")
"""Environment that a worker sees. Not the rest: it holds the server's passwords and keys."""


class Reply(msgspec.Struct):
    """What a worker may say. `fields` and `info` on success, else `cause` and `error`; `faults` answers a load."""

    ticket: str
    step: int
    fields: dict[str, str | int] = {}
    info: dict[str, Any] = {}
    cause: str = ""
    error: str = ""
    faults: dict[str, str] = {}


_decode = msgspec.json.Decoder(Reply).decode


class WorkerLost(Exception):
    """The worker is gone (it died, hung and was killed, or sent nonsense). `cause` says how."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


class WorkerProcess:
    """Ends with the server: idle it sees its socket close, busy it gets the kernel's parent-death signal.

    That signal belongs to the *thread* that started the process, so `spawner` must be an executor whose one
    thread lives as long as the workers are wanted.
    """

    def __init__(
        self, child: subprocess.Popen[bytes], reader: StreamReader, writer: StreamWriter, spawner: Executor
    ) -> None:
        self._child = child
        self._reader = reader
        self._writer = writer
        self._spawner = spawner
        self._lost = False
        self._ticket = ""
        self._step = 0
        self.files = 0
        """Files asked for so far."""

    @classmethod
    async def start(cls, spawner: Executor, memory_bytes: int) -> "WorkerProcess":
        """Raises OSError when the system does not give a process."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        try:
            child = await loop.run_in_executor(spawner, _spawn, theirs.fileno(), memory_bytes)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(child, reader, writer, spawner)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def dead(self) -> bool:
        """Known to be gone; a dead worker that nobody noticed is found out when it is asked."""
        return self._lost or self._reader.at_eof()

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send a request; `reply` gives its answers, one after the other."""
        self._ticket, self._step = secrets.token_hex(8), 0
        self._writer.write(pack({**request, "ticket": self._ticket}))

    async def reply(self, seconds: float) -> Reply:
        """The next answer. Raises WorkerLost; the process is gone then."""
        try:
            async with asyncio.timeout(seconds):
                return self._believed(_decode(await self._frame()))
        except TimeoutError:
            await self.kill()
            raise WorkerLost("timeout", f"no answer in {seconds:.1f} s") from None
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError) as error:
            await self.kill()
            raise WorkerLost("garbage", f"answer is not acceptable: {error}") from None
        except (asyncio.IncompleteReadError, OSError):
            raise _post_mortem(await self.kill()) from None
        except asyncio.CancelledError:
            await asyncio.shield(self.kill())
            raise

    async def _frame(self) -> bytes:
        (length,) = HEAD.unpack(await self._reader.readexactly(HEAD.size))
        if length > MAX_FRAME:
            raise ValueError(f"{length} bytes announced")
        return await self._reader.readexactly(length)

    def _believed(self, reply: Reply) -> Reply:
        """The process may be in the hands of the file that it was given: an answer to another question, or one
        that its own side would not have let through, raises ValueError."""
        if (reply.ticket, reply.step) != (self._ticket, self._step):
            raise ValueError("it belongs to another question")
        if reply.cause not in CAUSES:
            raise ValueError("unknown cause")
        if problem := fault(reply.fields) or info_fault(reply.info):
            raise ValueError(problem)
        self._step += 1
        return reply

    async def kill(self) -> int:
        """End the process and all it started; gives its exit code (negative: the signal). Safe to repeat."""
        self._lost = True
        self._writer.close()
        return await asyncio.get_running_loop().run_in_executor(self._spawner, _end, self._child)


def _spawn(descriptor: int, memory_bytes: int) -> "subprocess.Popen[bytes]":
    arguments = [str(descriptor), str(memory_bytes), str(os.getpid())]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, *arguments],
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        # Its own session: Ctrl-C on the terminal must not reach a worker while the server still drains.
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """What the server can import, a worker can import."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _end(child: "subprocess.Popen[bytes]") -> int:
    # A process that died by itself keeps its own exit code: it was settled before its socket was closed.
    # The group goes before the leader is reaped, while its number cannot belong to anybody else.
    if child.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def _post_mortem(code: int) -> WorkerLost:
    if code == -signal.SIGXCPU:
        return WorkerLost("timeout", "used more CPU time than allowed")
    if code < 0:
        return WorkerLost("crash", f"killed by {signal.Signals(-code).name}")
    return WorkerLost("crash", f"ended with exit code {code}")
