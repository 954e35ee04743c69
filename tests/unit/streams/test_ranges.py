import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.api.ranges import Span, content_range, parse_range
from dispatcher.errors import BadRange, BadRequest

sizes = st.integers(0, 10_000)
ends = st.integers(0, 12_000)


@given(ends, ends, sizes)
def test_a_range_is_what_a_slice_gives(first, last, size):
    body = bytes(index % 251 for index in range(size))
    if last < first:
        with pytest.raises(BadRequest):
            parse_range(f"bytes={first}-{last}", size)
    elif first >= size:
        with pytest.raises(BadRange):
            parse_range(f"bytes={first}-{last}", size)
    else:
        span = parse_range(f"bytes={first}-{last}", size)
        assert body[span.start : span.start + span.length] == body[first : last + 1]


@given(st.integers(1, 12_000), st.integers(1, 10_000))
def test_a_suffix_is_the_end(count, size):
    span = parse_range(f"bytes=-{count}", size)
    assert span.start + span.length == size
    assert span.length == min(count, size)


@given(st.text() | st.from_regex(r"bytes=[0-9 ,-]*"), sizes)
def test_anything_else_is_refused_and_nothing_leaves_the_object(header, size):
    try:
        span = parse_range(header, size)
    except (BadRequest, BadRange):
        return
    assert 0 <= span.start < span.start + span.length <= size


def test_an_empty_object_has_no_range():
    for header in ("bytes=0-", "bytes=-5", "bytes=-0"):
        with pytest.raises(BadRange):
            parse_range(header, 0)


def test_the_words_of_the_reply():
    assert content_range(Span(5, 10), 100) == "bytes 5-14/100"
