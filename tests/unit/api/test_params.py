import pytest

from dispatcher.api.params import LONGEST_QUERY, LONGEST_TEXT, MOST_FIELDS, Query
from dispatcher.errors import Unprocessable


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true_words(text: str) -> None:
    assert Query(f"r-live={text}").flag("r-live") is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False", ""])
def test_false_words_and_empty(text: str) -> None:
    assert Query(f"r-live={text}").flag("r-live") is False


@pytest.mark.parametrize("text", ["yes", "on", "tRUE", "2", "%20true", "-1", "null", "%00"])
def test_other_words_are_refused_by_name(text: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        Query(f"r-live={text}").flag("r-live")
    assert caught.value.title == "bad parameters"
    assert caught.value.detail.startswith("bad parameter for r-live: ")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5),
        ("%2B5", 5),
        ("-5", -5),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_numbers(text: str, number: int) -> None:
    assert Query(f"count={text}").number("count") == number


@pytest.mark.parametrize(
    "text",
    [
        "5.0",
        "%205",
        "5%20",
        "0x10",
        "1_000",
        "9223372036854775808",
        "-9223372036854775809",
        "--5",
        "+",
        "%2B",
        "1e3",
        "%D9%A3",
        "%C2%B2",
        "9" * 5000,
        "NaN",
    ],  # Arabic three, superscript two
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(Unprocessable, match="bad parameter for count: "):
        Query(f"count={text}").number("count")


def test_empty_number_is_the_default() -> None:
    assert Query("count=").number("count", 7) == 7
    assert Query("").number("count", 7) == 7


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("1", True), ("True", False), ("t", False), ("yes", False)])
def test_loose_flags_never_fail(text: str, flag: bool) -> None:
    assert Query(f"sync={text}").loose_flag("sync") is flag


def test_the_first_of_repeats_counts_and_lists_keep_all() -> None:
    query = Query("name=a&name=b&r-source=x&r-source=&r-source=y,z")
    assert query.text("name") == "a"
    assert query.texts("r-source") == ("x", "y,z")


@pytest.mark.parametrize("value", ["a%00b", "a%0d%0aX-Evil:1", "a%0ab", "a%7f", "%1b[31m", "a\udcff"])
def test_control_characters_are_refused(value: str) -> None:
    with pytest.raises(Unprocessable, match="bad parameter for name: ") as caught:
        Query(f"name={value}").text("name")
    assert caught.value.detail.isprintable()


def test_size_limits() -> None:
    with pytest.raises(Unprocessable):
        Query("a=" + "x" * LONGEST_QUERY)
    with pytest.raises(Unprocessable):
        Query("&".join(["a="] * (MOST_FIELDS + 1)))
    with pytest.raises(Unprocessable, match="bad parameter for name: longer"):
        Query("name=" + "x" * (LONGEST_TEXT + 1)).text("name")


def test_bytes_that_are_not_utf8() -> None:
    with pytest.raises(Unprocessable, match="UTF-8"):
        Query("name=%ff")


def test_a_refused_value_is_quoted_short() -> None:
    with pytest.raises(Unprocessable) as caught:
        Query("count=" + "x" * 5000).number("count")
    assert len(caught.value.detail) < 200
