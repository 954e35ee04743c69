"""Similarity hashes: ssdeep and TLSH. Each is left out where it would say nothing."""

from collections.abc import Mapping
from typing import Any

SSDEEP_MIN_BYTES = 4096
TLSH_MIN_BYTES = 51
_BLOCK = 1 << 20


def ssdeep(path: str, known: Mapping[str, Any]) -> dict[str, str]:
    """Files from 4096 bytes on."""
    if known["size"] < SSDEEP_MIN_BYTES:
        return {}
    import ssdeep

    new: Any = ssdeep.Hash  # its own annotations are incomplete
    state = new()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return {"ssdeep": state.digest()}


def tlsh(path: str, known: Mapping[str, Any]) -> dict[str, str]:
    """Files above 50 bytes with enough variety for a digest; "T1" and 70 lower case hex digits."""
    if known["size"] < TLSH_MIN_BYTES:
        return {}
    import tlsh

    state: Any = tlsh.Tlsh()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            state.update(block)
    try:
        state.final()
        digest = state.hexdigest()
    except ValueError:  # too little variety
        return {}
    return {"tlsh": "T1" + digest[-70:].lower()} if len(digest) >= 70 else {}
