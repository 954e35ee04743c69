"""Bounds of one subscriber."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    ready: int = 2_000
    """Events decided and waiting; past it a subscriber becomes a laggard."""
    leases: int = 10_000
    partition_leases: int = 1_000
    attempts: int = 3
    lease_seconds: float = 1_800.0
