"""Features: what a plugin declares, and how a value of each type is written on the wire."""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, Final

from dispatcher_sdk.errors import DefinitionError, OutputError
from dispatcher_sdk.models import PluginFeature


class URI(str):
    """Type of a feature whose text is a URI. Plain `str` values are accepted for it."""

    __slots__ = ()


Value = str | int | float | bytes | datetime | PurePath

_NAMES: Final[Mapping[type, str]] = {
    str: "string",
    int: "integer",
    float: "float",
    bytes: "binary",
    datetime: "datetime",
    Path: "filepath",
    PurePath: "filepath",
    URI: "uri",
}
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,127}")
_DIGITS: Final = 10_000
"""Bits of the largest integer; longer ones cost quadratic time to write in decimal."""


class Feature:
    """A feature that a plugin may add: its name, the Python type of its values, and a sentence on it.

    `type` is one of str, int, float, bytes, datetime, Path, PurePath, URI. Raises DefinitionError.
    """

    __slots__ = ("description", "name", "tags", "type")

    def __init__(self, name: str, type: type, description: str = "", *, tags: tuple[str, ...] = ()) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DefinitionError(
                f"feature name {name!r} is not usable: a letter, then letters, digits and _ . : - (at most 128 in all)"
            )
        if type not in _NAMES:
            shown = getattr(type, "__name__", repr(type))
            raise DefinitionError(
                f"feature {name!r} has the unknown type {shown}: use str, int, float, bytes, datetime, Path or URI"
            )
        self.name = name
        self.type = type
        self.description = description
        self.tags = tags

    @property
    def wire_type(self) -> str:
        """Name of the type on the wire, as `integer` or `filepath`."""
        return _NAMES[self.type]

    def declaration(self) -> PluginFeature:
        """What the registration of the plugin says of it."""
        return PluginFeature(name=self.name, type=self.wire_type, desc=self.description, tags=list(self.tags))

    def encode(self, value: Any) -> str:
        """The value as wire text. Raises OutputError when it is not of the declared type."""
        try:
            return _ENCODERS[self.wire_type](value)
        except _Mistyped as cure:
            given = type(value).__name__
            raise OutputError(
                f"feature {self.name!r} is declared as {self.type.__name__} but was given {given}: {cure}"
            ) from None

    def __repr__(self) -> str:
        return f"Feature({self.name!r}, {self.type.__name__}, {self.description!r})"


class _Mistyped(Exception):
    """Carries the cure."""


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _Mistyped(
            "decode bytes with errors='replace', or declare the feature as bytes"
            if _is_bytes(value)
            else "pass str(value), or declare another type"
        )
    return str(value)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _integer(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Mistyped("pass int(value), or declare another type")
    if value.bit_length() > _DIGITS:
        raise OutputError(f"an integer of {value.bit_length()} bits is too large for a feature: pass hex(value) as str")
    return str(int(value))


def _float(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise _Mistyped("pass float(value), or declare another type")
    try:
        return repr(float(value))
    except OverflowError:
        raise OutputError("an integer is too large for a feature of type float: declare it as int") from None


def _binary(value: Any) -> str:
    if not _is_bytes(value):
        raise _Mistyped("encode text with value.encode(), or declare the feature as str")
    return base64.b64encode(value).decode("ascii")


def _datetime(value: Any) -> str:
    if not isinstance(value, datetime):
        raise _Mistyped("pass a datetime with a zone, such as datetime.fromtimestamp(seconds, UTC)")
    if value.utcoffset() is None:
        raise OutputError("a datetime without a zone is ambiguous: add one, such as value.replace(tzinfo=UTC)")
    try:
        return value.astimezone(UTC).isoformat()
    except OverflowError:
        raise OutputError(f"the time {value.isoformat()} lies outside the years 1 to 9999 in UTC") from None


def _filepath(value: Any) -> str:
    if not isinstance(value, str | PurePath):
        raise _Mistyped("pass a str or a PurePath")
    return str(value)


def _uri(value: Any) -> str:
    if not isinstance(value, str):
        raise _Mistyped("pass a str")
    return str(value)


_ENCODERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "string": _string,
    "integer": _integer,
    "float": _float,
    "binary": _binary,
    "datetime": _datetime,
    "filepath": _filepath,
    "uri": _uri,
}
