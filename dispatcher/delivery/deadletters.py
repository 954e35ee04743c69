"""Dead letters: what is kept, in `system.deadletter`, of an event that could not be delivered."""

from collections.abc import Callable

import msgspec

from dispatcher.eventlog.base import Append, EventLog, LogUnavailable, RecordTooLarge, TopicPartition
from dispatcher.eventlog.topics import TopicNames


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """Value of a record in `system.deadletter`. `time` is unix seconds; `event` as it was handed out, unless it is
    too large to be kept twice.

    Of a record that `dispatcher reprocess` could not copy, `key` and `value` are its bytes (as Base64); a large value
    is in several letters, of which this is number `part` of `parts`.
    """

    reason: str
    topic: str
    partition: int
    offset: int
    time: float
    name: str = ""
    version: str = ""
    sid: str = ""
    attempts: int = 0
    dequeued: str = ""
    event: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    key: bytes = b""
    value: bytes = b""
    part: int = 0
    parts: int = 1


class DeadLetters:
    """Writes them. Each has a key of its own, so writing one again changes nothing."""

    def __init__(self, log: EventLog, names: TopicNames, clock: Callable[[], float]) -> None:
        self._log = log
        self._topic = names.system("deadletter")
        self._clock = clock

    async def undecodable(self, place: tuple[TopicPartition, int]) -> None:
        """Raises LogUnavailable."""
        (topic, partition), offset = place
        letter = DeadLetter("undecodable", topic, partition, offset, self._clock())
        await self.write(f"{topic}/{partition}/{offset}", letter)

    async def write(self, key: str, letter: DeadLetter) -> None:
        """Raises LogUnavailable."""
        problem = await self._append(key, letter)
        if isinstance(problem, RecordTooLarge):
            letter.event = msgspec.UNSET
            problem = await self._append(key, letter)
        if problem is not None:
            raise LogUnavailable(str(problem))

    async def _append(self, key: str, letter: DeadLetter) -> Exception | None:
        (problem,) = await self._log.append([Append(self._topic, key.encode(), msgspec.json.encode(letter))])
        return problem
