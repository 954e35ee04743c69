"""What the groups of the lag mirror are called."""

import re

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.delivery.marks import Marks
from dispatcher.eventlog.kafka.lag import LONGEST_NAME, group_name

KEY = "myplugin-0.1.0-binary-allsrc-alltype-ELH"


def test_a_usual_name_is_as_the_original_had_it() -> None:
    assert group_name("test01", Marks("0123456789abcdef", KEY, {})) == f"test01-azul-{KEY}"


def test_names_that_become_the_same_are_told_apart() -> None:
    spaced, slashed = Marks("0123456789abcdef", "a b", {}), Marks("fedcba9876543210", "a/b", {})
    assert group_name("p", spaced) == "p-azul-a_b-01234567"
    assert group_name("p", slashed) == "p-azul-a_b-fedcba98"
    long = [Marks(sid, "x" * 300 + sid, {}) for sid in ("0123456789abcdef", "fedcba9876543210")]
    assert len({group_name("p", marks) for marks in long}) == 2


@given(st.text(max_size=400), st.text("0123456789abcdef", min_size=16, max_size=16))
def test_every_name_is_one_that_tools_take(key: str, sid: str) -> None:
    name = group_name("p", Marks(sid, key, {}))
    assert re.fullmatch(r"p-azul-[A-Za-z0-9._-]*", name)
    assert len(name) <= LONGEST_NAME
