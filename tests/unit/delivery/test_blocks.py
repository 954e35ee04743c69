"""The cache of records: finds what was added, never what was not, and never exceeds its bytes."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.delivery.blocks import MERGE_BELOW, BlockCache, weight
from dispatcher.eventlog.base import Chunk, Record

PARTITIONS = (("a", 0), ("a", 1), ("b", 0))


def record(offset: int, size: int = 10) -> Record:
    return Record(offset, 0, b"k", b"%d." % offset + b"x" * size, None)


def chunk(partition: tuple[str, int], records: list[Record], following: int) -> Chunk:
    return Chunk(partition, records, following, 0, following)


ADDS = st.lists(
    st.tuples(
        st.sampled_from(PARTITIONS),
        st.integers(0, 60),
        st.integers(1, 12),
        st.sets(st.integers(0, 11)),
        st.integers(0, 3_000),
    ),
    max_size=25,
)


@given(ADDS, st.sampled_from((0, 1_000, 9_000, 10**6)))
def test_finds_only_the_truth_within_its_bytes(adds, limit: int) -> None:
    """Whatever overlaps: each offset of a partition has one record or none, for ever."""
    truth = {p: {o: record(o, 7 * o) for o in range(80) if o % 7} for p in PARTITIONS}
    cache = BlockCache(limit)
    covered = {p: set() for p in PARTITIONS}
    for partition, start, length, _, _ in adds:
        records = [truth[partition][o] for o in range(start, start + length) if o in truth[partition]]
        cache.add(partition, start, chunk(partition, records, start + length))
        covered[partition] |= set(range(start, start + length))
        assert cache.bytes <= limit
        for other in PARTITIONS:
            for offset in range(85):
                block = cache.find(other, offset)
                if block is None:
                    continue
                assert offset in covered[other], "a block that nobody added"
                assert block.start <= offset < block.next_offset
                assert cache.record(other, offset) == truth[other].get(offset)
                rest = block.from_offset(offset)
                assert rest == [r for o, r in sorted(truth[other].items()) if offset <= o < block.next_offset]


@given(ADDS)
def test_bytes_are_those_of_what_is_there(adds) -> None:
    cache = BlockCache(20_000)
    for partition, start, length, _, size in adds:
        records = [record(o, size) for o in range(start, start + length)]
        cache.add(partition, start, chunk(partition, records, start + length))
    blocks = {id(b): b for p in PARTITIONS for o in range(90) if (b := cache.find(p, o)) is not None}
    assert sum(weight(b.records) for b in blocks.values()) <= cache.bytes <= 20_000


def test_what_was_just_added_is_found() -> None:
    cache = BlockCache(100_000)
    for start in range(0, 1_000, 10):
        records = [record(o, 500) for o in range(start, start + 10)]
        cache.add(("a", 0), start, chunk(("a", 0), records, start + 10))
        assert [cache.record(("a", 0), o) for o in range(start, start + 10)] == records
    assert cache.record(("a", 0), 0) is None, "the oldest had to go"


def test_least_recently_used_goes_first() -> None:
    cache = BlockCache(3 * (160 + 1_000 + 2))
    for name in "abc":
        cache.add((name, 0), 0, chunk((name, 0), [record(0, 1_000)], 1))
    assert cache.record(("a", 0), 0)
    cache.add(("d", 0), 0, chunk(("d", 0), [record(0, 1_000)], 1))
    assert cache.record(("a", 0), 0), "just used"
    assert cache.record(("b", 0), 0) is None


def test_a_run_larger_than_the_cache_pushes_nothing_out() -> None:
    cache = BlockCache(1_000)
    cache.add(("a", 0), 0, chunk(("a", 0), [record(0)], 1))
    cache.add(("b", 0), 0, chunk(("b", 0), [record(0, 5_000)], 1))
    assert cache.record(("a", 0), 0)
    assert cache.record(("b", 0), 0) is None


def test_small_news_melt_into_one_block() -> None:
    """The tail brings one event at a time: a block for each would cost more than the events."""
    cache = BlockCache(10 * MERGE_BELOW)
    for offset in range(100):
        cache.add(("a", 0), offset, chunk(("a", 0), [record(offset)], offset + 1))
    block = cache.find(("a", 0), 50)
    assert block is not None
    assert (block.start, block.next_offset) == (0, 100)


def test_a_gap_belongs_to_its_block() -> None:
    """Compaction took 1 and 2: that is known, and nobody reads again to find out."""
    cache = BlockCache(10_000)
    cache.add(("a", 0), 0, chunk(("a", 0), [record(0), record(3)], 6))
    assert cache.record(("a", 0), 2) is None
    assert cache.find(("a", 0), 5) is not None
    assert cache.find(("a", 0), 6) is None
