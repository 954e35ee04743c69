"""What the records of one journal slot amount to: the state they leave, and whose claim is the newest."""

import struct
from collections.abc import Iterable

from dispatcher.eventlog.base import Record

CLAIM = b"c"
ITEM = b"i"
_FENCE = struct.Struct(">q")


def item_key(key: bytes) -> bytes:
    """Record key of an item: claims are told apart by their first byte."""
    return ITEM + key


def fence_tag(fence: int) -> bytes:
    return _FENCE.pack(fence)


class Folded:
    """Records of a slot, added in order.

    A fence is the offset of a claim, so a later claim has a greater one. A record under an older fence than one seen
    before comes from an owner that had lost the slot: it changes nothing. Compaction does not know that, and would
    keep it in place of an older, valid record of the same key; `overwritten` names these keys, for the owner to
    write them again while the valid record is still there (the topic's `min.compaction.lag.ms`).
    """

    def __init__(self) -> None:
        self.state: dict[bytes, bytes] = {}
        self.claim = -1
        self.overwritten: set[bytes] = set()
        self._newest = -1

    def add(self, records: Iterable[Record]) -> None:
        for record in records:
            key = record.key or b""
            if key == CLAIM:
                self.claim = self._newest = record.offset
            elif key.startswith(ITEM):
                self._item(key[len(ITEM) :], record)

    def repairs(self) -> dict[bytes, bytes | None]:
        """What has to be written again."""
        return {key: self.state.get(key) for key in sorted(self.overwritten)}

    def _item(self, key: bytes, record: Record) -> None:
        fence = _FENCE.unpack(record.tag)[0] if record.tag and len(record.tag) == _FENCE.size else -1
        if fence < self._newest:
            self.overwritten.add(key)
            return
        self._newest = fence
        self.overwritten.discard(key)
        if record.value is None:
            self.state.pop(key, None)
        else:
            self.state[key] = record.value
