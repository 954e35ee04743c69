"""A set of sha256 digests in one sorted file: looked up where it lies, without reading it into the process.

Layout, in the machine's own byte order: MAGIC, number of digests (u64), length of the note (u64), the note, then how
many digests are below each two-byte prefix (65537 times u32), then the digests in order. The note says what it was
made of.
"""

import mmap
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Final

MAGIC: Final = b"AZKNOWN1"
DIGEST: Final = 32
"""All of it: half of one would fit into less memory, and two files with the same half can be made (2^64 tries)."""
PREFIXES: Final = 1 << 16
LONGEST_NOTE: Final = 64 << 20
_HEAD: Final = struct.Struct("=8sQQ")
_WARM_BYTES: Final = 4 << 20


class BadIndex(ValueError):
    """Not such a file, or not all of it."""


class HashSet:
    """`digest in hashes`. The pages of the file that are needed are the system's to keep or to drop."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, BadIndex. Reads all of the file once, so that look-ups find it in memory."""
        with path.open("rb") as file:
            size = warm(file)
            if size < _HEAD.size:
                raise BadIndex(f"{path} is too short")
            self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        magic, count, note = _HEAD.unpack_from(self._map)
        table = _HEAD.size + note
        self._first = table + (PREFIXES + 1) * 4
        if magic != MAGIC or note > LONGEST_NOTE or size != self._first + count * DIGEST:
            self._map.close()
            raise BadIndex(f"{path} is no index of hashes, or only a part of one")
        self._count: int = count
        self.note = self._map[_HEAD.size : table]
        """What it was made of."""
        self._below = array("I", self._map[table : self._first])

    def __len__(self) -> int:
        return self._count

    def __contains__(self, digest: bytes) -> bool:
        prefix = digest[0] << 8 | digest[1]
        low, high = self._below[prefix], self._below[prefix + 1]
        while low < high:
            middle = (low + high) // 2
            place = self._first + middle * DIGEST
            found = self._map[place : place + DIGEST]
            if found == digest:
                return True
            if found < digest:
                low = middle + 1
            else:
                high = middle
        return False

    def close(self) -> None:
        self._map.close()


def warm(file: BinaryIO) -> int:
    """Read it all, for the system's cache; gives its size."""
    size = 0
    while piece := file.read(_WARM_BYTES):
        size += len(piece)
    return size


def write(file: BinaryIO, note: bytes, sorted_parts: Iterable[list[bytes]]) -> int:
    """Write an index; gives the number of digests. The parts must be in order, and each digest there once."""
    below = array("I", bytes((PREFIXES + 1) * 4))
    file.seek(_HEAD.size + len(note) + len(below) * 4)
    count = 0
    for part in sorted_parts:
        file.write(b"".join(part))
        for prefix, amount in _counted(part):
            below[prefix + 1] = amount
        count += len(part)
    file.seek(0)
    file.write(_HEAD.pack(MAGIC, count, len(note)) + note + array("I", accumulate(below)).tobytes())
    return count


def _counted(digests: list[bytes]) -> Iterator[tuple[int, int]]:
    """(prefix, how many) of digests in order."""
    start = 0
    while start < len(digests):
        prefix = digests[start][:2]
        end = bisect_right(digests, prefix + b"\xff" * DIGEST, start)
        yield int.from_bytes(prefix, "big"), end - start
        start = end
