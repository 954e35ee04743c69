"""What was done to the servers, their log and their clients: the only reasons that the ledger accepts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.e2e.ledger.witness import Delivery, Post

_RECOVERY = 15.0
"""Seconds that a server has to be back at work after its log is."""


class Cut(NamedTuple):
    """Something was dead at `at`, or away from then to `until`, unix seconds; `plugin` is empty for a server."""

    what: str
    plugin: str
    at: float
    until: float = 0.0

    def hits(self, delivery: Delivery, over: float | None) -> bool:
        """Whether a job was under way then that was over, if ever, at `over`. A reply may still reach a client's
        socket although the client is dead, so the time of the request counts."""
        asked = delivery.asked_at <= max(self.at, self.until) and self.plugin in ("", delivery.plugin)
        return asked and (over is None or over > self.at)


class Outage(NamedTuple):
    """The log was away, unix seconds: what was posted then may have been refused with 503, to be sent again."""

    began: float
    ended: float

    def covers(self, at: float) -> bool:
        return self.began - 1 <= at <= self.ended + _RECOVERY


@dataclass
class Faults:
    cuts: list[Cut] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    worker_kills: int = 0
    """So many jobs may end as killed."""
    ageing: frozenset[str] = frozenset()
    """Sources whose events the log forgets before every plugin has seen them."""
    compacted: bool = False
    """Of events with one key only the last one is sure to stay in the log."""

    def excuse(self, post: Post) -> bool:
        unavailable = post.refused.startswith("503") or "the event log is not available" in post.refused
        return unavailable and self.away(post.asked_at)

    def away(self, at: float) -> bool:
        """Whether the log was, or had only just come back."""
        return any(outage.covers(at) for outage in self.outages)

    def in_flight(self, cut: Cut, deliveries: Iterable[tuple[Delivery, float | None]]) -> set[str]:
        """Tokens of jobs that the cut hit; each comes with when it was over."""
        return {delivery.token for delivery, over in deliveries if cut.hits(delivery, over)}
