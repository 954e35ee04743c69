"""Between wire structs and the plain dictionaries that fastavro reads and writes. Built from the table."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import msgspec
from dispatcher_sdk.models import ZERO_TIME, InvalidMessage

from dispatcher.avro.tables import CURRENT, Field, fields, is_record, struct_of
from dispatcher.hooks.header import micros

Convert = Callable[[Any], Any]
Plain = dict[str, Any]

LARGEST: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_MICROS: Final = micros(ZERO_TIME)
_any_json: Final = msgspec.json.Decoder(msgspec.Raw)
_asdict = msgspec.structs.asdict


@cache
def to_plain(record: str) -> Convert:
    """A function from the struct to the dictionary of its version 6 record; None becomes an empty record."""
    kind = struct_of(record)
    special = [(field.name, convert) for field in fields(record, CURRENT) if (convert := _writer(field.type))]

    def convert_struct(value: Any) -> Plain:
        plain = _asdict(kind() if value is None else value)
        for name, convert in special:
            plain[name] = convert(plain[name])
        return plain

    return convert_struct


@cache
def to_struct(record: str, version: int) -> Convert:
    """A function from the dictionary of a record to its struct. It raises InvalidMessage."""
    kind = struct_of(record)
    members = fields(record, version)
    optional = {field.name for field in msgspec.structs.fields(kind) if field.default is None}
    special = [
        (field.name, _or_none(convert) if field.name in optional else convert)
        for field in members
        if (convert := _reader(field, version))
    ]
    gone = [field.name for field in members if field.read_only]

    def convert_plain(plain: Plain) -> Any:
        for name, convert in special:
            plain[name] = convert(plain[name])
        for name in gone:
            del plain[name]
        return kind(**plain)

    def convert_with_json(plain: Plain) -> Any:
        """Empty bytes are an absent member: the struct says what that means."""
        for name in opaque:
            if not plain[name]:
                del plain[name]
            else:
                plain[name] = _raw(plain[name])
        return convert_plain(plain)

    opaque = [field.name for field in members if field.type == "json"]
    return convert_with_json if opaque else convert_plain


def _writer(kind: str) -> Convert | None:
    """None for what needs no conversion."""
    if is_record(kind):
        return to_plain(kind)
    if kind[0] == "[" and is_record(kind[1:-1]):
        return _each(to_plain(kind[1:-1]))
    return _WRITERS.get(kind)


def _reader(field: Field, version: int) -> Convert | None:
    kind = field.type
    if is_record(kind):
        return to_struct(kind, version)
    if kind[0] == "[" and is_record(kind[1:-1]):
        return _each(to_struct(kind[1:-1], version))
    return _READERS.get(kind)


def _each(convert: Convert) -> Convert:
    return lambda values: [convert(value) for value in values]


def _or_none(convert: Convert) -> Convert:
    """Avro has no null: a record without anything in it stands for one."""

    def convert_plain(plain: Plain) -> Any:
        value = convert(plain)
        return None if value == type(value)() else value

    return convert_plain


def _to_fixed(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _from_fixed(value: bytes) -> int:
    number = int.from_bytes(value, "big")
    if number > LARGEST:
        raise InvalidMessage(f"{number} is larger than {LARGEST}")
    return number


def _from_micros(value: int) -> datetime:
    if value == _ZERO_MICROS:
        return ZERO_TIME  # the very object: only this one is not written to JSON again
    try:
        return _EPOCH + timedelta(microseconds=value)
    except OverflowError:
        raise InvalidMessage(f"{value} microseconds is a time outside the years 1 to 9999") from None


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InvalidMessage(f"{value} is not a number")
    return value


def _to_bytes(value: msgspec.Raw | msgspec.UnsetType) -> bytes:
    return b"" if isinstance(value, msgspec.UnsetType) else bytes(value)


def _raw(data: bytes) -> msgspec.Raw:
    """JSON is embedded as it is, so it must be JSON."""
    try:
        data.decode()
        return _any_json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as problem:
        raise InvalidMessage(f"a member that holds JSON does not: {problem}") from None


_WRITERS: Final[Mapping[str, Convert]] = {"fixed8": _to_fixed, "micros": micros, "json": _to_bytes}
_READERS: Final[Mapping[str, Convert]] = {"fixed8": _from_fixed, "micros": _from_micros, "double": _finite}
