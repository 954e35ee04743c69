from dispatcher.eventlog.base import Record
from dispatcher.eventlog.sqlite.partition import Partition
from dispatcher.eventlog.sqlite.window import RECORD_BYTES, Window


def partition(name: str) -> Partition:
    return Partition((name, 0), 1, start=0, high=0, cleaned=0, newest_ms=0)


def record(offset: int, size: int) -> Record:
    return Record(offset, 0, b"", b"x" * size, None)


def test_the_oldest_of_all_partitions_goes_first():
    quiet, busy = partition("quiet"), partition("busy")
    window = Window(4 * (RECORD_BYTES + 100))
    window.push(quiet, [record(0, 100)])
    window.push(busy, [record(0, 100), record(1, 100)])
    window.push(busy, [record(2, 100)])
    assert quiet.has_recent(0)
    window.push(busy, [record(3, 100)])
    assert not quiet.has_recent(0)
    assert quiet.has_recent(1)
    assert busy.has_recent(0)
    window.push(quiet, [record(1, 100)])
    assert (busy.has_recent(1), busy.has_recent(2)) == (False, True)
    assert busy.recent(2) == ([record(2, 100), record(3, 100)], 0)


def test_a_record_larger_than_the_window_is_published_all_the_same():
    only = partition("only")
    window = Window(10)
    window.push(only, [record(0, 100)])
    assert (only.high, only.has_recent(0), only.has_recent(1)) == (1, False, True)
