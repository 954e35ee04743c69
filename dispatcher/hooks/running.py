"""Objects of hook packages that run by themselves: started with their server, closed with it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

from dispatcher.hooks.manager import HookManager

log = logging.getLogger(__name__)

START_SECONDS: Final = 30.0
CLOSE_SECONDS: Final = 5.0


@asynccontextmanager
async def running(
    hooks: HookManager, *, start_seconds: float = START_SECONDS, close_seconds: float = CLOSE_SECONDS
) -> AsyncIterator[None]:
    """Enter every object that is an async context manager, and leave them in the opposite order at the end.

    The hooks must be loaded, and nothing of theirs used yet: a package that does not start is left out as a whole.
    Raises StartupError when the server must not be without it.
    """
    async with AsyncExitStack() as stack:
        for package, things in hooks.lasting().items():
            own = await stack.enter_async_context(AsyncExitStack())
            for thing in things:
                if error := await _started(thing, start_seconds):
                    await own.aclose()
                    hooks.leave_out(package, error)
                    break
                own.push_async_callback(_close, package, thing, close_seconds)
        yield


async def _started(thing: AbstractAsyncContextManager[Any], seconds: float) -> str:
    """Why it does not start; empty when it has."""
    try:
        async with asyncio.timeout(seconds):
            await thing.__aenter__()
    except TimeoutError:
        return f"{type(thing).__name__} was not ready within {seconds:g} s"
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"
    return ""


async def _close(package: str, thing: AbstractAsyncContextManager[Any], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await thing.__aexit__(None, None, None)
    except Exception:
        fields = {"action": "close_hooks", "package": package}
        log.exception("an object of hook package %s did not close in order", package, extra=fields)
