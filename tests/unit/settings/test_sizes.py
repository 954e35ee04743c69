import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.settings.sizes import parse_size, show_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("3Mi", 3 * 1024**2),
        ("3MiB", 3 * 1024**2),
        ("1K", 1000),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("1Ki", 1024),
        ("2GB", 2 * 1000**3),
        ("1.5K", 1500),
        ("59.6GiB", 63995012710),
        ("1e3", 1000),
        ("7EiB", 7 * 1024**6),
    ],
)
def test_sizes_with_si_and_iec_suffixes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("3KB", "kB (1000) or KiB (1024)"),
        ("3k", "write K"),
        ("3 Mi", "write Mi, without a space"),
        ("3mib", "write MiB"),
        ("3X", "use one of"),
        ("", "such as 3Mi"),
        ("many", "such as 3Mi"),
        ("1.2.3", "does not start with a number"),
        ("-1", "between 0 and 8EiB"),
        ("9EiB", "between 0 and 8EiB"),
        ("1e99", "between 0 and 8EiB"),
        ("1e999999999", "does not start with a number"),
        ("nan1", "does not start with a number"),
    ],
)
def test_what_is_no_size_says_what_to_write(text: str, cure: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cure)):
        parse_size(text)


def test_a_truth_value_is_no_size() -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(True)


@given(st.integers(0, 2**63 - 1))
def test_a_shown_size_reads_back_as_itself(size: int) -> None:
    assert parse_size(show_size(size)) == size


@given(st.text())
def test_any_text_gives_a_size_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= parse_size(text) < 2**63
