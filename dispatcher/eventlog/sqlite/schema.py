"""The database file: its tables, how it is opened, and the lock that keeps a second process out."""

from pathlib import Path

import apsw

from dispatcher.errors import StartupError

FILE_NAME = "events.db"
LOCK_NAME = "events.lock"
VERSION = 1

TABLES = """
CREATE TABLE topic(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, cleanup TEXT NOT NULL, retention_ms INTEGER NOT NULL);

-- start: first offset that retention left. floor: a lower bound of the next offset, for when the newest
-- records have been cleaned away. cleaned: compaction has seen everything before it.
CREATE TABLE partition(
    id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, number INTEGER NOT NULL,
    start INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 0, cleaned INTEGER NOT NULL DEFAULT 0,
    UNIQUE(topic, number));

-- id: partition << 44 | first offset. last: last offset. ts: newest timestamp, ms. body: packed records.
CREATE TABLE batch(id INTEGER PRIMARY KEY, last INTEGER NOT NULL, ts INTEGER NOT NULL, body BLOB NOT NULL);

-- Compacted topics: which batch holds the newest record of a key; tombstones that are to go later.
CREATE TABLE newest(partition INTEGER, key BLOB, batch INTEGER NOT NULL, PRIMARY KEY(partition, key)) WITHOUT ROWID;
CREATE TABLE tombstone(id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, key BLOB);
CREATE INDEX tombstone_age ON tombstone(ts);

CREATE TABLE journal(slot INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY(slot, key));
CREATE TABLE fence(slot INTEGER PRIMARY KEY, fence INTEGER NOT NULL);
"""

CHECKPOINT_PAGES = 4_000
"""The WAL is copied into the database when it has grown to 16 MiB."""
WAL_LIMIT_BYTES = 64 << 20
STATEMENTS = 200
BUSY_MS = 5_000


def lock(folder: Path) -> apsw.Connection:
    """Hold the folder until the connection is closed or the process ends, however it ends.

    An exclusive SQLite lock: works on every platform, within a process too, and no child process inherits it.
    Raises StartupError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        holder = apsw.Connection(str(folder / LOCK_NAME))
        holder.pragma("journal_mode", "memory")
        holder.execute("BEGIN EXCLUSIVE")
    except apsw.BusyError:
        raise StartupError(
            f"the data folder {folder} is in use by another dispatcher; stop that one or choose another folder"
        ) from None
    except (OSError, apsw.Error) as error:
        raise StartupError(f"the data folder {folder} cannot be used: {error}") from error
    return holder


def open_writer(folder: Path) -> apsw.Connection:
    """The one connection that writes and checkpoints; makes the tables in a new file. Raises StartupError."""
    path = folder / FILE_NAME
    try:
        connection = apsw.Connection(str(path), statementcachesize=STATEMENTS)
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "full")
        connection.pragma("journal_size_limit", WAL_LIMIT_BYTES)
        connection.wal_autocheckpoint(CHECKPOINT_PAGES)
        version = connection.pragma("user_version")
        if version == 0:
            with connection:
                connection.execute(TABLES)
                connection.pragma("user_version", VERSION)
    except apsw.Error as error:
        raise StartupError(f"the event log {path} cannot be opened: {error}") from error
    if version not in (0, VERSION):
        connection.close()
        raise StartupError(
            f"the event log {path} has format {version} and this dispatcher reads {VERSION}: "
            "start the version that wrote it"
        )
    return connection


def open_reader(folder: Path) -> apsw.Connection:
    connection = apsw.Connection(str(folder / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(BUSY_MS)
    return connection
