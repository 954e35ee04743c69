"""What every event log does."""

import asyncio

import pytest

from dispatcher.eventlog.base import Append, LogUnavailable, RecordTooLarge, TopicSpec, UnknownTopic

TOPIC = "t"
P0 = (TOPIC, 0)


def item(key: str, value: bytes | None = b"v", tag: bytes | None = None) -> Append:
    return Append(TOPIC, key.encode(), value, tag)


@pytest.fixture
async def log(backend):
    await backend.log.ensure_topics([TopicSpec(TOPIC)])
    return backend


class TestAppendAndRead:
    async def test_a_record_comes_back_as_it_was_written(self, log):
        await log.append(Append(TOPIC, b"k\x00\xff", b"\x00value", b"tag"), Append(TOPIC, b"", b"", None))
        first, second = await log.records(P0)
        assert first == (0, log.clock.ms, b"k\x00\xff", b"\x00value", b"tag")
        assert second == (1, log.clock.ms, b"", b"", None)

    async def test_a_tombstone_is_not_an_empty_value(self, log):
        await log.append(item("k", None), item("k", b""))
        assert [record.value for record in await log.records(P0)] == [None, b""]

    async def test_order_is_kept_within_one_append_and_between_appends(self, log):
        for start in range(0, 300, 100):
            await log.append(*(item(str(n)) for n in range(start, start + 100)))
        assert [int(record.key) for record in await log.records(P0)] == list(range(300))

    async def test_every_record_of_concurrent_appends_is_there_once(self, log):
        results = await asyncio.gather(*(log.log.append([item(f"{n}-a"), item(f"{n}-b")]) for n in range(200)))
        assert results == [[None, None]] * 200
        records = await log.records(P0)
        assert {record.key.decode() for record in records} == {f"{n}-{x}" for n in range(200) for x in "ab"}
        assert [record.offset for record in records] == list(range(400))

    async def test_bad_items_do_not_stop_the_good_ones(self, log):
        outcomes = await log.log.append(
            [item("a"), item("big", b"x" * ((3 << 20) + 1)), Append("nowhere", b"k", b"v"), item("b", b"x" * (3 << 20))]
        )
        assert [type(outcome) for outcome in outcomes] == [type(None), RecordTooLarge, UnknownTopic, type(None)]
        assert [record.key for record in await log.records(P0)] == [b"a", b"b"]

    async def test_nothing_to_append(self, log):
        assert await log.log.append([]) == []

    async def test_keys_go_where_other_kafka_producers_send_them(self, log):
        await log.log.ensure_topics([TopicSpec(TOPIC, partitions=7)])
        await log.append(item("kafka"), item("giberish123456789"), item(""))
        places = {record.key: number for number in range(7) for record in await log.records((TOPIC, number))}
        assert places == {b"kafka": 0x0D33C4E1 % 7, b"giberish123456789": 0x77A58295 % 7, b"": 0x7EE3623B % 7}

    async def test_reading_in_pieces_gives_everything_once(self, log):
        await log.append(*(item(str(n), b"x" * n) for n in range(200)))
        whole = await log.records(P0)
        assert len(whole) == 200
        for size in (1, 100, 1_000, 10_000):
            assert await log.records(P0, max_bytes=size) == whole
        assert await log.records(P0, offset=150, max_bytes=1_000) == whole[150:]

    async def test_a_read_keeps_to_its_bytes_but_gives_at_least_one(self, log):
        await log.append(item("a", b"x" * 5_000), item("b", b"x" * 5_000), item("c", b"x" * 5_000))
        assert [r.key for r in (await log.log.read(P0, 0, 1)).records] == [b"a"]
        chunk = await log.log.read(P0, 0, 11_000)
        assert [r.key for r in chunk.records] == [b"a", b"b"]
        assert (chunk.next_offset, chunk.start_offset, chunk.high_watermark) == (2, 0, 3)

    async def test_reading_at_and_past_the_end(self, log):
        await log.append(item("a"))
        for offset in (1, 50):
            chunk = await log.log.read(P0, offset, 100)
            assert (list(chunk.records), chunk.next_offset, chunk.high_watermark) == ([], offset, 1)

    async def test_unknown_partitions(self, log):
        for partition in (("nowhere", 0), (TOPIC, 1), (TOPIC, -1)):
            with pytest.raises(UnknownTopic):
                await log.log.read(partition, 0, 100)
            with pytest.raises(UnknownTopic):
                await log.log.tail({partition: 0})
            assert await log.log.bounds([partition]) == {}
            assert await log.log.offset_at([partition], 0) == {}

    async def test_bounds(self, log):
        await log.log.ensure_topics([TopicSpec("other")])
        await log.append(item("a"), item("b"))
        assert await log.log.bounds([P0, ("other", 0)]) == {P0: (0, 2), ("other", 0): (0, 0)}

    async def test_a_closed_log_says_so(self, log):
        await log.log.close()
        assert [type(outcome) for outcome in await log.log.append([item("a")])] == [LogUnavailable]
        calls = (
            lambda: log.log.read(P0, 0, 1),
            lambda: log.log.bounds([P0]),
            lambda: log.log.tail({P0: 0}),
            lambda: log.log.offset_at([P0], 0),
            lambda: log.log.ensure_topics([TopicSpec("new")]),
        )
        for call in calls:
            with pytest.raises(LogUnavailable):
                await call()

    async def test_reopening_loses_nothing(self, log):
        await log.append(*(item(str(n), b"x" * 1_000) for n in range(300)))
        before = await log.records(P0)
        await log.reopen()
        assert await log.records(P0) == before
        assert log.log.topics() == {TOPIC: 1}
        await log.append(item("after"))
        assert (await log.records(P0))[-1].offset == 300


class TestTime:
    async def test_offset_at(self, log):
        times = []
        for n in range(50):
            times.append(log.clock.ms)
            await log.append(item(f"{n}a"), item(f"{n}b"))
            log.clock.now += 10
        for n, time in enumerate(times):
            assert await log.log.offset_at([P0], time) == {P0: 2 * n}
            assert await log.log.offset_at([P0], time - 1) == {P0: 2 * n}
        assert await log.log.offset_at([P0], times[-1] + 1) == {P0: None}
        assert await log.log.offset_at([P0], 0) == {P0: 0}

    async def test_offset_at_among_single_records(self, log):
        start = log.clock.ms
        for n in range(70):
            await log.append(item(str(n)))
            log.clock.now += 1
        for n in range(70):
            assert await log.log.offset_at([P0], start + 1_000 * n) == {P0: n}

    @pytest.mark.not_on("kafka", "it cleans by its own clock: tests/kafka/test_cleaning.py")
    async def test_offset_at_in_a_compacted_topic(self, log):
        for n in range(20):
            await log.append(item(str(n)), item("same"))
            log.clock.now += 1
        await log.clean()
        left = await log.records(P0)
        for record in left:
            expected = next(r.offset for r in left if r.timestamp_ms >= record.timestamp_ms)
            assert await log.log.offset_at([P0], record.timestamp_ms) == {P0: expected}

    async def test_offset_at_of_an_empty_partition(self, log):
        assert await log.log.offset_at([P0], 0) == {P0: None}

    @pytest.mark.not_on("kafka", "records keep the time of their producer")
    async def test_timestamps_do_not_step_back_with_the_clock(self, log):
        await log.append(item("a"))
        late = log.clock.ms
        log.clock.now -= 3600
        await log.append(item("b"))
        await log.reopen()
        await log.append(item("c"))
        assert [record.timestamp_ms for record in await log.records(P0)] == [late] * 3

    @pytest.mark.not_on("kafka", "the broker refuses what is dated an hour ahead")
    async def test_one_wrong_year_does_not_date_all_that_follows(self, log):
        log.clock.now += 80 * 365 * 86_400
        await log.append(item("a"))
        log.clock.now -= 80 * 365 * 86_400
        await log.append(item("b"))
        assert (await log.records(P0))[1].timestamp_ms == log.clock.ms


class TestTopics:
    async def test_partitions_are_added_and_never_taken_away(self, log):
        await log.append(item("a"))
        await log.log.ensure_topics([TopicSpec(TOPIC, partitions=3), TopicSpec("new", partitions=2)])
        await log.log.ensure_topics([TopicSpec(TOPIC, partitions=2)])
        await log.reopen()
        assert log.log.topics() == {TOPIC: 3, "new": 2}
        assert [record.key for record in await log.records(P0)] == [b"a"]

    async def test_making_the_same_topics_at_once(self, log):
        specs = [TopicSpec(f"n{n}", partitions=2) for n in range(5)]
        await asyncio.gather(*(log.log.ensure_topics(specs) for _ in range(5)))
        await log.log.append([Append("n3", b"key", b"v")])
        await log.log.ensure_topics(specs)
        assert sum(high for _, high in (await log.log.bounds([("n3", 0), ("n3", 1)])).values()) == 1


@pytest.mark.not_on("kafka", "it cleans by its own clock: tests/kafka/test_cleaning.py")
class TestRetention:
    @pytest.fixture
    async def log(self, backend):
        await backend.log.ensure_topics([TopicSpec(TOPIC, cleanup="delete", retention_ms=10_000)])
        return backend

    async def test_old_records_go_and_the_start_moves(self, log):
        for n in range(100):
            await log.append(item(str(n)))
            log.clock.now += 1
        await log.clean()
        assert [int(record.key) for record in await log.records(P0)] == list(range(90, 100))
        chunk = await log.log.read(P0, 0, 1)
        assert (chunk.records[0].offset, chunk.start_offset) == (90, 90)
        assert await log.log.bounds([P0]) == {P0: (90, 100)}

    async def test_a_record_stays_until_its_time_is_over(self, log):
        await log.append(item("a"))
        log.clock.now += 10
        await log.clean()
        assert len(await log.records(P0)) == 1
        log.clock.now += 0.001
        await log.clean()
        assert await log.records(P0) == []

    async def test_offsets_are_not_used_again(self, log):
        await log.append(item("a"), item("b"))
        log.clock.now += 60
        await log.clean()
        await log.reopen()
        assert await log.log.bounds([P0]) == {P0: (2, 2)}
        await log.append(item("c"))
        assert [record.offset for record in await log.records(P0)] == [2]

    async def test_nothing_goes_when_it_is_kept_for_ever(self, log):
        await log.log.ensure_topics([TopicSpec(TOPIC, cleanup="delete", retention_ms=-1)])
        await log.append(item("a"))
        log.clock.now += 1e9
        await log.clean()
        assert len(await log.records(P0)) == 1

    async def test_a_tail_behind_the_start_goes_on_from_there(self, log):
        tail = await log.log.tail({P0: 0})
        await log.append(*(item(str(n)) for n in range(5)))
        log.clock.now += 60
        await log.append(item("new"))
        await log.clean()
        [chunk] = await tail.next()
        assert [record.key for record in chunk.records] == [b"new"]
        assert (chunk.start_offset, chunk.next_offset) == (5, 6)


@pytest.mark.not_on("kafka", "it cleans by its own clock: tests/kafka/test_cleaning.py")
class TestCompaction:
    async def test_only_the_newest_record_of_a_key_stays(self, log):
        for n in range(5):
            await log.append(*(item(f"k{k}", f"{n}".encode()) for k in range(n, 10)))
        await log.clean()
        records = await log.records(P0)
        assert {record.key: record.value for record in records} == {
            f"k{k}".encode(): str(min(k, 4)).encode() for k in range(10)
        }
        assert len(records) == 10
        assert await log.log.bounds([P0]) == {P0: (0, 40)}

    async def test_it_goes_on_where_it_stopped(self, log):
        for n in range(60):
            await log.append(item("same", str(n).encode()), item(str(n), b"x" * 3_000))
            if n % 7 == 0:
                await log.clean()
            if n % 25 == 0:
                await log.reopen()
        await log.clean()
        records = await log.records(P0)
        assert [r.value for r in records if r.key == b"same"] == [b"59"]
        assert sorted(int(r.key) for r in records if r.key != b"same") == list(range(60))
        assert [r.offset for r in records] == sorted(r.offset for r in records)

    async def test_reading_over_a_gap(self, log):
        await log.append(item("a"), item("a"), item("a"), item("b"), item("c"), item("c"))
        await log.append(item("b"), item("b"))
        await log.clean()
        assert [r.offset for r in await log.records(P0)] == [2, 5, 7]
        chunk = await log.log.read(P0, 3, 1)
        assert ([r.offset for r in chunk.records], chunk.next_offset, chunk.start_offset) == ([5], 6, 0)
        chunk = await log.log.read(P0, 6, 1 << 20)
        assert ([r.offset for r in chunk.records], chunk.next_offset) == ([7], 8)

    async def test_a_gap_up_to_the_end_counts_as_caught_up(self, log):
        await log.append(item("a"), item("b"), item("b", None))
        log.clock.now += 120
        await log.clean()
        chunk = await log.log.read(P0, 1, 100)
        assert (list(chunk.records), chunk.next_offset, chunk.high_watermark) == ([], 3, 3)
        tail = await log.log.tail({P0: 1})
        [chunk] = await tail.next()
        assert (list(chunk.records), chunk.next_offset) == ([], 3)

    async def test_a_tombstone_goes_later(self, log):
        await log.append(item("a"), item("b"), item("a", None))
        await log.clean()
        assert [(r.key, r.value) for r in await log.records(P0)] == [(b"b", b"v"), (b"a", None)]
        log.clock.now += 61
        await log.clean()
        assert [r.key for r in await log.records(P0)] == [b"b"]

    async def test_offsets_of_removed_tombstones_are_not_used_again(self, log):
        await log.append(item("a"), item("a", None))
        log.clock.now += 61
        await log.clean()
        await log.reopen()
        await log.append(item("a"))
        await log.clean()
        assert [(r.offset, r.value) for r in await log.records(P0)] == [(2, b"v")]

    async def test_a_key_that_lives_again_outlives_its_tombstone(self, log):
        await log.append(item("a"), item("a", None))
        await log.clean()
        await log.append(item("a", b"again"))
        log.clock.now += 61
        await log.clean()
        assert [r.value for r in await log.records(P0)] == [b"again"]

    async def test_partitions_are_compacted_apart(self, log):
        await log.log.ensure_topics([TopicSpec("two"), TopicSpec(TOPIC)])
        await log.append(item("a"), Append("two", b"a", b"other"), item("a", b"new"))
        await log.clean()
        assert [r.value for r in await log.records(("two", 0))] == [b"other"]
        assert [r.value for r in await log.records(P0)] == [b"new"]

    async def test_a_topic_that_changes_its_mind(self, log):
        await log.append(item("a"), item("b"))
        await log.clean()
        await log.log.ensure_topics([TopicSpec(TOPIC, cleanup="delete", retention_ms=1_000)])
        log.clock.now += 5
        await log.append(item("a", b"2"))
        await log.clean()
        assert [r.value for r in await log.records(P0)] == [b"2"]
        await log.log.ensure_topics([TopicSpec(TOPIC)])
        await log.append(item("a", b"3"), item("b", b"4"))
        await log.clean()
        await log.reopen()
        assert [r.value for r in await log.records(P0)] == [b"3", b"4"]

    async def test_a_topic_no_longer_compacted_keeps_its_tombstones(self, log):
        await log.append(item("a", None))
        await log.clean()
        await log.log.ensure_topics([TopicSpec(TOPIC, cleanup="delete", retention_ms=3_600_000)])
        log.clock.now += 61
        await log.clean()
        assert len(await log.records(P0)) == 1

    async def test_many_large_records_replaced_at_once(self, log):
        for n in range(100):
            await log.append(item(str(n), b"x" * 40_000))
        await log.clean()
        await log.append(*(item(str(n), b"new") for n in range(100)))
        await log.clean()
        assert [(int(r.key), r.value) for r in await log.records(P0)] == [(n, b"new") for n in range(100)]

    async def test_cleaning_ends_under_steady_load(self, log):
        await log.append(*(item(str(n), b"x" * 5_000) for n in range(100)))
        cleaning = asyncio.ensure_future(log.clean())

        async def load() -> None:
            while not cleaning.done():
                await log.append(item("same"))
                await asyncio.sleep(0)

        await asyncio.gather(*(load() for _ in range(8)))

    async def test_cleaning_while_others_append_loses_nothing(self, log):
        async def writing() -> None:
            for n in range(100):
                await log.append(item(f"only-{n}", b"x" * 2_000), item("same", str(n).encode()))

        async def cleaning() -> None:
            for _ in range(20):
                await log.clean()

        await asyncio.gather(writing(), cleaning())
        await log.clean()
        records = await log.records(P0)
        assert [r.value for r in records if r.key == b"same"] == [b"99"]
        assert len(records) == 101


class TestTail:
    async def test_it_gives_what_is_there_and_then_what_comes(self, log):
        await log.append(item("a"), item("b"))
        tail = await log.log.tail({P0: 1})
        [chunk] = await tail.next()
        assert [r.key for r in chunk.records] == [b"b"]
        waiting = asyncio.ensure_future(tail.next())
        await log.append(item("c"))
        [chunk] = await waiting
        assert ([r.key for r in chunk.records], chunk.next_offset, chunk.high_watermark) == ([b"c"], 3, 3)

    async def test_many_tails_each_get_everything(self, log):
        tails = [await log.log.tail({P0: 0}) for _ in range(3)]
        waiting = [asyncio.ensure_future(tail.next()) for tail in tails]
        await log.append(item("a"), item("b"))
        for [chunk] in await asyncio.gather(*waiting):
            assert [r.key for r in chunk.records] == [b"a", b"b"]

    async def test_a_partition_nobody_wants_wakes_nobody(self, log):
        await log.log.ensure_topics([TopicSpec("other")])
        tail = await log.log.tail({("other", 0): 0})
        waiting = asyncio.ensure_future(tail.next())
        await log.append(item("a"))
        await log.append(Append("other", b"k", b"v"))
        assert [chunk.partition for chunk in await waiting] == [("other", 0)]

    async def test_retarget_wakes_a_waiting_next_and_keeps_positions(self, log):
        await log.log.ensure_topics([TopicSpec("other")])
        await log.append(item("a"), Append("other", b"k", b"v"))
        tail = await log.log.tail({P0: 0})
        await tail.next()
        waiting = asyncio.ensure_future(tail.next())
        await tail.retarget({P0: 0, ("other", 0): 0})
        assert [chunk.partition for chunk in await waiting] == [("other", 0)]
        await tail.retarget({("other", 0): 0})
        await log.append(item("b"), Append("other", b"k2", b"v"))
        assert [chunk.partition for chunk in await tail.next()] == [("other", 0)]

    async def test_a_long_backlog_comes_in_bounded_pieces(self, log):
        await log.log.ensure_topics([TopicSpec("other")])
        await log.append(*(item(str(n), b"x" * 100_000) for n in range(30)), Append("other", b"k", b"v"))
        tail = await log.log.tail({P0: 0, ("other", 0): 0})
        keys: list[bytes] = []
        first = await tail.next()
        assert {chunk.partition for chunk in first} == {P0, ("other", 0)}
        chunks = [chunk for chunk in first if chunk.partition == P0]
        while chunks:
            for chunk in chunks:
                assert sum(len(r.value) for r in chunk.records) <= 1 << 20
                keys += [r.key for r in chunk.records]
            chunks = list(await tail.next()) if len(keys) < 30 else []
        assert [int(key) for key in keys] == list(range(30))

    async def test_a_cancelled_next_loses_nothing(self, log):
        await log.append(*(item(str(n), b"x" * 300_000) for n in range(8)))
        tail = await log.log.tail({P0: 0})
        for _ in range(5):
            cancelled = asyncio.ensure_future(tail.next())
            await asyncio.sleep(0)
            if not cancelled.cancel():
                break
            await asyncio.wait([cancelled])
        keys = [r.key for c in cancelled.result() for r in c.records] if not cancelled.cancelled() else []
        while len(keys) < 8:
            keys += [r.key for c in await tail.next() for r in c.records]
        assert [int(key) for key in keys] == list(range(8))

    @pytest.mark.not_on("kafka", "it knows a little later: tests/kafka/test_tail.py")
    async def test_caught_up_at(self, log):
        tail = await log.log.tail({P0: 0})
        log.clock.now += 5
        assert tail.caught_up_at() == log.clock.now
        await log.append(item("a"))
        behind_since = log.clock.now
        log.clock.now += 5
        assert tail.caught_up_at() == behind_since
        await tail.next()
        assert tail.caught_up_at() == log.clock.now

    @pytest.mark.not_on("kafka", "it knows a little later: tests/kafka/test_tail.py")
    async def test_a_tail_with_a_backlog_is_not_caught_up(self, log):
        await log.append(item("a"))
        tail = await log.log.tail({P0: 0})
        assert tail.caught_up_at() < log.clock.now - 1e6
        await tail.next()
        assert tail.caught_up_at() == log.clock.now

    @pytest.mark.not_on("kafka", "it knows a little later: tests/kafka/test_tail.py")
    async def test_caught_up_at_moves_on_under_steady_load(self, log):
        await log.append(*(item(str(n), b"x" * 600_000) for n in range(4)))
        tail = await log.log.tail({P0: 0})
        for _ in range(12):
            log.clock.now += 1
            await log.append(item("more", b"x" * 600_000))
            await tail.next()
        assert tail.caught_up_at() >= log.clock.now - 10

    async def test_closing_ends_a_waiting_next(self, log):
        tail = await log.log.tail({P0: 0})
        other = await log.log.tail({P0: 0})
        waiting = [asyncio.ensure_future(tail.next()), asyncio.ensure_future(other.next())]
        await asyncio.sleep(0)
        await tail.close()
        await log.log.close()
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(result, LogUnavailable)
