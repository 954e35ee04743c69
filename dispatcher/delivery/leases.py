"""Leases and their tokens.

The token is what a client sees as `dequeued`. It says where the event lies, so any process can read it and a
status can be matched after a restart without a table. The shape keeps what clients of the original expect:
`<kafka_key>.<name>.<version>.` in front and unix seconds as the last piece.

Statuses with tokens come from everywhere: backups that are restored, tools that copy events, other installations
with the same plugins. So each token is sealed with a secret of its subscriber, and only what was really
handed out to it can be finished or given back.
"""

import secrets
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple


@dataclass(slots=True)
class Lease:
    """One event that was handed out and is not finished. Times are unix seconds."""

    attempt: int
    """How often it was handed out."""
    seconds: float
    """How long the client has without a heartbeat."""
    renewed_at: float
    """When it was handed out, or the last heartbeat."""
    due_at: float = 0.0
    """0 while a client works on it; else when it may be handed out again."""
    failed: int = 0
    """How many attempts ended without anything said; a client that gave it back has not failed."""
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

    def seal(self, secret: str) -> str:
        """16 hex digits that only who knows the subscriber's secret can compute."""
        return blake2b(self.place.encode(), key=secret.encode(), digest_size=8).hexdigest()

    @property
    def place(self) -> str:
        return f"{self.sid}-{self.topic_id}-{self.partition}-{self.offset}-{self.attempt}-{self.epoch}"


def new_secret() -> str:
    return secrets.token_hex(16)


def topic_id(topic: str) -> str:
    """Short name of a topic inside tokens: 64 bits of its hash."""
    return blake2b(topic.encode(), digest_size=8).hexdigest()


def render_token(token: Token, secret: str, *, key: str, name: str, version: str, now: float) -> str:
    return f"{key}.{name}.{version}.{token.place}-{token.seal(secret)}.{int(now)}"


def parse_token(text: str) -> tuple[Token, str] | None:
    """The token and its seal; None for a text that is not one of ours (clients of the original make up their own)."""
    pieces = text.rsplit(".", 2)
    if len(pieces) != 3:
        return None
    place = pieces[1].split("-")
    if len(place) != 7 or not all(map(_is_number, place[2:6])):
        return None
    partition, offset, attempt, epoch = map(int, place[2:6])
    return Token(place[0], place[1], partition, offset, attempt, epoch), place[6]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
