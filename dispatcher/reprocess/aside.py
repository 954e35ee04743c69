"""What becomes of a record that cannot be copied: its bytes are kept, as dead letters of the destination."""

from collections.abc import Callable
from typing import Final

import msgspec

from dispatcher.delivery.deadletters import DeadLetter
from dispatcher.eventlog.base import Append, Record, TopicPartition
from dispatcher.eventlog.topics import TopicNames

PART_BYTES: Final = 512 << 10
"""Of a value in one letter: Base64 makes a third more of it, and by default Kafka takes a mebibyte."""
REASON_CHARACTERS: Final = 200


class Aside:
    """Makes the letters. Each has a key of its own, so writing one again changes nothing."""

    def __init__(self, names: TopicNames, origin: str, message_max_bytes: int, clock: Callable[[], float]) -> None:
        self._topic = names.system("deadletter")
        self._origin = origin
        self._part_bytes = min(PART_BYTES, message_max_bytes // 4)
        self._clock = clock

    def letters(self, place: TopicPartition, record: Record, reason: str) -> list[Append]:
        """One for each part of the value, which together have all of its bytes."""
        topic, number = place
        value, size = record.value or b"", self._part_bytes
        parts = [value[at : at + size] for at in range(0, len(value), size)] or [b""]
        letters = []
        for index, part in enumerate(parts):
            letter = DeadLetter(
                f"not copied: {reason[:REASON_CHARACTERS]}",
                topic,
                number,
                record.offset,
                self._clock(),
                name="reprocess",
                key=(record.key or b"")[:size],
                value=part,
                part=index,
                parts=len(parts),
            )
            key = f"reprocess/{self._origin}/{topic}/{number}/{record.offset}/{index}"
            letters.append(Append(self._topic, key.encode(), msgspec.json.encode(letter)))
        return letters
