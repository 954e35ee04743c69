"""What a fetch brings too much is given to whoever reads on, once, for a moment, and never without bound."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.eventlog.base import Record
from dispatcher.eventlog.kafka.ahead import AHEAD_BYTES, PLACES, SECONDS, TOTAL_BYTES, Ahead, Run

PLACE = ("topic", 0)


def records(offsets: range, size: int = 1) -> list[Record]:
    return [Record(offset, 0, None, b"v" * size, None) for offset in offsets]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.integers(1, 9), min_size=1))
def test_pieces_of_one_fetch_are_all_of_it_in_order(counts: list[int]) -> None:
    ahead = Ahead()
    everything = records(range(100, 100 + sum(counts)))
    run: Run | None = Run(everything, 1000, 2000)
    seen: list[Record] = []
    for count in counts:
        assert run is not None
        piece = ahead.split(PLACE, run, count)
        assert piece.high_watermark == 2000
        seen += piece.records
        last, run = piece.next_offset, ahead.take(PLACE, piece.next_offset)
    assert seen == everything
    assert last == 1000, "past a gap at the end"
    assert run is None
    assert ahead.bytes == 0


def test_only_where_a_read_has_ended_it_is_worth_to_unpack_more() -> None:
    ahead = Ahead()
    assert ahead.room(PLACE, 10) == 0
    ahead.split(PLACE, Run(records(range(5, 10)), 10, 20), 5)
    assert ahead.room(PLACE, 10) == AHEAD_BYTES
    assert ahead.room(("topic", 1), 10) == 0
    for other in range(PLACES):
        ahead.split(("other", other), Run([], 7, 7), 0)
    assert ahead.room(PLACE, 10) == 0, "places are not remembered for ever"


def test_it_is_given_once() -> None:
    ahead = Ahead()
    ahead.split(PLACE, Run(records(range(4)), 4, 4), 2)
    assert ahead.take(PLACE, 1) is None
    assert ahead.take(PLACE, 2) == Run(records(range(2, 4)), 4, 4)
    assert ahead.take(PLACE, 2) is None


def test_what_nobody_asks_for_is_forgotten() -> None:
    clock = Clock()
    ahead = Ahead(clock)
    ahead.split(PLACE, Run(records(range(4)), 4, 4), 2)
    clock.now = SECONDS
    assert ahead.take(PLACE, 2) is None
    assert ahead.bytes == 0


def test_many_scans_do_not_fill_memory() -> None:
    ahead = Ahead()
    for number in range(50):
        ahead.split(("topic", number), Run(records(range(3), size=AHEAD_BYTES // 2), 3, 3), 1)
        assert ahead.bytes <= TOTAL_BYTES
    assert ahead.take(("topic", 0), 1) is None
    assert ahead.take(("topic", 49), 1) is not None
