"""LocalDispatcher: the real server in this process, on a free port, with everything in memory.

For tests of hook packages, of clients, and of the dispatcher itself. The fixture `local_dispatcher` comes with the
distribution (a pytest plugin): a test that names it gets a running server.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

from dispatcher.app import Dispatcher
from dispatcher.hooks.packages import package_name
from dispatcher.settings import Settings


class LocalDispatcher:
    """`async with LocalDispatcher(folder) as server:` then `server.url`.

    folder: where it may keep files while it runs. hooks: hook packages (modules or objects), all of which must load.
    Packages that happen to be installed are left out, so that a test means the same everywhere.
    hook_options: options of packages by name, as in `{"my_hooks": {"limit": 3}}`.
    Further keywords are settings by their attribute names: `lease_seconds=2`, or
    `kafka_endpoint="localhost:9092", kafka_topic_prefix="mine"` for a log on Kafka. Raises StartupError.
    """

    def __init__(
        self,
        folder: Path,
        *,
        hooks: Sequence[object] = (),
        hook_options: Mapping[str, Mapping[str, object]] | None = None,
        clock: Callable[[], float] = time.time,
        **settings: Any,
    ) -> None:
        chosen: dict[str, Any] = {
            "listen": "127.0.0.1:0",
            "data_dir": folder,
            "event_log": "memory",
            "store": "memory:",
            "parser_workers": 1,
            "drain_seconds": 1,
            "hooks_installed": False,
            "hooks_options": yaml.safe_dump({name: dict(options) for name, options in (hook_options or {}).items()}),
        }
        required = tuple(package_name(package) for package in hooks)
        self._server = Dispatcher(
            Settings(**{**chosen, "hooks_required": required, **settings}), hooks=hooks, clock=clock
        )

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`"""
        return self._server.url

    @property
    def app(self) -> Dispatcher:
        """The server's rooms, for tests that look behind its HTTP."""
        return self._server

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.__aexit__(kind, error, trace)


def pytest_configure(config: pytest.Config) -> None:
    """The fixture is async, so it needs pytest-asyncio; without it there is none."""
    if config.pluginmanager.hasplugin("asyncio"):
        config.pluginmanager.register(_Fixtures(), "dispatcher-fixtures")


class _Fixtures:
    @pytest.fixture
    async def local_dispatcher(self, tmp_path: Path) -> AsyncIterator[LocalDispatcher]:
        """A running dispatcher with everything in memory."""
        async with LocalDispatcher(tmp_path / "dispatcher") as server:
            yield server
