"""Opening and closing the SQLite log."""

import asyncio
import sys
from pathlib import Path

import apsw
import pytest

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.sqlite.log import SqliteLog

OPEN_AGAIN = """
import asyncio, sys
from pathlib import Path
from dispatcher.errors import StartupError
from dispatcher.eventlog.sqlite.log import SqliteLog

async def main():
    log = SqliteLog(Path(sys.argv[1]))
    try:
        await log.start()
    except StartupError as error:
        sys.exit(f"refused: {error}")
    await log.close()

asyncio.run(main())
"""


async def open_elsewhere(folder: Path) -> str:
    """What another process says that opens this folder."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OPEN_AGAIN, str(folder), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    return errors.decode().strip()


async def test_a_second_process_is_refused_until_the_first_has_closed(make_log, tmp_path):
    log = make_log()
    await log.start()
    said = await open_elsewhere(tmp_path / "data")
    assert said.startswith("refused: ")
    assert str(tmp_path / "data") in said
    await log.close()
    assert await open_elsewhere(tmp_path / "data") == ""


async def test_a_second_log_in_this_process_is_refused(make_log, tmp_path):
    log, second = make_log(), make_log()
    await log.start()
    with pytest.raises(StartupError, match="in use by another"):
        await second.start()
    await log.ensure_topics([TopicSpec("t")])
    assert await log.append([Append("t", b"k", b"v")]) == [None]


async def test_a_file_of_a_later_format_is_refused(make_log, tmp_path):
    log = make_log()
    await log.start()
    await log.close()
    database = apsw.Connection(str(tmp_path / "data" / "events.db"))
    database.pragma("user_version", 99)
    database.close()
    with pytest.raises(StartupError, match=r"format 99.*reads 1"):
        await make_log().start()


async def test_a_file_that_is_something_else_is_refused_and_the_folder_free_again(make_log, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "events.db").write_bytes(b"this is no database" * 1000)
    with pytest.raises(StartupError, match=r"events\.db"):
        await make_log().start()
    (tmp_path / "data" / "events.db").unlink()
    await make_log().start()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="file"):
        await SqliteLog(tmp_path / "file" / "data").start()


async def test_closing_commits_what_was_handed_over_and_leaves_one_tidy_file(make_log, tmp_path):
    log = make_log()
    await log.start()
    await log.ensure_topics([TopicSpec("t")])
    appends = [asyncio.ensure_future(log.append([Append("t", b"%d" % n, b"x" * 1000)])) for n in range(200)]
    await asyncio.sleep(0)  # all have been handed to the writer
    await log.close()
    assert await asyncio.gather(*appends) == [[None]] * 200
    assert not (tmp_path / "data" / "events.db-wal").exists()
    again = make_log()
    await again.start()
    assert await again.bounds([("t", 0)]) == {("t", 0): (0, 200)}


async def test_closing_twice(make_log):
    log = make_log()
    await log.start()
    await log.close()
    await log.close()


async def test_a_log_has_a_name_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    found = []
    for folder in ("a", "a", "b"):
        log = SqliteLog(tmp_path / folder)
        await log.start()
        found += [await log.identity(), await log.identity()]
        await log.close()
    assert len(set(found[:4])) == 1
    assert len(set(found)) == 2
