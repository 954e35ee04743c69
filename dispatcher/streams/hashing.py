"""The four hashes of an upload, computed in one pass while its bytes arrive."""

import hashlib
from collections.abc import Iterable

ALGORITHMS = ("md5", "sha1", "sha256", "sha512")


class Hasher:
    """Feeds every block to all algorithms. Blocks above 2 KiB are hashed without holding the GIL."""

    def __init__(self, algorithms: Iterable[str] = ALGORITHMS) -> None:
        self._states = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self.size = 0
        """Bytes seen so far."""

    def update(self, block: bytes | bytearray | memoryview) -> None:
        self.size += len(block)
        for state in self._states.values():
            state.update(block)

    def digests(self) -> dict[str, str]:
        """Algorithm to lower case hex."""
        return {name: state.hexdigest() for name, state in self._states.items()}
