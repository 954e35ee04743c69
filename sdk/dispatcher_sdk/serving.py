"""Put a runner together and run it as the main program."""

import asyncio
import logging
import signal
from typing import Final

from dispatcher_sdk.client import DispatcherClient
from dispatcher_sdk.executors import Executor, LoopExecutor
from dispatcher_sdk.plugin import Plugin
from dispatcher_sdk.runner import Runner, RunnerSettings
from dispatcher_sdk.workers import WorkerPool
from dispatcher_sdk.workspace import Workspace

_log: Final = logging.getLogger(__name__)


def executor_of(plugin: Plugin, target: str, workers: int) -> Executor:
    """Processes for a plain plugin, this process's loop for an async one."""
    return LoopExecutor(plugin, workers) if plugin.is_async else WorkerPool(plugin, target, workers)


async def serve(
    plugin: Plugin,
    target: str,
    server: str,
    *,
    workers: int,
    settings: RunnerSettings,
    stop: asyncio.Event,
    hurry: asyncio.Event | None = None,
) -> None:
    """Serve `plugin`, which `target` names for its worker processes, until `stop` is set. Raises SdkError."""
    user = f"{plugin.name} {plugin.version}"
    with Workspace() as workspace:
        async with DispatcherClient(server, user=user) as client, executor_of(plugin, target, workers) as executor:
            _log.info("serving %s from %s with %d workers", user, server, workers, extra={"action": "start"})
            await Runner(plugin, executor, client, workspace, settings).run(stop, hurry)
    _log.info("stopped", extra={"action": "stop", "plugin": plugin.name})


def serve_until_signal(plugin: Plugin, target: str, server: str, *, workers: int, lease: int, grace: float) -> None:
    """As `serve`, in a loop of its own, until SIGTERM or SIGINT; a second one ends the grace time."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = RunnerSettings(lease=lease, grace=grace)

    async def main() -> None:
        stop, hurry = asyncio.Event(), asyncio.Event()

        def order() -> None:
            if stop.is_set():
                hurry.set()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, order)
        await serve(plugin, target, server, workers=workers, settings=settings, stop=stop, hurry=hurry)

    asyncio.run(main())
