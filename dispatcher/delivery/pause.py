"""The pause that a restore asks for (wire contract 6): ten minutes without jobs, then what piled up is skipped."""

PAUSE_SECONDS = 600.0
SKIP_SECONDS = 1_800.0


class Pause:
    """Times are unix seconds; 0 = never paused."""

    def __init__(self) -> None:
        self.began_at = 0.0

    def begin(self, at: float) -> None:
        """Take up a pause; an older one than is known changes nothing."""
        self.began_at = max(self.began_at, at)

    def is_on(self, now: float) -> bool:
        return self.began_at > 0 and now - self.began_at < PAUSE_SECONDS

    def is_skipped(self, now: float, already: float) -> bool:
        """Is a task subscriber, which skipped the pause `already`, to go to the end of every partition now?"""
        return self.began_at > already and PAUSE_SECONDS <= now - self.began_at < SKIP_SECONDS
