"""What the HTTP room can be told; every figure has a reason to be changed."""

from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ApiOptions:
    """Limits of the HTTP API. Sizes in bytes, times in seconds."""

    fetch_limit: int = 1000
    """Most events that one fetch may ask for; more is cut to this."""
    default_deadline: int = 5
    """How long a fetch waits when it does not say."""
    longest_deadline: int = 300
    post_max_bytes: int = 256 * MIB
    """Largest body of a POST of events."""
    bodies_memory_bytes: int = 128 * MIB
    """Memory for bodies on their way. When it is full, all but small ones go to disk."""
    event_max_bytes: int = 3 * MIB
    """Largest single event that the log takes. A body's element of more than twice this is refused unread."""
    body_timeout: float = 60.0
    """A body of which no byte arrives for this long is given up (408)."""
    send_timeout: float = 60.0
    """A reply of which the client takes no byte for this long is given up; its events go to somebody else."""
    hold_seconds: float = 90.0
    """How long another dispatcher has to say what became of a reply that it forwarded; above `send_timeout`."""
    grace_seconds: float = 3.0
    """Slots change hands within a second or so: that is worth a wait even to a poll that does not wait for events."""
    late_seconds: float = 4.0
    """How long after that another dispatcher may take to answer: clients of the original hang up 5 s after their
    deadline."""
    spool_dir: Path | None = None
    """Where large bodies wait on disk; None = the system's folder for temporary files."""
    async_ack: bool = False
    """Answer a POST before its events are durable, unless it says `sync`."""
    access_log: bool = False
    """One log line a request."""
    version: str = ""
    docs: str = "docs/ in the repository"
    """Where a reader of `/` finds the documentation."""
