"""The pause that a restore asks for (wire contract 6): ten minutes without jobs, then what piled up is skipped."""

from collections.abc import Callable

PAUSE_SECONDS = 600.0
SKIP_SECONDS = 1_800.0


class Pause:
    """Times are unix seconds; 0 = never paused. `begun` is called when a pause begins."""

    def __init__(self, begun: Callable[[], None] = lambda: None) -> None:
        self.began_at = 0.0
        self._begun = begun

    def begin(self, at: float) -> None:
        """Take up a pause; an older one than is known changes nothing."""
        if at > self.began_at:
            self.began_at = at
            self._begun()

    def is_on(self, now: float) -> bool:
        """A clock that went back by more than a pause must not pause for longer than that."""
        return self.began_at > 0 and abs(now - self.began_at) < PAUSE_SECONDS

    def is_skipped(self, now: float, already: float) -> bool:
        """Is a task subscriber, which skipped the pause `already`, to go to the end of every partition now?"""
        return self.began_at > already and PAUSE_SECONDS <= now - self.began_at < SKIP_SECONDS
