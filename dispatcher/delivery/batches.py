"""Events for one reply, and what becomes of them when it was written or was not."""

import asyncio
from collections.abc import Callable, Sequence

from dispatcher_sdk.models import FetchInfo

from dispatcher.delivery.jobs import Item
from dispatcher.delivery.notices import Notices
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.delivery.subscribers import Subscriber
from dispatcher.metrics import Metrics


class Batch:
    """Events for one reply. Until the caller says `delivered` or `give_back` they belong to nobody else; who
    drops a batch without a word has given it back."""

    def __init__(self, events: list[bytes], info: FetchInfo, ending: "Ending | None" = None):
        self.events = events
        self.info = info
        self._ending = ending

    @classmethod
    def paused(cls) -> "Batch":
        return cls([], FetchInfo(paused=True))

    def drop_events(self) -> None:
        """Free the bytes of the events; what becomes of them is still to be said."""
        self.events = []

    def delivered(self) -> None:
        """The reply was written completely."""
        if (ending := self._take()) is not None:
            ending.delivered()

    def give_back(self) -> None:
        """The client never got it: everything, counts too, is as if nobody had asked."""
        if (ending := self._take()) is not None:
            ending.give_back()

    def _take(self) -> "Ending | None":
        ending, self._ending = self._ending, None
        return ending

    def __del__(self) -> None:
        if (ending := self._take()) is not None:
            ending.give_back_soon()


class Ending:
    """What is to be done at the end of a batch. `leased`: its events have leases, which go on after it."""

    def __init__(
        self,
        scheduler: Scheduler,
        metrics: Metrics,
        clock: Callable[[], float],
        subscriber: Subscriber,
        items: Sequence[Item],
        filtered: dict[str, int],
        leased: bool,
        notices: Notices,
    ) -> None:
        self._notices = notices
        self._scheduler = scheduler
        self._metrics = metrics
        self._clock = clock
        self._subscriber = subscriber
        self._items = items
        self._filtered = filtered
        self._leased = leased
        self._loop = asyncio.get_running_loop()
        self._open = bool(items) and not leased
        subscriber.replies += self._open

    def delivered(self) -> None:
        self._close()
        if not self._leased:
            for item in self._items:
                item.cursor.deliver(item.offset)
        self._notices.delivered(self._items)
        wanted = self._subscriber.wanted
        plugin, model = self._metrics.plugins(wanted.name), wanted.model
        self._metrics.events_fetched.labels(plugin, model).inc(len(self._items))
        if self._filtered:
            self._metrics.events_filtered.labels(plugin, model).inc(sum(self._filtered.values()))

    def give_back(self) -> None:
        self._close()
        now = self._clock()
        for item in reversed(self._items):
            self._scheduler.put_back(item, now)
        for reason, times in self._filtered.items():
            self._subscriber.count_rejected(reason, times)

    def _close(self) -> None:
        self._subscriber.replies -= self._open
        self._open = False

    def give_back_soon(self) -> None:
        """From whatever thread collects the garbage."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.give_back)
