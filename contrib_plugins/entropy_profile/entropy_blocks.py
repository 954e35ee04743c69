"""Shannon entropy of a file, block by block. Runs in a worker process, so it imports next to nothing."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, Final, NamedTuple

MOST_BLOCKS: Final = 64
SMALLEST_BLOCK: Final = 256
"""Bytes. With fewer the figure says more about the length than about the bytes."""
LOOKED_AT: Final = 1 << 15
"""Bytes of a block; of a longer one so many, in SLICES evenly spread. A file of any size costs no more than 2 MiB."""
SLICES: Final = 8

DENSE: Final = 0.9
"""Share of what random bytes of the same number would have: compressed, encrypted and packed bytes have more."""
MOSTLY: Final = 0.75
PARTLY: Final = 0.1
FLAT: Final = 1.0


class Block(NamedTuple):
    size: int
    looked_at: int
    entropy: float
    """Bits per byte, 0 to 8."""

    @property
    def is_dense(self) -> bool:
        return self.entropy >= DENSE * of_random(self.looked_at)


def profile(path: str, data: Mapping[str, object]) -> dict[str, object]:
    """A worker enricher: `info` about the content of a file; nothing about reports and other streams."""
    size = data.get("size")
    if data.get("label") != "content" or not isinstance(size, int) or size < 1:
        return {}
    with open(path, "rb") as file:
        return {"info": measure(file, size)}


def measure(file: BinaryIO, size: int) -> dict[str, object]:
    """`overall` and `blocks` in bits per byte; `block_size` in bytes, where the last block has the rest, too."""
    count = min(MOST_BLOCKS, max(1, size // SMALLEST_BLOCK))
    step = size // count
    total: Counter[int] = Counter()
    blocks = []
    for number in range(count):
        start = number * step
        length = step if number < count - 1 else size - start
        seen: Counter[int] = Counter()
        for place, amount in _slices(start, length):
            file.seek(place)
            seen.update(file.read(amount))
        total += seen
        blocks.append(Block(length, seen.total(), entropy(seen)))
    overall = entropy(total)
    return {
        "overall": round(overall, 4),
        "block_size": step,
        "block_count": count,
        "blocks": [round(block.entropy, 3) for block in blocks],
        "verdict": verdict(blocks, overall),
    }


def verdict(blocks: Sequence[Block], overall: float) -> str:
    """small, flat, packed, mixed or plain."""
    size = sum(block.size for block in blocks)
    dense = sum(block.size for block in blocks if block.is_dense) / size
    if size < SMALLEST_BLOCK:
        return "small"
    if overall < FLAT:
        return "flat"
    return "packed" if dense >= MOSTLY else "mixed" if dense >= PARTLY else "plain"


def entropy(counts: Mapping[int, int]) -> float:
    """Bits per byte of bytes that occur so often."""
    total = sum(counts.values())
    if not total:
        return 0.0
    return max(0.0, math.log2(total) - sum(count * math.log2(count) for count in counts.values()) / total)


def of_random(count: int) -> float:
    """What `count` random bytes have on average, from SMALLEST_BLOCK on: less than 8, as not all values come equally
    often in a small sample (Miller's correction of 1955)."""
    return 8 - 255 / (2 * max(count, SMALLEST_BLOCK) * math.log(2))


def _slices(start: int, length: int) -> Iterator[tuple[int, int]]:
    """(place, bytes) to look at in a block."""
    if length <= LOOKED_AT:
        yield start, length
        return
    amount = LOOKED_AT // SLICES
    for number in range(SLICES):
        yield start + (length - amount) * number // (SLICES - 1), amount
