"""Between aiokafka's records and ours. The packed filter fields travel as one header."""

from collections.abc import Iterable, Sequence

from aiokafka import ConsumerRecord

from dispatcher.eventlog.base import Record

TAG = "tag"
Headers = list[tuple[str, bytes]]


def headers_of(tag: bytes | None) -> Headers:
    return [] if tag is None else [(TAG, tag)]


def header(headers: Iterable[tuple[str, bytes]], name: str) -> bytes | None:
    return next((value for found, value in headers if found == name), None)


def to_records(records: Sequence[ConsumerRecord]) -> list[Record]:
    return [
        Record(
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            header(record.headers, TAG) if record.headers else None,
        )
        for record in records
    ]
