"""For how long a client has asked without being answered at all."""

import time
from collections.abc import Callable


class Silence:
    """Of one client that asks much at once: any answer, to whichever question, ends it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._open = 0

    def asked(self) -> None:
        self._open += 1
        if self._since is None:
            self._since = self._clock()

    def over(self, *, answered: bool) -> None:
        """A question is over; without an answer when the client has given it up."""
        self._open -= 1
        if answered:
            self._since = self._clock() if self._open else None

    @property
    def seconds(self) -> float | None:
        """0 when the last that was asked was answered; None when it was not, and nothing is asked at this moment."""
        if self._since is None:
            return 0.0
        return self._clock() - self._since if self._open else None
