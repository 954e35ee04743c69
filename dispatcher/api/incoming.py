"""From the body of a POST to events: JSON or Avro, one or many, in memory or on disk.

All of a body is decoded before anything of it is published, as one event that does not decode refuses the whole
request. A large body is therefore gone through twice, so that its events never exist all at once.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dispatcher_sdk.models import AnyEvent, InvalidMessage, decode, problem
from msgspec import Raw

from dispatcher.api.inference import common_model
from dispatcher.api.splitting import Buffer, first_byte, split_large, split_small
from dispatcher.avro import iter_bulk
from dispatcher.errors import BadRequest, TooLarge, Unprocessable

CHUNK_EVENTS: Final = 500
CHUNK_BYTES: Final = 4 * 1024 * 1024
AVRO_EVENT_BYTES: Final = CHUNK_BYTES // 50
"""An event of an Avro body counts as this many bytes: its length is not known before it is decoded."""
EVENT_WORK: Final = CHUNK_BYTES // CHUNK_EVENTS
"""Looking at an event, in bytes: the loop gets a turn after CHUNK_BYTES."""
MOST_FAILURES: Final = 10_000
"""Failures are listed in the reply, so their number is bounded."""
EMPTY_LIST_MODEL: Final = "binary"
"""An empty list says nothing of its model, and it does not matter."""
INVALID_TITLE: Final = "PostEvent TransformEvents invalid events"


def invalid_events(cause: str) -> Unprocessable:
    return Unprocessable(cause, title=INVALID_TITLE)


def elements(body: bytes) -> Sequence[bytes | Raw]:
    """The JSON of every event of a body that is small enough to be split at once. Raises BadRequest for an empty
    body, Unprocessable for one that is no JSON."""
    _check_not_empty(body)
    try:
        return split_small(body) if is_array(body) else (body,)
    except InvalidMessage as fault:
        raise invalid_events(str(fault)) from None


def few_elements(body: bytes) -> Sequence[bytes | Raw] | None:
    """As `elements`; None when there are more than CHUNK_EVENTS, of which none then stays in memory."""
    parts = elements(body)
    return parts if len(parts) <= CHUNK_EVENTS else None


def json_events(model: str, parts: Sequence[bytes | Raw]) -> tuple[str, list[AnyEvent]]:
    """The model (inferred when `model` is empty) and every event. Raises Unprocessable, BadRequest."""
    try:
        model = model or _model_of(parts)
        return model, [_decode_one(model, index, raw) for index, raw in enumerate(parts)]
    except InvalidMessage as fault:
        raise invalid_events(str(fault)) from None


def avro_events(model: str, body: bytes) -> list[AnyEvent]:
    """Raises Unprocessable; BadRequest for an empty body."""
    _check_not_empty(body)
    try:
        return list(iter_bulk(model, body))
    except InvalidMessage as fault:
        raise invalid_events(str(fault)) from None


def _check_not_empty(body: bytes) -> None:
    if not body:
        raise BadRequest("the body is empty: send one event or a list of them", title="Empty Request")
    if len(body) <= 2:
        raise invalid_events("the body holds no event")


class LargeBody:
    """The events of a body that is too much for one go. `model` is empty until `check` has inferred it."""

    def __init__(self, data: Buffer, model: str, avro: bool, longest: int) -> None:
        """`longest`: bytes that one event may have before the request is refused unread."""
        self.model = model
        self._data = data
        self._avro = avro
        self._longest = longest

    async def check(self) -> None:
        """Decode everything once, giving others a turn now and then. Raises Unprocessable (also when so many
        events break the rules that nobody could mean it), TooLarge, BadRequest (model unclear)."""
        wrong = 0
        try:
            if not self.model:
                self.model = await self._infer()
            for chunk in self.chunks():
                wrong += sum(problem(event) is not None for event in chunk)
                if wrong > MOST_FAILURES:
                    raise invalid_events(f"more than {MOST_FAILURES} events are invalid")
                await asyncio.sleep(0)
        except InvalidMessage as fault:
            raise invalid_events(str(fault)) from None

    async def _infer(self) -> str:
        model = ""
        work = 0
        for index, raw in enumerate(self._raws()):
            model = _common_model(model, index, raw)
            work += len(raw) + EVENT_WORK
            if work > CHUNK_BYTES:
                work = 0
                await asyncio.sleep(0)
        return model or EMPTY_LIST_MODEL

    def chunks(self) -> Iterator[list[AnyEvent]]:
        """Lists of some hundred events; hold one at a time."""
        chunk: list[AnyEvent] = []
        size = 0
        for length, event in self._sized():
            chunk.append(event)
            size += length
            if len(chunk) >= CHUNK_EVENTS or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _sized(self) -> Iterator[tuple[int, AnyEvent]]:
        if self._avro:
            for event in iter_bulk(self.model, self._data, longest=self._longest):
                yield AVRO_EVENT_BYTES, event
            return
        for index, raw in enumerate(self._raws()):
            yield len(raw), _decode_one(self.model, index, raw)

    def _raws(self) -> Iterator[bytes]:
        if is_array(self._data):
            yield from split_large(self._data, self._longest)
        elif len(self._data) > self._longest:
            raise TooLarge(f"the event is larger than {self._longest} bytes")
        else:
            yield bytes(self._data[:])


def is_array(body: Buffer) -> bool:
    at = first_byte(body)
    return body[at : at + 1] == b"["


def _model_of(raws: Iterable[bytes | Raw]) -> str:
    model = ""
    for index, raw in enumerate(raws):
        model = _common_model(model, index, raw)
    return model or EMPTY_LIST_MODEL


def _common_model(model: str, index: int, raw: bytes | Raw) -> str:
    try:
        return common_model(model, raw)
    except InvalidMessage as fault:
        raise InvalidMessage(f"event {index}: {fault}") from None


def _decode_one(model: str, index: int, raw: bytes | Raw) -> AnyEvent:
    try:
        return decode(model, raw)
    except InvalidMessage as fault:
        raise InvalidMessage(f"event {index}: {fault}") from None
