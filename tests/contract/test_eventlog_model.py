"""Random use of every log against a plain list: what is there, what cleaning takes, what restarts keep."""

import asyncio
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.memory import MemoryLog
from dispatcher.eventlog.sqlite.log import SqliteLog

RETENTION_MS = 20_000
TOMBSTONE_MS = 30_000
COMPACTED, RETAINED = ("compacted", 0), ("retained", 0)
SPECS = [TopicSpec("compacted"), TopicSpec("retained", cleanup="delete", retention_ms=RETENTION_MS)]

items = st.tuples(
    st.sampled_from([COMPACTED, RETAINED]),
    st.sampled_from([b"a", b"b", b"c", b"d", b""]),
    st.one_of(st.none(), st.binary(max_size=3), st.integers(0, 40_000).map(lambda size: b"x" * size)),
)


class Written(NamedTuple):
    offset: int
    ms: int
    key: bytes
    value: bytes | None


class LogMachine(RuleBasedStateMachine):
    """`make` gives a log for (clock); it is called again after a close when the backend outlives that."""

    def __init__(self, make, outlives_close):
        super().__init__()
        self.make = make
        self.outlives_close = outlives_close
        self.runner = asyncio.Runner()
        self.now = 1_700_000_000
        self.model = {COMPACTED: [], RETAINED: []}
        self.high = {COMPACTED: 0, RETAINED: 0}
        self.tail_at = {COMPACTED: 0, RETAINED: 0}
        self.tailed = {COMPACTED: [], RETAINED: []}

    def run(self, coroutine):
        return self.runner.run(coroutine)

    async def _open(self):
        self.log = self.make(lambda: self.now)
        await self.log.start()
        await self.log.ensure_topics(SPECS)
        self.tail = await self.log.tail(self.tail_at)

    @initialize()
    def open(self):
        self.run(self._open())

    @rule(batch=st.lists(items, max_size=12), callers=st.integers(1, 3))
    def append(self, batch, callers):
        async def together():
            calls = [batch[n::callers] for n in range(callers)]
            return await asyncio.gather(*(self.log.append([self._item(*i) for i in call]) for call in calls))

        assert not any(outcome for outcomes in self.run(together()) for outcome in outcomes)
        for n in range(callers):
            for partition, key, value in batch[n::callers]:
                self.model[partition].append(Written(self.high[partition], self.now * 1000, key, value))
                self.high[partition] += 1

    @staticmethod
    def _item(partition, key, value):
        return Append(partition[0], key, value, key * 2)

    @rule(seconds=st.integers(1, 25))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def clean(self):
        self.run(self.log.clean_once())
        now_ms = self.now * 1000
        newest = {written.key: written.offset for written in self.model[COMPACTED]}
        self.model[COMPACTED] = [
            w
            for w in self.model[COMPACTED]
            if newest[w.key] == w.offset and not (w.value is None and w.ms < now_ms - TOMBSTONE_MS)
        ]
        self.model[RETAINED] = [w for w in self.model[RETAINED] if w.ms >= now_ms - RETENTION_MS]

    @rule()
    def follow(self):
        """The tail gives everything that is still there, in order, and nothing twice."""
        behind = [p for p in self.model if self.tail_at[p] < self.high[p]]
        while behind:
            for chunk in self.run(self.tail.next()):
                self.tailed[chunk.partition] += [record.offset for record in chunk.records]
                self.tail_at[chunk.partition] = chunk.next_offset
            behind = [p for p in self.model if self.tail_at[p] < self.high[p]]
        for partition, written in self.model.items():
            assert self.tailed[partition] == sorted(set(self.tailed[partition]))
            assert {w.offset for w in written} <= set(self.tailed[partition])

    @rule()
    def restart(self):
        if self.outlives_close:
            self.run(self.log.close())
            self.run(self._open())

    @rule(data=st.data(), max_bytes=st.sampled_from([1, 100, 70_000]))
    def read_from(self, data, max_bytes):
        for partition, written in self.model.items():
            offset = data.draw(st.integers(0, self.high[partition] + 2))
            chunk = self.run(self.log.read(partition, offset, max_bytes))
            expected = [w for w in written if w.offset >= offset]
            assert self._seen(chunk.records) == expected[: len(chunk.records)]
            assert len(chunk.records) >= min(1, len(expected))
            assert chunk.high_watermark == self.high[partition]
            if len(chunk.records) == len(expected):
                assert chunk.next_offset == max(offset, self.high[partition])

    @rule(age=st.integers(0, 60))
    def find_time(self, age):
        ms = (self.now - age) * 1000
        found = self.run(self.log.offset_at([COMPACTED, RETAINED], ms))
        for partition, written in self.model.items():
            assert found[partition] == next((w.offset for w in written if w.ms >= ms), None)

    @invariant()
    def bounds_are_right(self):
        if not hasattr(self, "log"):
            return
        bounds = self.run(self.log.bounds([COMPACTED, RETAINED]))
        assert bounds[COMPACTED] == (0, self.high[COMPACTED])
        start, high = bounds[RETAINED]
        assert high == self.high[RETAINED]
        assert start == (self.model[RETAINED][0].offset if self.model[RETAINED] else start) <= high

    @staticmethod
    def _seen(records):
        assert all(record.tag == record.key * 2 for record in records)
        return [Written(r.offset, r.timestamp_ms, r.key, r.value) for r in records]

    def teardown(self):
        if hasattr(self, "log"):
            self.run(self.log.close())
        self.runner.close()


@pytest.mark.parametrize("window_bytes", [None, 0, 50_000, 1 << 20])
def test_log_against_a_list(window_bytes, tmp_path_factory):
    def machine():
        folder = tmp_path_factory.mktemp("log")

        def make(clock):
            if window_bytes is None:
                return MemoryLog(clock=clock, tombstone_ms=TOMBSTONE_MS)
            return SqliteLog(folder, clock=clock, tombstone_ms=TOMBSTONE_MS, window_bytes=window_bytes)

        return LogMachine(make, outlives_close=window_bytes is not None)

    examples = settings(
        max_examples=25,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(machine, settings=examples)
