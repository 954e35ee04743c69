"""Paths and events made to crash or stall the server."""

import re
import time
from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dispatcher.delivery.gjson import BUDGET, MISSING, Meter, PathError, TooMuchWork, parse_path
from dispatcher.delivery.gjson.glob import Glob

PIECES = [*'.|#()[]{}@*?\\"!~%=<>,: a0', "==", "!=", "!%", "~true", "@this", "@flatten", '"b"', "#(", ")#", "name"]
paths = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab*01", max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab0", max_size=2), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=2000, deadline=None)
@given(path=paths, document=documents)
@example(path="\ud800", document={})
@example(path='a.#(b=="\ud800")', document={"a": [{"b": "x"}]})
@example(path="9" * 1000, document=[1])
@example(path="#(a==" + "9" * 900 + ")", document=[{"a": 1.5}])
def test_any_path_is_either_refused_or_evaluated(path, document):
    try:
        parsed = parse_path(path)
    except PathError:
        return
    parsed.find(document)


STARS = "".join("*a" for _ in range(200)) + "b"


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (f"{STARS}", {"a" * 200_000: 1}),
        (f'#(%"{STARS}")', ["a" * 2_000_000]),
        ('#(%"*a*a*a*a*b")', ["a" * 3_000_000]),
        ('#(%"*' + "?" * 900 + 'b*")', ["a" * 3_000_000]),
        ("|".join(["[@this,@this]"] * 40) + "|" + "#." * 15 + "a", [1, 2, 3]),
        ("|".join(["[@this,@this]|@flatten"] * 40), [1, 2, 3]),
        ("|".join(["@reverse"] * 100), list(range(100_000))),
        ("#.#.#.#.a", [[[[{}] * 50] * 50] * 50] * 50),
        ("|".join(["@this"] * 170), {}),
        ('@flatten:{"deep":true}', msgspec.json.decode("[" * 400 + "]" * 400)),
        ("packed.@fromstr", {"packed": "[" * 1_000_000}),
    ],
)
def test_no_path_stalls_the_server(path, document):
    started = time.process_time()
    with suppress(TooMuchWork):
        parse_path(path).find(document)
    assert time.process_time() - started < 2.0


def test_a_wildcard_that_is_compared_at_every_position_is_counted_by_its_length():
    path = parse_path('#(%"*' + "?" * 900 + 'b*")')
    assert path.find(["a" * 100_000]) is MISSING
    with pytest.raises(TooMuchWork):
        path.find(["a" * 3_000_000])


def test_the_budget_is_shared_by_all_that_use_one_meter():
    meter = Meter(50)
    path = parse_path("#.a")
    path.find([{"a": 1}] * 20, meter)
    with pytest.raises(TooMuchWork):
        path.find([{"a": 1}] * 20, meter)


def test_an_event_of_many_features_is_within_the_budget():
    features = [{"name": f"n{number}", "value": "x"} for number in range(30_000)]
    assert BUDGET > 90_000
    assert parse_path('features.#(name=="absent").value').find({"features": features}) is MISSING


@settings(max_examples=1500, deadline=None)
@given(
    pattern=st.lists(st.sampled_from(["a", "b", "*", "?", "\\*", "\\?", "\\\\", "."]), max_size=8).map("".join),
    text=st.text("ab*?\\.\n", max_size=10),
)
def test_wildcards_agree_with_regular_expressions(pattern, text):
    pieces = re.findall(r"\\?.", pattern, re.DOTALL)
    wild = {"*": ".*", "?": "."}
    expression = "".join(wild.get(piece, re.escape(piece[-1])) for piece in pieces)
    assert Glob(pattern).matches(text) is (re.fullmatch(expression, text, re.DOTALL) is not None)
