"""How long to wait before trying again."""

import random
from typing import Final

_FACTOR: Final = 2.0


class Backoff:
    """Growing waits with jitter, so that many clients do not come back in step. All in seconds."""

    def __init__(self, first: float = 0.2, most: float = 30.0) -> None:
        self._first = first
        self._most = most
        self._wait = first

    def next(self, at_least: float | None = None) -> float:
        """The next wait; a server's own wish (`Retry-After`) is kept when it is longer, up to five minutes."""
        wait = self._wait * random.uniform(0.5, 1.0)
        self._wait = min(self._wait * _FACTOR, self._most)
        return max(wait, min(at_least or 0.0, 300.0))

    def reset(self) -> None:
        """It worked again."""
        self._wait = self._first
