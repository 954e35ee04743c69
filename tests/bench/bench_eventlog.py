"""Rates of the SQLite event log on this machine: `python tests/bench/bench_eventlog.py [FOLDER]`. Prints a table."""

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.sqlite.log import SqliteLog

VALUES = [os.urandom(1400) for _ in range(64)]
TOPIC = "bench"


def records(count: int) -> list[Append]:
    return [Append(TOPIC, os.urandom(16).hex().encode(), VALUES[i % 64], b"t" * 60) for i in range(count)]


async def append_all(log: SqliteLog, items: list[Append], size: int, callers: int) -> None:
    calls = iter([items[i : i + size] for i in range(0, len(items), size)])

    async def caller() -> None:
        for call in calls:
            assert not any(await log.append(call))

    await asyncio.gather(*(caller() for _ in range(callers)))


async def read_all(log: SqliteLog, offset: int, end: int) -> None:
    while offset < end:
        offset = (await log.read((TOPIC, 0), offset, 1 << 20)).next_offset


async def read_singly(log: SqliteLog, offsets: range) -> None:
    for offset in offsets:
        await log.read((TOPIC, 0), offset, 1)


async def measure(name: str, count: int, work: Callable[[], Awaitable[None]]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:44} {count / wall:10,.0f} /s {cpu / count * 1e6:8.1f} us CPU each")


async def bench(folder: Path) -> None:
    log = SqliteLog(folder, window_bytes=8 << 20)
    await log.start()
    await log.ensure_topics([TopicSpec(TOPIC)])
    for size, callers, count in ((1, 1, 2_000), (1, 8, 8_000), (1, 64, 20_000), (100, 1, 40_000), (100, 4, 60_000)):
        items = records(count)

        async def append(items: list[Append] = items, size: int = size, callers: int = callers) -> None:
            await append_all(log, items, size, callers)

        await measure(f"append, {size} a call, {callers} callers", count, append)
    total = log.high_watermark((TOPIC, 0))
    await measure("read 1 MiB pieces from disk, single appends", 8_000, lambda: read_all(log, 2_000, 10_000))
    await measure("read 1 MiB pieces from disk, bulk appends", 60_000, lambda: read_all(log, 30_000, 90_000))
    await measure("read one record from disk", 2_000, lambda: read_singly(log, range(30_000, 32_000)))
    await measure("read one record from memory", 2_000, lambda: read_singly(log, range(total - 2_000, total)))
    await measure("compaction", total, log.clean_once)
    await measure("read 1 MiB pieces from disk, compacted", 60_000, lambda: read_all(log, 0, 60_000))
    await log.close()
    size_of_file = (folder / "events.db").stat().st_size
    print(f"file {size_of_file / total:,.0f} bytes a record of 1492 bytes")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        uvloop.run(bench(Path(folder)))


if __name__ == "__main__":
    main()
