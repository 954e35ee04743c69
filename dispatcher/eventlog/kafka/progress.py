"""How far a tail has come, in time: told from what the brokers said of their high watermarks."""

from typing import NamedTuple

NEVER = 0.0


class _Goal(NamedTuple):
    high_watermark: int
    at: float


class Progress:
    """Of one partition. Times are unix seconds of this machine.

    A watermark belongs to the moment before its answer came: the answer may have lain in a socket while this process
    slept. It surely was asked for after the answer before it had come, so that is the moment that counts.
    """

    __slots__ = ("_answered", "_before", "_goal", "caught_up_at")

    def __init__(self) -> None:
        self._answered = NEVER
        self._before = NEVER
        self._goal: _Goal | None = None
        self.caught_up_at = NEVER

    def look(self, position: int, high_watermark: int | None, polled_ms: int | None) -> None:
        """`position` is the next offset to be given out; the rest is the latest answer, None before the first."""
        if high_watermark is None or polled_ms is None:
            return
        answered = polled_ms / 1000
        if answered != self._answered:
            self._before, self._answered = self._answered, answered
        latest = _Goal(high_watermark, self._before)
        for goal in (self._goal, latest):
            if goal is not None and position >= goal.high_watermark:
                self.caught_up_at = max(self.caught_up_at, goal.at)
                self._goal = None
        if self._goal is None and position < high_watermark:
            self._goal = latest
