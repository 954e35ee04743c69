"""Avro schemas of single events, built from the table when first asked for."""

from functools import cache
from typing import Any

from fastavro import parse_schema

from dispatcher.avro.tables import event_record, fields, is_record

_PLAIN = {"micros": "long", "json": "bytes"}


@cache
def event_schema(model: str, version: int) -> Any:
    """Parsed schema of one event of `model` at model_version 4, 5 or 6, for fastavro's schemaless functions.

    Instants are plain longs and `fixed8` plain bytes here: the bytes are the same, and faster to read.
    """
    return parse_schema(_record(event_record(model), version, set()))


def _record(name: str, version: int, known: set[str]) -> Any:
    """Avro defines a named type at its first use and names it afterwards."""
    if name in known:
        return name
    known.add(name)
    members = [{"name": field.name, "type": _type(field.type, version, known)} for field in fields(name, version)]
    return {"type": "record", "name": name, "fields": members}


def _type(kind: str, version: int, known: set[str]) -> Any:
    if kind[0] == "[":
        return {"type": "array", "items": _type(kind[1:-1], version, known)}
    if kind[0] == "{":
        return {"type": "map", "values": _type(kind[1:-1], version, known)}
    if is_record(kind):
        return _record(kind, version, known)
    if kind == "fixed8" and kind not in known:
        known.add(kind)
        return {"type": "fixed", "name": "fixed8", "size": 8}
    return _PLAIN.get(kind, kind)
