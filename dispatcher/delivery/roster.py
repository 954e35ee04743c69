"""Who is served here: subscribers come, change their filters, begin anew, and go."""

from collections.abc import Iterator, Mapping, Sequence

from dispatcher.delivery.cursors import Cursor
from dispatcher.delivery.matching import Matcher, Memo
from dispatcher.delivery.subscribers import Subscriber, subscriber_id, wants_topic
from dispatcher.eventlog.base import TopicPartition
from dispatcher.eventlog.topics import TopicName, TopicNames
from dispatcher.hooks.types import HeaderFilter, Subscription
from dispatcher.metrics import Metrics

Bounds = Mapping[TopicPartition, tuple[int, int]]
"""(start offset, high watermark) per partition."""


class Roster:
    """All subscribers of this process and the memo of verdicts per topic."""

    def __init__(self, names: TopicNames, filters: Sequence[HeaderFilter], metrics: Metrics) -> None:
        self._names = names
        self._filters = filters
        self._metrics = metrics
        self._memo = Memo()
        self._topics: dict[str, TopicName | None] = {}
        self._matchers: dict[str, Matcher] = {}
        self.subscribers: dict[str, Subscriber] = {}

    def topic_name(self, topic: str) -> TopicName | None:
        if topic not in self._topics:
            self._topics[topic] = self._names.parse(topic)
        return self._topics[topic]

    def matcher(self, topic: str) -> Matcher:
        if topic not in self._matchers:
            self._matchers[topic] = Matcher(self._filters, self._memo, self._metrics)
        return self._matchers[topic]

    def readers(self, partition: TopicPartition) -> Iterator[tuple[Subscriber, Cursor]]:
        """Subscribers that have this partition, with their cursors there."""
        for subscriber in self.matcher(partition[0]).subscribers:
            cursor = subscriber.cursors.get(partition)
            if cursor is not None:
                yield subscriber, cursor

    def cursor_count(self) -> int:
        return sum(len(subscriber.cursors) for subscriber in self.subscribers.values())

    def is_here(self, subscriber: Subscriber) -> bool:
        """Still the one that is served: it was not forgotten, nor taken over anew from the journal."""
        return self.subscribers.get(subscriber.sid) is subscriber

    def register(self, wanted: Subscription, bounds: Bounds, now: float) -> Subscriber:
        """A new subscriber. `bounds` must hold every partition there is: what is missing counts as newer."""
        subscriber = Subscriber(subscriber_id(wanted), wanted, registered_at=now, seen_at=now)
        self._fill(subscriber, bounds)
        self.adopt(subscriber)
        return subscriber

    def adopt(self, subscriber: Subscriber) -> None:
        """Serve a subscriber that was just made or restored."""
        self.subscribers[subscriber.sid] = subscriber
        for topic in {topic for topic, _ in subscriber.cursors}:
            self.matcher(topic).add(subscriber)

    def forget(self, subscriber: Subscriber) -> None:
        """Nothing if another one of this name has taken its place."""
        if self.is_here(subscriber):
            del self.subscribers[subscriber.sid]
        for topic in {topic for topic, _ in subscriber.cursors}:
            self.matcher(topic).remove(subscriber)

    def discover(self, partition: TopicPartition, start: int) -> list[Subscriber]:
        """A partition that is newer than the subscribers that lack it: all of it is for them."""
        newly = []
        for subscriber in self.subscribers.values():
            if partition not in subscriber.cursors and self._add_cursor(subscriber, partition, start, start):
                self.matcher(partition[0]).add(subscriber)
                newly.append(subscriber)
        return newly

    def change_filters(self, subscriber: Subscriber, wanted: Subscription) -> None:
        """A poll brought other filters: what was decided under the old ones is decided again."""
        subscriber.clear_ready()
        subscriber.wanted = wanted
        subscriber.dirty = True
        for topic in {topic for topic, _ in subscriber.cursors}:
            self.matcher(topic).add(subscriber)

    def reset(self, subscriber: Subscriber, bounds: Bounds) -> None:
        """Begin as if it had never been here; tokens of the past mean nothing any more."""
        self.forget(subscriber)
        subscriber.clear()
        subscriber.epoch += 1
        subscriber.dirty = True
        self._fill(subscriber, bounds)
        self.adopt(subscriber)

    def _fill(self, subscriber: Subscriber, bounds: Bounds) -> None:
        for partition, (start, high) in bounds.items():
            self._add_cursor(subscriber, partition, start, high)

    def _add_cursor(self, subscriber: Subscriber, partition: TopicPartition, start: int, high: int) -> bool:
        name = self.topic_name(partition[0])
        wanted = subscriber.wanted
        if name is None or not wants_topic(wanted, name):
            return False
        expedite = wanted.model == "binary" and name.system == "expedite"
        live = wanted.live or expedite
        cursor = Cursor(partition, join=high, expedite=expedite, live=live)
        cursor.open_from = high if live else start
        if live and wanted.historic and not expedite:
            cursor.spans.add(start, high)
        subscriber.add(cursor)
        cursor.changed()
        return True
