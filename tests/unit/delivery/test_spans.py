"""Ranges of offsets against a plain set."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.delivery.spans import Spans

EDGE = st.integers(0, 40)
STEPS = st.lists(st.tuples(st.booleans(), EDGE, EDGE), max_size=30)


def played(steps: list[tuple[bool, int, int]]) -> tuple[Spans, set[int]]:
    spans, plain = Spans(), set()
    for adds, start, end in steps:
        offsets = set(range(start, end))
        if adds:
            spans.add(start, end)
            plain |= offsets
        else:
            assert spans.remove(start, end) == len(plain & offsets)
            plain -= offsets
    return spans, plain


@given(STEPS)
def test_same_offsets_as_a_set(steps: list[tuple[bool, int, int]]) -> None:
    spans, plain = played(steps)
    assert {offset for start, end in spans for offset in range(start, end)} == plain
    assert len(spans) == len(plain)
    assert bool(spans) == bool(plain)
    assert all((offset in spans) == (offset in plain) for offset in range(-1, 42))
    assert spans.end == max(plain, default=-1) + 1


@given(STEPS)
def test_ranges_are_sorted_and_apart(steps: list[tuple[bool, int, int]]) -> None:
    spans, _ = played(steps)
    edges = [edge for piece in spans for edge in piece]
    assert edges == sorted(set(edges)), "touching ranges melt together, empty ones are not kept"


@given(STEPS, EDGE)
def test_first_from(steps: list[tuple[bool, int, int]], low: int) -> None:
    spans, plain = played(steps)
    assert spans.first_from(low) == min((offset for offset in plain if offset >= low), default=None)


@given(STEPS)
def test_made_again_from_its_ranges(steps: list[tuple[bool, int, int]]) -> None:
    spans, _ = played(steps)
    assert list(Spans(reversed(list(spans)))) == list(spans)
