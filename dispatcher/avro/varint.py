"""Avro's whole numbers: zigzag varints."""

from mmap import mmap
from typing import Final

from dispatcher_sdk.models import InvalidMessage

Buffer = bytes | memoryview | mmap

VARINT_BYTES: Final = 10


def read_long(data: Buffer, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends. Raises InvalidMessage."""
    value = 0
    for index, byte in enumerate(data[at : at + VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at + index + 1
    raise InvalidMessage("the body ends within a number" if at + VARINT_BYTES > len(data) else "a number is too long")


def long_bytes(value: int) -> bytes:
    """Bytes of a number that is not negative."""
    value <<= 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
