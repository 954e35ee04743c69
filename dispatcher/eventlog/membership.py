"""Which process serves which slot: two small interfaces, and the answer of a process that is alone."""

from collections.abc import Mapping
from typing import Final, Protocol

from dispatcher.eventlog.base import SLOTS

ALL_SLOTS: Final = frozenset(range(SLOTS))


class Keeper(Protocol):
    """Who serves the slots of this process."""

    async def suspend(self) -> None:
        """The slots are about to be dealt anew: hand nothing out any more and make durable what is not.

        Others wait for the end of this call, so it ends well within a session. Never raises.
        """

    def dealt(self, slots: frozenset[int]) -> None:
        """From now on exactly these are ours. Returns at once; taking over a slot's state is done in the background."""


class Membership(Protocol):
    """One process among those that share the slots. Start and stop with `start()` and `close()`."""

    @property
    def shared(self) -> bool:
        """Whether others take the slots over when this process leaves."""
        ...

    @property
    def url(self) -> str:
        """Where others reach this process; empty when there are none."""
        ...

    async def start(self, keeper: Keeper) -> None:
        """Take part. Returns when slots were dealt for the first time, or after some seconds without: then later.

        Raises LogUnavailable.
        """
        ...

    async def close(self) -> None:
        """Leave: slots go to others at once. Calls neither method of the keeper any more."""
        ...

    def proven(self) -> bool:
        """Whether no other process can have been dealt our slots yet. False does not mean that one has."""
        ...

    async def owners(self) -> Mapping[int, str]:
        """URL of the process of each slot, ours too, as the group knows it now; slots that nobody has are missing.

        Raises LogUnavailable. Answers may be up to a second old.
        """
        ...


class Alone:
    """A process that shares its log with nobody has all slots."""

    shared = False
    url = ""

    async def start(self, keeper: Keeper) -> None:
        keeper.dealt(ALL_SLOTS)

    async def close(self) -> None:
        pass

    def proven(self) -> bool:
        return True

    async def owners(self) -> Mapping[int, str]:
        return {}
