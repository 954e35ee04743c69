"""Bounds of what subscribers may cost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    ready: int = 2_000
    """Events decided and waiting, per lane of one subscriber; past it a subscriber becomes a laggard."""
    leases: int = 10_000
    """Per subscriber."""
    partition_leases: int = 1_000
    """Per subscriber and partition."""
    attempts: int = 3
    """How often an event may be handed out and nothing come back."""
    hand_outs: int = 100
    """How often it may be handed out in all: a plugin may give it back, but not for ever."""
    lease_seconds: float = 1_800.0
    subscribers: int = 5_000
    cursors: int = 500_000
    """Of all subscribers together, before new ones are refused."""
    reply_bytes: int = 16 << 20
    """A reply ends with the event that exceeds this, however many were asked for."""
