"""A worker process: runs enricher functions on one file at a time, answering after each.

Started by `dispatcher.streams.workers` as `python -m dispatcher.streams.worker_main FD MEMORY_BYTES PARENT_PID`;
FD is its end of a socket pair. It ends when that socket is closed.
"""

import importlib
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from dispatcher.streams import frames, limits

Function = Callable[[str, dict[str, Any]], object]


def main(arguments: list[str]) -> None:
    descriptor, memory_bytes, parent = map(int, arguments)
    limits.confine(memory_bytes, parent)
    link = socket.socket(fileno=descriptor)
    try:
        serve(link)
    except (EOFError, ConnectionError):
        return


def serve(link: socket.socket) -> None:
    """Answer requests until the other side closes (EOFError)."""

    def read(count: int) -> bytes:
        data = link.recv(count, socket.MSG_WAITALL)
        if len(data) < count:
            raise EOFError
        return data

    while True:
        request = frames.unpack(read)
        if "load" in request:
            link.sendall(frames.pack({"ticket": request["ticket"], "step": 0, "faults": load(request["load"])}))
        else:
            run(link, **request)


def load(names: list[str]) -> dict[str, str]:
    """Import functions ahead of the first file; what cannot be imported comes back with the reason."""
    faults = {}
    for name in names:
        try:
            resolve(name)
        except Exception as error:
            faults[name] = describe(error)
    return faults


def run(link: socket.socket, *, ticket: str, path: str, fields: dict[str, Any], steps: list[tuple[str, float]]) -> None:
    for step, (function, seconds) in enumerate(steps):
        limits.allow_cpu(seconds)
        reply = attempt(function, path, fields)
        if "fields" in reply:
            fields.update(reply["fields"])
        link.sendall(frames.pack({"ticket": ticket, "step": step, **reply}))


def attempt(function: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """One enricher's fields, or why there are none. A function may even call sys.exit."""
    try:
        answer, info = apart(resolve(function)(path, dict(fields)))
        if problem := frames.fault(answer) or frames.info_fault(info):
            return {"cause": "garbage", "error": problem}
    except MemoryError:
        return {"cause": "memory", "error": "out of memory"}
    except BaseException as error:
        return {"cause": "raised", "error": describe(error)}
    return {"fields": answer, "info": info} if info else {"fields": answer}


def apart(answer: object) -> tuple[object, object]:
    """Fields, and what an enricher says besides them."""
    if not isinstance(answer, dict):
        return answer, {}
    return {name: value for name, value in answer.items() if name != "info"}, answer.get("info", {})


@lru_cache(maxsize=256)
def resolve(name: str) -> Function:
    """ "package.module:function" to the function. Raises ImportError, AttributeError, ValueError, TypeError."""
    module, _, attribute = name.partition(":")
    if not attribute:
        raise ValueError(f"{name!r} is not written as package.module:function")
    found = getattr(importlib.import_module(module), attribute)
    if not callable(found):
        raise TypeError(f"{name} is not a function")
    return found  # type: ignore[no-any-return]


def describe(error: BaseException) -> str:
    """Short printable text, whatever the exception's own __str__ does."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    return text[:500].encode(errors="replace").decode()


if __name__ == "__main__":
    main(sys.argv[1:])
