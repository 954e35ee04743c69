"""Which log a file holds: a number in the header of the database, drawn when somebody first asks."""

import secrets

import apsw


def identity(connection: apsw.Connection) -> str:
    """8 hex digits. Must run in a transaction."""
    number: int = connection.pragma("application_id")
    if not number:
        number = secrets.randbelow(2**31 - 1) + 1
        connection.pragma("application_id", number)
    return f"{number:08x}"
