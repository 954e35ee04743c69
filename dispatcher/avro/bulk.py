"""Bulk bodies: many events in one Avro record without a container (wire contract 3.7)."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any, Final

from dispatcher_sdk.models import AnyEvent, InvalidMessage, promote
from fastavro import schemaless_reader, schemaless_writer

from dispatcher.avro.convert import to_plain, to_struct
from dispatcher.avro.schemas import event_schema
from dispatcher.avro.tables import CURRENT, OLDEST, event_record
from dispatcher.avro.varint import Buffer, long_bytes, read_long

LONGEST_EVENT: Final = 8 * 2**20
WINDOW: Final = 2**20
"""Bytes that are handed to the parser at a time, so that a large body is never copied as a whole."""


def encode_bulk(model: str, events: Sequence[AnyEvent]) -> bytes:
    """One bulk record at the current version. Raises KeyError for an unknown model."""
    schema, plain = event_schema(model, CURRENT), to_plain(event_record(model))
    out = BytesIO()
    out.write(long_bytes(CURRENT))
    if events:
        out.write(long_bytes(len(events)))
        for event in events:
            schemaless_writer(out, schema, plain(event))
    out.write(long_bytes(0))
    return out.getvalue()


def iter_bulk(model: str, data: Buffer, *, longest: int = LONGEST_EVENT) -> Iterator[AnyEvent]:
    """Events of a bulk record of version 4, 5 or 6, one at a time, promoted to the current one.

    Memory stays flat: no event may have more than `longest` bytes. Raises InvalidMessage, and nothing else, for all
    that is not exactly one bulk record; KeyError for an unknown model.
    """
    version, at = _opening(data)
    events = _events(model, version, data, at, longest)
    try:
        first = next(events, None)
    except InvalidMessage:
        if version == OLDEST:
            raise
        # A version 4 body starts with its count, and a count of 5 or 6 looks like a version.
        events = _events(model, OLDEST, data, 0, longest)
        old_first = _next_or_none(events)
        if old_first is None:
            raise
        first = old_first
    if first is not None:
        yield first
        yield from events


def _next_or_none(events: Iterator[AnyEvent]) -> AnyEvent | None:
    try:
        return next(events, None)
    except InvalidMessage:
        return None


def _opening(data: Buffer) -> tuple[int, int]:
    """The version and where the events start."""
    version, at = read_long(data, 0)
    return (version, at) if OLDEST < version <= CURRENT else (OLDEST, 0)


def _events(model: str, version: int, data: Buffer, at: int, longest: int) -> Iterator[AnyEvent]:
    parser = _EventParser(model, version, data, longest)
    index = 0
    while True:
        count, at = read_long(data, at)
        if count == 0:
            break
        if count < 0:  # then the block's length in bytes follows; we do not need it
            count = -count
            _, at = read_long(data, at)
        for _ in range(count):
            try:
                event, at = parser.event(at)
            except InvalidMessage as problem:
                raise InvalidMessage(f"event {index}: {problem}") from None
            index += 1
            yield event
    if at != len(data):
        raise InvalidMessage(f"{len(data) - at} bytes follow the last event")


class _EventParser:
    """Parses events at given places through a window that moves along."""

    def __init__(self, model: str, version: int, data: Buffer, longest: int) -> None:
        self._name = f"a version {version} {model} event"
        self._schema = event_schema(model, version)
        self._struct = to_struct(event_record(model), version)
        self._data = data
        self._longest = longest
        self._start = self._end = 0
        self._window = BytesIO()

    def event(self, at: int) -> tuple[AnyEvent, int]:
        """The event and where it ends."""
        if not self._start <= at < self._end:
            self._move(at, WINDOW)
        while True:
            plain, end, problem = self._try(at)
            # What ends exactly with the window may have been cut off by it: not every fastavro tells short reads.
            if problem is None and (end < self._end or end == len(self._data)):
                return promote(self._struct(plain)), end
            if self._end == len(self._data):
                raise InvalidMessage(f"not {self._name} at byte {at}: {str(problem)[:200]}")
            self._widen(at)

    def _try(self, at: int) -> tuple[Any, int, Exception | None]:
        self._window.seek(at - self._start)
        try:
            plain = schemaless_reader(self._window, self._schema, None)
        except Exception as problem:  # a native parser on a stranger's bytes
            return None, at, problem
        return plain, self._start + self._window.tell(), None

    def _widen(self, at: int) -> None:
        size = self._end - self._start
        if at > self._start:
            self._move(at, max(WINDOW, size))
        elif size < self._longest:
            self._move(at, min(size * 4, self._longest))
        else:
            raise InvalidMessage(f"not {self._name} of at most {self._longest} bytes at byte {at}")

    def _move(self, at: int, size: int) -> None:
        self._start, self._end = at, min(at + size, len(self._data))
        self._window = BytesIO(self._data[self._start : self._end])
