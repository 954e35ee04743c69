"""Reading a record's header: from its tag, or from its value when somebody else wrote it without one."""

from collections import OrderedDict

import msgspec
from dispatcher_sdk.models import MODELS, InvalidMessage, decode

from dispatcher.eventlog.base import Record, TopicPartition
from dispatcher.eventlog.topics import TopicName
from dispatcher.hooks.header import Header, header_of, unpack
from dispatcher.metrics import Metrics


def model_of(topic: TopicName | None) -> str | None:
    """Which model the values of a topic are."""
    if topic is None:
        return None
    if topic.source or topic.system in ("expedite", "error"):
        return "binary"
    return topic.system if topic.system in MODELS else None


def read_header(topic: TopicName | None, record: Record) -> Header | None:
    """None when neither tag nor value can be read."""
    if record.tag is not None:
        try:
            return unpack(record.tag)
        except msgspec.MsgspecError:
            pass
    model = model_of(topic)
    if model is None or record.value is None:
        return None
    try:
        return header_of(decode(model, record.value))
    except InvalidMessage:
        return None


class Unreadable:
    """Records that nobody can read: counted, and remembered so that each is reported once, however many meet it.

    The oldest are forgotten where there are more than `remember`; what is reported twice has the same key.
    """

    def __init__(self, metrics: Metrics, remember: int = 10_000) -> None:
        self._metrics = metrics
        self._remember = remember
        self._seen: OrderedDict[tuple[TopicPartition, int], None] = OrderedDict()
        self._fresh: list[tuple[TopicPartition, int]] = []

    def report(self, partition: TopicPartition, offset: int) -> None:
        place = (partition, offset)
        if place in self._seen:
            return
        self._seen[place] = None
        if len(self._seen) > self._remember:
            self._seen.popitem(last=False)
        self._fresh.append(place)
        self._metrics.dropped.labels("undecodable").inc()

    def take(self) -> list[tuple[TopicPartition, int]]:
        """Those found since the last call."""
        fresh, self._fresh = self._fresh, []
        return fresh
