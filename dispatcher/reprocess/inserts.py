"""Inserts during a copy: those of the destination count, those of the origin have had their effect."""

from dispatcher_sdk.models import InsertEvent, InvalidMessage

from dispatcher.eventlog.base import Record
from dispatcher.publish.children import Inserts
from dispatcher.publish.keys import kafka_key
from dispatcher.reprocess.decoding import read_event


class OthersInserts(Inserts):
    """Inserts that the origin does not have. The children which its own ones made are events of the origin, and are
    copied as such; making them once more would double every one."""

    def __init__(self) -> None:
        super().__init__()
        self._origins: set[str] = set()

    def apply(self, event: InsertEvent, value: bytes) -> None:
        if event.kafka_key not in self._origins:
            super().apply(event, value)

    def on_origins_record(self, record: Record) -> None:
        """A record of the origin's insert topic."""
        if not record.value:
            return
        try:
            event = read_event("insert", record.value)
        except InvalidMessage:
            return  # the copy reports it
        self._origins.add(kafka_key(event))
        self.remove(kafka_key(event))
