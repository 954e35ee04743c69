"""Leases and their tokens.

The token is what a client sees as `dequeued`. It says where the event lies, so any process can read it and a
status can be matched after a restart without a table. The shape keeps what clients of the original expect:
`<kafka_key>.<name>.<version>.` in front and unix seconds as the last piece.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple


@dataclass(slots=True)
class Lease:
    """One event that was handed out and is not finished. Times are unix seconds."""

    attempt: int
    seconds: float
    """How long the client has without a heartbeat."""
    renewed_at: float
    """When it was handed out, or the last heartbeat."""
    due_at: float = 0.0
    """0 while a client works on it; else when it may be handed out again."""
    reason: str = ""
    """Why the last attempt ended."""
    ending: bool = False
    """Given up on: the final status is being published."""

    @property
    def out(self) -> bool:
        return not self.due_at and not self.ending


class Token(NamedTuple):
    """The part of a `dequeued` text that is ours."""

    sid: str
    topic_id: str
    partition: int
    offset: int
    attempt: int
    epoch: int


def topic_id(topic: str) -> str:
    """Short name of a topic inside tokens: 64 bits of its hash."""
    return blake2b(topic.encode(), digest_size=8).hexdigest()


def render_token(token: Token, *, key: str, name: str, version: str, now: float) -> str:
    place = f"{token.sid}-{token.topic_id}-{token.partition}-{token.offset}-{token.attempt}-{token.epoch}"
    return f"{key}.{name}.{version}.{place}.{int(now)}"


def parse_token(text: str) -> Token | None:
    """None for a text that is not one of our tokens (clients of the original make up their own)."""
    pieces = text.rsplit(".", 2)
    if len(pieces) != 3:
        return None
    place = pieces[1].split("-")
    if len(place) != 6:
        return None
    try:
        partition, offset, attempt, epoch = map(int, place[2:])
    except ValueError:
        return None
    if min(partition, offset, attempt, epoch) < 0:
        return None
    return Token(place[0], place[1], partition, offset, attempt, epoch)
