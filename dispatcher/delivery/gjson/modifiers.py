"""Modifiers that change a value on the way: `@reverse`, `@keys`, ..."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from dispatcher.delivery.gjson.steps import MISSING, Meter

Change = Callable[[Any, Meter], Any]


def _same(value: Any, meter: Meter) -> Any:
    """Layout and validity make no difference to a decoded value."""
    return value


def _reverse(value: Any, meter: Meter) -> Any:
    if isinstance(value, list):
        meter.spend(len(value))
        return value[::-1]
    if isinstance(value, dict):
        meter.spend(len(value))
        return dict(reversed(value.items()))
    return value


def _keys(value: Any, meter: Meter) -> Any:
    if not isinstance(value, dict):
        return []
    meter.spend(len(value))
    return list(value)


def _values(value: Any, meter: Meter) -> Any:
    if not isinstance(value, dict):
        return value if isinstance(value, list) else [value]
    meter.spend(len(value))
    return list(value.values())


def _flatten(value: Any, meter: Meter) -> Any:
    if not isinstance(value, list):
        return value
    flat: list[Any] = []
    for item in value:
        inner = item if isinstance(item, list) else [item]
        meter.spend(len(inner) + 1)
        flat.extend(inner)
    return flat


def _flatten_deep(value: Any, meter: Meter) -> Any:
    """Without recursion: depth is the sender's choice."""
    if not isinstance(value, list):
        return value
    flat: list[Any] = []
    waiting = [iter(value)]
    while waiting:
        item = next(waiting[-1], MISSING)
        meter.spend(1)
        if item is MISSING:
            waiting.pop()
        elif isinstance(item, list):
            waiting.append(iter(item))
        else:
            flat.append(item)
    return flat


def _join(value: Any, meter: Meter) -> Any:
    """One object of all members of an array of objects; of equal names the last counts."""
    if not isinstance(value, list):
        return value
    joined: dict[str, Any] = {}
    for item in value:
        if isinstance(item, dict):
            meter.spend(len(item) + 1)
            joined.update(item)
    return joined


def _fromstr(value: Any, meter: Meter) -> Any:
    if not isinstance(value, str):
        return MISSING
    meter.spend(len(value) // 16 + 1)
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return MISSING


_BY_NAME: Final[Mapping[str, Change]] = {
    "this": _same,
    "valid": _same,
    "pretty": _same,
    "ugly": _same,
    "reverse": _reverse,
    "keys": _keys,
    "values": _values,
    "flatten": _flatten,
    "join": _join,
    "fromstr": _fromstr,
}
NAMES: Final = tuple(_BY_NAME)


def modifier(name: str, argument: str) -> Change:
    """Raises KeyError for an unknown name and ValueError for an argument that is no JSON object."""
    if argument:
        try:
            options = msgspec.json.decode(argument, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError):
            raise ValueError(f"the argument of @{name} is not a JSON object") from None
        if name == "flatten" and options.get("deep") is True:
            return _flatten_deep
    return _BY_NAME[name]
