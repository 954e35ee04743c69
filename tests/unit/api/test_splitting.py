import json
from typing import Any

import pytest
from dispatcher_sdk.models import InvalidMessage
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.api.splitting import first_byte, split_large, split_small
from dispatcher.errors import TooLarge

LIMIT = 1_000_000

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=30,
)
json_objects = st.dictionaries(st.text(max_size=5), json_values, max_size=5)


@given(st.lists(json_objects, max_size=6), st.sampled_from([None, 1]), st.sampled_from(["", " ", "\r\n\t "]))
def test_elements_are_the_same_either_way(values: list[Any], indent: int | None, space: str) -> None:
    body = (space + json.dumps(values, indent=indent, ensure_ascii=False) + space).encode("utf-8", "surrogatepass")
    assert [json.loads(bytes(e).decode("utf-8", "surrogatepass")) for e in split_large(body, LIMIT)] == values


@given(st.lists(json_objects, min_size=1, max_size=4), st.data())
def test_a_damaged_array_never_passes_for_a_shorter_one(values: list[Any], data: st.DataObject) -> None:
    body = json.dumps(values).encode()
    cut = data.draw(st.integers(1, len(body) - 1))
    with pytest.raises(InvalidMessage):
        list(split_large(body[:cut], LIMIT))


@pytest.mark.parametrize(
    "body",
    [
        b"[",
        b"[{}",
        b"[{},",
        b"[{},]",
        b"[,{}]",
        b"[{}{}]",
        b"[{}:{}]",
        b"[{}x{}]",
        b"[{}]x",
        b"[{}],[{}]",
        b"[1]",
        b'["a"]',
        b"[{]",
        b'[{"a]',
        b"[{}}",
        b"[" * 100000,
        b"[" + b'{"a":' * 100000,
    ],
)
def test_malformed_arrays(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        list(split_large(body, LIMIT))


def test_brackets_inside_strings_do_not_count() -> None:
    body = rb'[{"a":"]}\"{["},{"b":"\\"}]'
    assert list(split_large(body, LIMIT)) == [rb'{"a":"]}\"{["}', rb'{"b":"\\"}']


def test_an_element_too_long_is_refused_without_looking_for_its_end() -> None:
    body = b'[{"a":1},{"a":"' + b"x" * 5000
    elements = split_large(body, 1000)
    assert next(elements) == b'{"a":1}'
    with pytest.raises(TooLarge):
        next(elements)


@pytest.mark.parametrize("body", [b"[1,", b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"", b"[1] 2"])
def test_small_split_says_no_in_one_way(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        split_small(body)


def test_first_byte() -> None:
    assert first_byte(b" \r\n\t[") == 4
    assert first_byte(b"   ") == 3
