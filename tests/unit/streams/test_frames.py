import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.streams import frames

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), json_values))
def test_what_is_packed_is_unpacked(message):
    assert frames.unpack(io.BytesIO(frames.pack(message)).read) == message


@given(json_values)
def test_any_answer_is_judged_and_only_descriptive_fields_pass(answer):
    if frames.fault(answer) == "":
        assert isinstance(answer, dict)
        assert answer.keys() <= frames.TEXT_FIELDS | frames.NUMBER_FIELDS


@pytest.mark.parametrize(
    "answer",
    [
        {"mime": None},
        {"mime": 5},
        {"mime": "\ud800"},
        {"magic": "x" * (frames.MAX_TEXT + 1)},
        {"identify_version": True},
        {"identify_version": -1},
        {"identify_version": 2**63},
        {"size": 5},
        {"sha256": "0" * 64},
        {"label": "content"},
        {5: "mime"},
        None,
        "mime",
    ],
)
def test_bad_answers_are_named(answer):
    assert frames.fault(answer)


@given(json_values)
def test_info_is_a_dict_of_what_json_can_hold(info):
    fault = frames.info_fault(info)
    assert (not fault or "deeper" in fault) if isinstance(info, dict) else "not a dict" in fault


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"x": object()}, "JSON"),
        ({"x": float("nan")}, "JSON"),
        ({"x": "\ud800"}, "JSON"),
        ({(1, 2): 3}, "JSON"),
        ({"x": "y" * frames.MAX_INFO}, "bytes"),
        ({"x": [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}, "deeper than 16"),
    ],
)
def test_what_is_wrong_with_info_is_named(info, words):
    assert words in frames.info_fault(info)


def test_a_message_has_a_bound():
    with pytest.raises(ValueError, match="bytes"):
        frames.pack({"path": "x" * frames.MAX_FRAME})
