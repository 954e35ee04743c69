"""Proof that this process is still a member of its group, so that nobody else can have got what it was dealt."""

import time
from collections.abc import Callable
from typing import Final

NEVER: Final = float("-inf")


class Proof:
    """Holds for `session` seconds from the moment before a question that the group answered with yes.

    Measured by a clock that goes on while the process is stopped and never goes back.
    """

    def __init__(self, session: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._clock = clock
        self._since = NEVER

    def asked(self) -> float:
        """The moment of a question that is about to be put."""
        return self._clock()

    def given(self, asked: float) -> None:
        """The question of that moment was answered with yes."""
        self._since = max(self._since, asked)

    def withdraw(self) -> None:
        self._since = NEVER

    @property
    def age(self) -> float:
        """Seconds since the last proof; infinite without one."""
        return self._clock() - self._since

    def holds(self) -> bool:
        return self.age < self._session
