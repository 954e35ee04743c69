"""Which partition a key belongs to: the same one for every producer of a Kafka cluster, ours or the original's."""

_OFFSET_BASIS = 0x811C9DC5
_PRIME = 0x01000193
_MASK = 0xFFFFFFFF
_SIGN = 0x80000000


def fnv1a(key: bytes) -> int:
    """FNV-1a over 32 bits, its magnitude when read as a signed number: what Sarama and librdkafka compute."""
    value = _OFFSET_BASIS
    for byte in key:
        value = ((value ^ byte) * _PRIME) & _MASK
    return _MASK + 1 - value if value & _SIGN else value


def partition_of(key: bytes, partitions: int) -> int:
    """A number in `range(partitions)`."""
    return fnv1a(key) % partitions if partitions > 1 else 0
