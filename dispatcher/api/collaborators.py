"""What the API needs of the rooms behind it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from dispatcher_sdk.models import AnyEvent, BinaryEvent, FetchInfo, SimulatedConsumer

from dispatcher.hooks.types import Subscription
from dispatcher.publish.outcome import Outcome


class Batch(Protocol):
    """Events on their way to one client. Exactly one of `delivered` and `give_back` is called."""

    @property
    def events(self) -> Sequence[bytes]:
        """JSON of each event."""
        ...

    @property
    def info(self) -> FetchInfo: ...
    def drop_events(self) -> None:
        """Free the bytes of the events: nobody will ask for them again, but what becomes of them is open."""

    def delivered(self) -> None:
        """The reply was written completely."""

    def give_back(self) -> None:
        """It was not: somebody else may have these events."""


class Delivery(Protocol):
    """Who still has to see what."""

    async def poll(
        self,
        wanted: Subscription,
        *,
        count: int,
        deadline: float,
        lease_seconds: float | None = None,
        reset: bool = False,
    ) -> Batch:
        """Up to `count` events, waiting at most `deadline` seconds for them. Raises NotServedHere, Unavailable."""
        ...

    async def simulate(self, event: BinaryEvent) -> list[SimulatedConsumer]:
        """Which subscribers that are served here would be given this event."""
        ...

    async def release(self, token: str, after: float) -> None:
        """Hand the event out again after that many seconds. Raises NotFound, NotServedHere."""
        ...

    async def pause(self) -> None:
        """Stop handing out jobs for a while; durable on return."""
        ...


class Peers(Protocol):
    """The dispatchers that share one log."""

    @property
    def url(self) -> str:
        """Ours, as the others know it; empty when there are none."""
        ...

    async def owners(self) -> Mapping[int, str]:
        """URL of the dispatcher of each slot; slots that nobody serves are missing. Raises LogUnavailable."""
        ...


class Publisher(Protocol):
    """What happens to an event between POST and the log."""

    async def publish(
        self,
        model: str,
        events: Sequence[AnyEvent],
        *,
        keep_ok: bool = False,
        wait: bool = True,
        before_write: Callable[[], Awaitable[None]] | None = None,
    ) -> Outcome:
        """`wait` = durable on return. `before_write` is awaited when there is something to write, before it can be
        seen. Raises Unavailable when the log takes nothing now."""
        ...
