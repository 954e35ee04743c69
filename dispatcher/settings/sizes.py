"""Sizes in bytes as people write them: `3Mi`, `256MiB`, `1.5GB`, `4096`."""

import re
from decimal import Decimal

KI = 1024
MI = 1024**2
GI = 1024**3

_DECIMAL = {"K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4, "P": 1000**5, "E": 1000**6}
_FACTORS = {
    "": 1,
    "B": 1,
    "kB": 1000,
    **_DECIMAL,
    **{letter + "B": factor for letter, factor in _DECIMAL.items() if letter != "K"},
    **{letter + tail: 1024**power for power, letter in enumerate("KMGTPE", 1) for tail in ("i", "iB")},
}
_SHAPE = re.compile(r"(.*\d)(\D*)", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,2})?", re.ASCII)
_LARGEST = 2**63 - 1


def parse_size(value: object) -> int:
    """Bytes from a number or from text with an SI (1000) or IEC (1024) suffix; a fraction of a byte is dropped.

    Raises ValueError that says what to write instead.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return _in_range(Decimal(value), str(value))
    text = str(value)
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise ValueError(f"{text!r} is not a size: write a number with a suffix, such as 3Mi, 256MiB or 1GB")
    number, suffix = shape.groups()
    if suffix not in _FACTORS:
        raise ValueError(f"{text!r} has the unknown suffix {suffix!r}: {_cure(suffix)}")
    return _in_range(_number(number, text) * _FACTORS[suffix], text)


def show_size(size: int) -> str:
    """The shortest exact way to write a size; `parse_size` reads it back."""
    for power, letter in reversed(list(enumerate("KMGTPE", 1))):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{letter}i"
    return str(size)


def _number(number: str, text: str) -> Decimal:
    if not _NUMBER.fullmatch(number):
        raise ValueError(f"{text!r} does not start with a number: write 3Mi or 1.5GB")
    return Decimal(number)


def _in_range(size: Decimal, text: str) -> int:
    if not 0 <= size <= _LARGEST:
        raise ValueError(f"{text} is out of range: a size lies between 0 and 8EiB")
    return int(size)


def _cure(suffix: str) -> str:
    plain = suffix.strip()
    for known in _FACTORS:
        if known and known.lower() == plain.lower():
            both = "kB (1000) or KiB (1024)" if known == "kB" else known
            return f"write {both}, without a space"
    return "use one of B, kB, MB, GB, K, M, G, Ki, Mi, Gi, KiB, MiB, GiB"
