"""How one job went, before anything of it is uploaded. Worker processes send this to the runner."""

from typing import Final

from msgspec import Struct

from dispatcher_sdk.models import COMPLETED, ERRORS, Feature

RETRY: Final = "retry-later"
"""Not a status of the wire: the lease goes back instead."""
STATUSES: Final = frozenset((*COMPLETED, "opt-out", RETRY, *ERRORS))


class ChildFile(Struct, omit_defaults=True):
    """A file that was found inside the input. `file` is its name in the job's out folder; `size` in bytes."""

    file: str
    sha256: str
    size: int
    relationship: dict[str, str]
    filename: str = ""
    language: str = ""
    features: list[Feature] = []


class StreamFile(Struct, omit_defaults=True):
    """A further stream of the input, such as a report or its text."""

    file: str
    sha256: str
    size: int
    label: str
    language: str = ""


class Outcome(Struct, omit_defaults=True):
    """`status` is one of STATUSES, `runtime` in seconds, `info` a JSON object or empty.

    `unfit` says that the process that ran the job should not run another one.
    """

    status: str
    error: str = ""
    message: str = ""
    runtime: float = 0.0
    features: list[Feature] = []
    children: list[ChildFile] = []
    streams: list[StreamFile] = []
    info: bytes = b""
    retry_after: float = 0.0
    unfit: bool = False

    @property
    def completed(self) -> bool:
        """Whether its results count."""
        return self.status in COMPLETED
