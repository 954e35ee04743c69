"""The writer thread: everything that waits together is one transaction, made durable by one sync."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import apsw

from dispatcher.eventlog.base import Append, LogUnavailable, Record
from dispatcher.eventlog.room import Room
from dispatcher.eventlog.sqlite.batches import Batch, batches
from dispatcher.eventlog.sqlite.partition import Partition
from dispatcher.eventlog.timestamps import stamp

logger = logging.getLogger(__name__)

GROUP_BYTES = 8 << 20
ROWS_PER_STATEMENT = 64
T = TypeVar("T")
Published = Callable[[Sequence[tuple[Partition, Sequence[Record]]]], None]


@dataclass(slots=True)
class Write:
    """The records of one append."""

    rows: Sequence[tuple[Partition, Append]]
    size: int
    done: "asyncio.Future[LogUnavailable | None]"


@dataclass(slots=True)
class Call:
    """Any other change; must leave nothing behind when it raises."""

    run: Callable[[apsw.Connection], Any]
    size: int
    done: "asyncio.Future[Any]"
    outcome: Any = None
    error: Exception | None = None


@dataclass(slots=True)
class Group:
    """What one transaction does."""

    writes: list[Write]
    calls: list[Call]
    size: int = 0
    published: Sequence[tuple[Partition, Sequence[Record]]] = ()
    error: LogUnavailable | None = None


class GroupWriter:
    """Owns the writing connection.

    `published` is called on the event loop for every committed group, before those who wait for it go on; the loop
    hears of a group with one `call_soon_threadsafe`. A failed transaction fails its whole group with LogUnavailable;
    the next group tries again.
    """

    def __init__(
        self, connection: apsw.Connection, *, clock: Callable[[], float], queue_bytes: int, published: Published
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._published = published
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Write | Call | None] = SimpleQueue()
        self._room = Room(queue_bytes)
        self._closed = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="event log writer", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        return self._room.used

    async def write(self, rows: Sequence[tuple[Partition, Append]], size: int) -> LogUnavailable | None:
        """None once the records are durable, or why they are not."""
        await self._room.take(size)
        if self._closed:
            self._room.give(size)
            return LogUnavailable("the log is closed")
        write = Write(rows, size, self._loop.create_future())
        self._queue.put(write)
        return await write.done

    async def call(self, run: Callable[[apsw.Connection], T], size: int = 0) -> T:
        """Run in a transaction on the writer thread; gives its result once that is durable. Raises what it raises."""
        await self._room.take(size)
        if self._closed:
            self._room.give(size)
            raise LogUnavailable("the log is closed")
        call = Call(run, size, self._loop.create_future())
        self._queue.put(call)
        result: T = await call.done
        return result

    async def close(self) -> None:
        """Commit what was handed over, then end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        running = True
        while running:
            group, running = self._take()
            if not (group.writes or group.calls):
                continue
            self._commit(group)
            try:
                self._loop.call_soon_threadsafe(self._deliver, group)
            except RuntimeError:  # the loop is gone, and with it everybody who waits
                return

    def _take(self) -> tuple[Group, bool]:
        """Wait for work, then take all there is; False when it is the last."""
        group = Group([], [])
        work = self._queue.get()
        while work is not None:
            if isinstance(work, Write):
                group.writes.append(work)
            else:
                group.calls.append(work)
            group.size += work.size
            if group.size >= GROUP_BYTES:
                return group, True
            try:
                work = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit(self, group: Group) -> None:
        try:
            published = self._records(group.writes)
            rows = [batch for partition, records in published for batch in batches(partition.id, records)]
            self._transact(group.calls, rows)
        except Exception as error:
            self._fail(group, error)
            return
        self._failing = False
        for partition, records in published:
            partition.next_offset = records[-1].offset + 1
            partition.newest_ms = records[-1].timestamp_ms
        group.published = published

    def _records(self, writes: Sequence[Write]) -> list[tuple[Partition, list[Record]]]:
        """Give out offsets and timestamps; nothing is kept of them until the commit has succeeded."""
        now_ms = int(self._clock() * 1000)
        found: dict[Partition, list[Record]] = {}
        for write in writes:
            for partition, item in write.rows:
                records = found.get(partition)
                if records is None:
                    records = found[partition] = []
                offset = partition.next_offset + len(records)
                ms = stamp(partition.newest_ms, now_ms)
                records.append(Record(offset, ms, item.key, item.value, item.tag))
        return list(found.items())

    def _transact(self, calls: Sequence[Call], rows: Sequence[Batch]) -> None:
        if not calls and len(rows) <= ROWS_PER_STATEMENT:
            insert(self._connection, rows)  # a transaction by itself
            return
        self._connection.execute("BEGIN IMMEDIATE")
        for call in calls:
            self._attempt(call)
        for first in range(0, len(rows), ROWS_PER_STATEMENT):
            insert(self._connection, rows[first : first + ROWS_PER_STATEMENT])
        self._connection.execute("COMMIT")

    def _attempt(self, call: Call) -> None:
        try:
            with self._connection:  # a savepoint
                call.outcome = call.run(self._connection)
        except apsw.Error as error:
            if not self._connection.in_transaction:  # the database gave the whole transaction up
                raise
            call.error = LogUnavailable(str(error))
        except Exception as error:
            call.error = error

    def _fail(self, group: Group, error: Exception) -> None:
        group.error = LogUnavailable(f"the event log cannot be written: {error}")
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error:
            logger.exception("rollback failed", extra={"action": "log_write"})
        if not self._failing:
            logger.error("the event log cannot be written: %s", error, extra={"action": "log_write"})
        self._failing = True

    def _deliver(self, group: Group) -> None:
        """On the event loop."""
        self._room.give(group.size)
        if group.published:
            self._published(group.published)
        for write in group.writes:
            if not write.done.done():
                write.done.set_result(group.error)
        for call in group.calls:
            self._answer(call, group.error or call.error)

    def _answer(self, call: Call, error: Exception | None) -> None:
        if call.done.done():  # nobody waits any more
            return
        if error is not None:
            call.done.set_exception(error)
        else:
            call.done.set_result(call.outcome)


def insert(connection: apsw.Connection, rows: Sequence[Batch]) -> None:
    """One statement for all rows: between statements the thread would have to win the interpreter back each time."""
    if rows:
        values = ",".join(["(?,?,?,?)"] * len(rows))
        bindings = [value for batch in rows for value in batch.row()]
        connection.execute(f"INSERT INTO batch(id, last, ts, body) VALUES {values}", bindings)
