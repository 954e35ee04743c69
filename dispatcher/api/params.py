"""Query parameters by the contract's rules: which texts are a boolean, which are a number, what is refused.

Every refusal is a 422 `bad parameters` whose detail names the parameter. Values of hostile size are
refused here, once, so that no room behind has to think of them.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl

from dispatcher.errors import Unprocessable

LONGEST_QUERY: Final = 16 * 1024
MOST_FIELDS: Final = 512
LONGEST_TEXT: Final = 1024

TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))
FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))
LOOSE_TRUE: Final = frozenset(("true", "1"))
INT64: Final = range(-(2**63), 2**63)
_QUOTED: Final = 64


def bad_parameter(key: str, cause: str) -> Unprocessable:
    return Unprocessable(f"bad parameter for {key}: {cause}")


def quoted(value: str) -> str:
    """A client's value as part of a message: short, and printable whatever it holds."""
    return ascii(value if len(value) <= _QUOTED else value[:_QUOTED] + "...")


class Query:
    """The parameters of one request. Unknown ones are ignored; an empty value is the default."""

    __slots__ = ("_values",)

    def __init__(self, raw: str) -> None:
        """`raw` is the text after the question mark. Raises Unprocessable when it is no query."""
        self._values: dict[str, list[str]] = {}
        for key, value in _pairs(raw):
            self._values.setdefault(key, []).append(value)

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(self._values)

    def text(self, key: str, longest: int = LONGEST_TEXT) -> str:
        return _checked(key, self._first(key), longest)

    def texts(self, key: str) -> tuple[str, ...]:
        """Every non-empty value, in order."""
        return tuple(_checked(key, value, LONGEST_TEXT) for value in self._values.get(key, ()) if value)

    def flag(self, key: str) -> bool:
        value = self._first(key)
        if value in TRUE:
            return True
        if not value or value in FALSE:
            return False
        raise bad_parameter(key, f"{quoted(value)} is not a boolean: say true or false")

    def loose_flag(self, key: str) -> bool:
        """As POST reads flags: whatever is not exactly `true` or `1` is false."""
        return self._first(key) in LOOSE_TRUE

    def number(self, key: str, default: int = 0) -> int:
        value = self._first(key)
        return whole_number(key, value) if value else default

    def _first(self, key: str) -> str:
        values = self._values.get(key)
        return values[0] if values else ""


def whole_number(key: str, value: str) -> int:
    """Optional sign and decimal digits within 64 bits. Raises Unprocessable."""
    digits = value[1:] if value[0] in "+-" else value
    if not (digits.isascii() and digits.isdigit()):
        raise bad_parameter(key, f"{quoted(value)} is not a whole number")
    if len(digits) > 100 or int(value) not in INT64:
        raise bad_parameter(key, f"{quoted(value)} is out of range")
    return int(value)


def distinct(values: Iterable[str]) -> tuple[str, ...]:
    """Without repeats, in order."""
    return tuple(dict.fromkeys(values))


def _pairs(raw: str) -> list[tuple[str, str]]:
    if len(raw) > LONGEST_QUERY:
        raise Unprocessable(f"the query is longer than {LONGEST_QUERY} characters")
    try:
        return parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise Unprocessable("the query is not UTF-8") from None
    except ValueError:
        raise Unprocessable(f"the query has more than {MOST_FIELDS} parameters") from None


def _checked(key: str, value: str, longest: int) -> str:
    if len(value) > longest:
        raise bad_parameter(key, f"longer than {longest} characters")
    if not value.isprintable():
        raise bad_parameter(key, f"{quoted(value)} has characters that cannot be printed")
    return value
