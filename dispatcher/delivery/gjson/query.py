"""The condition of `#(left op right)`: does an element match?"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from dispatcher.delivery.gjson.glob import Glob
from dispatcher.delivery.gjson.steps import MISSING, Meter, Steps, run

Matches = Callable[[Any, Meter], bool]

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": eq,
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
LIKE: Final = ("%", "!%")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Query:
    """`left` is a path inside the element (none = the element itself), `test` judges what it finds."""

    left: Steps
    test: Matches

    def __call__(self, element: Any, meter: Meter) -> bool:
        return self.test(run(self.left, element, meter), meter)


def exists(value: Any, meter: Meter) -> bool:
    return value is not MISSING


def compare(operator: str, right: str) -> Matches:
    """Texts, numbers and booleans compare with their own kind; null, objects and arrays match nothing."""
    comparison = COMPARISONS[operator]
    number = _number(right)
    truth = {"true": True, "false": False}.get(right)

    def test(value: Any, meter: Meter) -> bool:
        if isinstance(value, bool):
            return truth is not None and comparison(value, truth)
        if isinstance(value, int | float):
            return number is not None and comparison(value, number)
        return isinstance(value, str) and comparison(value, right)

    return test


def like(operator: str, pattern: str) -> Matches:
    glob, wanted = Glob(pattern), operator == "%"

    def test(value: Any, meter: Meter) -> bool:
        if not isinstance(value, str):
            return False
        meter.spend(glob.cost(value))
        return glob.matches(value) is wanted

    return test


def _truth(value: Any) -> bool | None:
    """True and false in gjson's loose sense; None for what is neither."""
    if isinstance(value, bool | int | float):
        return bool(value)
    if isinstance(value, str):
        return {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}.get(value.lower())
    return False if value is None or value is MISSING else None


LOOSE: Final[Mapping[str, Callable[[Any], bool]]] = {
    "~true": lambda value: _truth(value) is True,
    "~false": lambda value: _truth(value) is False,
    "~null": lambda value: value is None or value is MISSING,
    "~*": lambda value: value is not MISSING,
}


def loose(operator: str, kind: str) -> Matches:
    """`== ~true` and its like; only equality makes sense here. Raises KeyError for another kind or operator."""
    holds = LOOSE[kind]
    wanted = {"=": True, "==": True, "!=": False}[operator]
    return lambda value, meter: holds(value) is wanted


def _number(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    return int(text) if text.lstrip("-").isdigit() else float(text)
