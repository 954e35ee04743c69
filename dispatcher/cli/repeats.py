"""The Kafka client says the same line dozens of times a second while its brokers are away: now and then is enough."""

import logging
import time

QUIET_SECONDS = 10.0
_NOISY = "aiokafka"
_MOST_LINES = 1000


class FewerRepeats(logging.Filter):
    """For a handler: of equal lines from the Kafka client it lets one through each `seconds`."""

    def __init__(self, seconds: float = QUIET_SECONDS) -> None:
        super().__init__()
        self._seconds = seconds
        self._next: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != _NOISY:
            return True
        now = time.monotonic()
        line = (record.name, str(record.msg))
        if now < self._next.get(line, 0.0):
            return False
        if len(self._next) >= _MOST_LINES:
            self._next.clear()
        self._next[line] = now + self._seconds
        return True
