"""One event as event filters see it."""

from functools import cached_property

from dispatcher_sdk.models import AnyEvent, InvalidMessage, decode

from dispatcher.delivery.undecodable import model_of, read_header
from dispatcher.eventlog.base import Record
from dispatcher.eventlog.topics import TopicName
from dispatcher.hooks.header import Header


class RecordView:
    """Decodes on demand, once."""

    def __init__(self, topic: str, name: TopicName | None, record: Record) -> None:
        self._topic = topic
        self._name = name
        self._record = record

    @property
    def topic(self) -> str:
        return self._topic

    @property
    def key(self) -> bytes:
        return self._record.key or b""

    @property
    def value(self) -> bytes:
        return self._record.value or b""

    @cached_property
    def header(self) -> Header:
        return read_header(self._name, self._record) or Header()

    @cached_property
    def _event(self) -> AnyEvent:
        model = model_of(self._name)
        if model is None:
            raise InvalidMessage(f"{self._topic} holds no events")
        return decode(model, self.value)

    def event(self) -> AnyEvent:
        """The decoded event. Raises InvalidMessage."""
        return self._event
