"""Asking SQLite for rows."""

from collections.abc import Sequence
from typing import Any

import apsw

Row = tuple[Any, ...]


def rows(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> list[Any]:
    """All rows of the answer, as tuples."""
    return list(connection.execute(sql, bindings))


def first(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> Row | None:
    """The first row, None when there is none; the rest is not read."""
    cursor = connection.execute(sql, bindings)
    try:
        return next(cursor, None)
    finally:
        cursor.close()


def value(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> Any:
    """The first column of the first row; None when there is no row."""
    row = first(connection, sql, bindings)
    return row[0] if row else None
