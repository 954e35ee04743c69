from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dispatcher.eventlog.sqlite.log import SqliteLog


@pytest.fixture
async def make_log(tmp_path: Path) -> AsyncIterator[Callable[..., SqliteLog]]:
    """Gives logs in one folder; those still open at the end are closed."""
    made: list[SqliteLog] = []

    def make(**options: object) -> SqliteLog:
        made.append(SqliteLog(tmp_path / "data", clean_seconds=3600, **options))
        return made[-1]

    yield make
    for log in made:
        await log.close()
