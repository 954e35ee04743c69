"""From the body of a POST to events: JSON or Avro, one or many, in memory or on disk.

All of a body is decoded before anything of it is published, as one bad event refuses the whole request. A large
body is therefore gone through twice, so that its events never exist all at once.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from dispatcher_sdk.models import AnyEvent, InvalidMessage, decode
from msgspec import Raw

from dispatcher.api.avro import iter_bulk
from dispatcher.api.bodies import SpooledBody
from dispatcher.api.inference import common_model
from dispatcher.api.splitting import Buffer, first_byte, split_large, split_small
from dispatcher.errors import BadRequest, TooLarge, Unprocessable

CHUNK_EVENTS: Final = 500
CHUNK_BYTES: Final = 4 * 1024 * 1024
AVRO_EVENT_BYTES: Final = CHUNK_BYTES // 50
"""An event of an Avro body counts as this many bytes: its length is not known before it is decoded."""
EMPTY_LIST_MODEL: Final = "binary"
"""An empty list says nothing of its model, and it does not matter."""
INVALID_TITLE: Final = "PostEvent TransformEvents invalid events"


def invalid_events(cause: str) -> Unprocessable:
    return Unprocessable(cause, title=INVALID_TITLE)


def small_body(body: bytes, model: str, avro: bool) -> tuple[str, list[AnyEvent]]:
    """The model (inferred when `model` is empty) and every event. Raises Unprocessable, BadRequest."""
    if not body:
        raise BadRequest("the body is empty: send one event or a list of them", title="Empty Request")
    if len(body) <= 2:
        raise invalid_events("the body holds no event")
    try:
        if avro:
            return model, list(iter_bulk(model, body))
        raws = split_small(body) if is_array(body) else (body,)
        model = model or _model_of(raws)
        return model, [_decode_one(model, index, raw) for index, raw in enumerate(raws)]
    except InvalidMessage as problem:
        raise invalid_events(str(problem)) from None


class LargeBody:
    """The events of a body on disk. `model` is empty until `check` has inferred it."""

    def __init__(self, body: SpooledBody, model: str, avro: bool, longest: int) -> None:
        """`longest`: bytes that one event may have before the request is refused unread."""
        self.model = model
        self._data = body.view
        self._avro = avro
        self._longest = longest

    async def check(self) -> None:
        """Decode everything once. Raises Unprocessable, TooLarge, BadRequest (model unclear)."""
        try:
            if not self.model:
                self.model = _model_of(self._raws())
            for _ in self.chunks():
                await asyncio.sleep(0)
        except InvalidMessage as problem:
            raise invalid_events(str(problem)) from None

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
            yield self._data[:]


def is_array(body: Buffer) -> bool:
    at = first_byte(body)
    return body[at : at + 1] == b"["


def _model_of(raws: Iterable[bytes | Raw]) -> str:
    model = ""
    for index, raw in enumerate(raws):
        try:
            model = common_model(model, raw)
        except InvalidMessage as problem:
            raise InvalidMessage(f"event {index}: {problem}") from None
    return model or EMPTY_LIST_MODEL


def _decode_one(model: str, index: int, raw: bytes | Raw) -> AnyEvent:
    try:
        return decode(model, raw)
    except InvalidMessage as problem:
        raise InvalidMessage(f"event {index}: {problem}") from None
