"""Whether clients can be heard: while the log is away, no heartbeat of theirs reaches it."""

from typing import Final

DEAF_SECONDS: Final = 5.0
"""Shorter silences are what leases have room for."""
MOVED_SECONDS: Final = 0.5
"""Less than this is no progress: the same moment, told twice by two clocks, differs by some microseconds."""


class Hearing:
    """Told again and again up to when all statuses have been seen. Times are unix seconds, `elapsed` is the loop's:
    a clock that is set forward is no silence, and neither is one that stands still."""

    def __init__(self) -> None:
        self._seen_up_to: float | None = None
        self._since = (0.0, 0.0)
        self._silent = 0.0

    def regained(self, seen_up_to: float, now: float, elapsed: float) -> bool:
        """True once after each time in which nothing was seen for long: clients need a moment to speak up again."""
        if self._seen_up_to is not None and abs(seen_up_to - self._seen_up_to) < MOVED_SECONDS:
            self._silent = min(now - self._since[0], elapsed - self._since[1])
            return False
        deaf = self._silent >= DEAF_SECONDS
        self._seen_up_to, self._since, self._silent = seen_up_to, (now, elapsed), 0.0
        return deaf
