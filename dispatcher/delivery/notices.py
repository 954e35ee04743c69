"""What delivery tells observers. Without any it does nothing."""

from collections.abc import Callable, Sequence

from dispatcher.delivery.jobs import Item
from dispatcher.hooks.types import Notice, Notify, What


class Notices:
    def __init__(self, notify: Notify | None, clock: Callable[[], float]) -> None:
        self._notify = notify
        self._clock = clock

    def delivered(self, items: Sequence[Item]) -> None:
        """A client has these events."""
        if self._notify is not None:
            for item in items:
                self._notify(self._notice("delivered", item))

    def finished(self, item: Item, token: str, status: str) -> None:
        """A final status has ended this job."""
        if self._notify is not None:
            self._notify(self._notice("finished", item, token=token, status=status))

    def given_up(self, item: Item, token: str, reason: str) -> None:
        if self._notify is not None:
            self._notify(self._notice("dead-lettered", item, token=token, reason=reason))

    def _notice(self, what: What, item: Item, *, token: str = "", status: str = "", reason: str = "") -> Notice:
        topic, partition = item.cursor.partition
        wanted = item.subscriber.wanted
        return Notice(
            what,
            self._clock(),
            topic,
            key=token.partition(".")[0],
            partition=partition,
            offset=item.offset,
            plugin=wanted.name,
            version=wanted.version,
            status=status,
            token=token,
            reason=reason,
        )
