"""The SQLite log when its disk is full or slow, and when the process is killed."""

import asyncio
import random
import signal
import sys
import threading

import apsw
import pytest

from dispatcher.eventlog.base import Append, LogUnavailable, TopicSpec
from dispatcher.eventlog.sqlite.log import SqliteLog
from dispatcher.eventlog.sqlite.partition import Partition
from dispatcher.eventlog.sqlite.schema import open_writer
from dispatcher.eventlog.sqlite.writer import GroupWriter

APPEND_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.sqlite.log import SqliteLog

async def main():
    log = SqliteLog(Path(sys.argv[1]), clean_seconds=0.01)
    await log.start()
    await log.ensure_topics([TopicSpec("t", partitions=2)])

    async def append(caller):
        for n in range(1_000_000):
            keys = [f"{sys.argv[2]}-{caller}-{n}-{i}" for i in range(caller + 1)]
            assert not any(await log.append([Append("t", key.encode(), key.encode() * 50) for key in keys]))
            print("\\n".join(keys), flush=True)

    await asyncio.gather(*(append(caller) for caller in range(6)))

asyncio.run(main())
"""


async def test_kill_9_loses_nothing_that_was_acknowledged(make_log, tmp_path):
    acknowledged: set[str] = set()
    for life in range(3):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", APPEND_FOR_EVER, str(tmp_path / "data"), str(life), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(random.randint(500, 3_000)):
            acknowledged.add((await process.stdout.readline()).decode().strip())
        process.send_signal(signal.SIGKILL)
        acknowledged |= {line.decode().strip() async for line in process.stdout if line.endswith(b"\n")}
        await process.wait()
    log = make_log()
    await log.start()
    found: list[str] = []
    for partition in (("t", 0), ("t", 1)):
        offset = 0
        while offset < log.high_watermark(partition):
            chunk = await log.read(partition, offset, 1 << 20)
            assert all(record.value == record.key * 50 for record in chunk.records)
            found += [record.key.decode() for record in chunk.records]
            offset = chunk.next_offset
    assert len(acknowledged) > 1_500
    assert acknowledged <= set(found)
    assert len(found) == len(set(found))


class Stage:
    """A writer on a database of its own, with the records that it published."""

    def __init__(self, folder, queue_bytes=1 << 20):
        self.connection = open_writer(folder)
        self.published = []
        self.writer = GroupWriter(
            self.connection,
            clock=lambda: 1e9,
            queue_bytes=queue_bytes,
            published=lambda groups: self.published.extend(record for _, records in groups for record in records),
        )
        self.partition = Partition(("t", 0), 1, start=0, high=0, cleaned=0, newest_ms=0)

    def write(self, size=1):
        return asyncio.ensure_future(self.writer.write([(self.partition, Append("t", b"", b"x" * size))], size))

    async def hold(self):
        """Keeps the writer busy until the event that it gives is set."""
        go_on, busy = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def run(_):
            loop.call_soon_threadsafe(busy.set)
            go_on.wait(20)

        held = asyncio.ensure_future(self.writer.call(run))
        await busy.wait()
        return go_on, held


@pytest.fixture
async def stage(tmp_path):
    stage = Stage(tmp_path)
    yield stage
    await stage.writer.close()
    stage.connection.close()


async def test_a_full_disk_refuses_and_recovers(stage):
    assert await stage.write(10) is None
    size = await stage.writer.call(lambda connection: connection.pragma("page_count"))
    await stage.writer.call(lambda connection: connection.pragma("max_page_count", size + 2))
    for _ in range(3):
        assert isinstance(await stage.write(100_000), LogUnavailable)
        with pytest.raises(LogUnavailable):
            await stage.writer.call(lambda c: c.execute("INSERT INTO journal VALUES (1, 'k', zeroblob(100000))"))
    await stage.writer.call(lambda connection: connection.pragma("max_page_count", 1_000_000))
    assert await stage.write(100_000) is None
    assert [record.offset for record in stage.published] == [0, 1]
    rows = await stage.writer.call(lambda connection: connection.execute("SELECT last FROM batch").fetchall())
    assert rows == [(0,), (1,)]


async def test_a_call_that_fails_leaves_nothing_and_harms_nobody(stage):
    go_on, held = await stage.hold()

    def fails(connection):
        connection.execute("INSERT INTO fence VALUES (1, 1)")
        raise ValueError("no")

    failing = asyncio.ensure_future(stage.writer.call(fails))
    broken = asyncio.ensure_future(stage.writer.call(lambda connection: connection.execute("nonsense")))
    write = stage.write()
    go_on.set()
    with pytest.raises(ValueError, match="no"):
        await failing
    with pytest.raises(LogUnavailable):
        await broken
    assert await write is None
    await held
    assert await stage.writer.call(lambda c: c.execute("SELECT count(*) FROM fence").get) == 0


async def test_what_waits_together_is_committed_together(stage):
    go_on, held = await stage.hold()
    writes = [stage.write() for _ in range(50)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(held, *writes)
    rows = await stage.writer.call(lambda connection: connection.execute("SELECT last FROM batch").fetchall())
    assert rows == [(49,)]


async def test_bytes_waiting_for_a_slow_disk_are_bounded(tmp_path):
    stage = Stage(tmp_path, queue_bytes=10_000)
    go_on, held = await stage.hold()
    writes = [stage.write(3_000) for _ in range(100)]
    await asyncio.sleep(0)
    assert stage.writer.waiting_bytes == 9_000
    writes[50].cancel()
    go_on.set()
    await asyncio.wait(writes)
    await held
    assert len(stage.published) == 99
    assert stage.writer.waiting_bytes == 0
    assert await stage.write(50_000) is None  # more than the limit goes alone
    await stage.writer.close()
    stage.connection.close()


async def test_a_caller_that_goes_away_gives_its_room_back(stage):
    go_on, held = await stage.hold()
    write = stage.write(1_000)
    await asyncio.sleep(0)
    write.cancel()
    go_on.set()
    await held
    assert await stage.write() is None
    assert stage.writer.waiting_bytes == 0
    assert len(stage.published) == 2  # what was handed over is written all the same


async def test_reads_after_the_file_broke_say_so(make_log, tmp_path):
    log = make_log(window_bytes=0)
    await log.start()
    await log.ensure_topics([TopicSpec("t")])
    await log.append([Append("t", b"k", b"v" * 10_000)])
    saboteur = apsw.Connection(str(tmp_path / "data" / "events.db"))
    saboteur.execute("ALTER TABLE batch RENAME TO gone")
    saboteur.close()
    with pytest.raises(LogUnavailable):
        await log.read(("t", 0), 0, 100)
    [outcome] = await log.append([Append("t", b"k", b"v")])
    assert isinstance(outcome, LogUnavailable)


async def test_appending_before_start_is_refused(tmp_path):
    log = SqliteLog(tmp_path)
    await log.close()
    with pytest.raises(LogUnavailable):
        await log.ensure_topics([TopicSpec("t")])
