"""A header filter that is written as data: no code of its own, checked when it is made."""

from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Final

from dispatcher.hooks.header import Header
from dispatcher.hooks.types import Subscription

Globs = tuple[str, ...]
DEEPEST: Final = 63


@dataclass(frozen=True)
class MatchRule:
    """Keeps events from subscribers when everything that is given matches; what is left out matches all.

    Texts are globs (`crawler-*`), of which one has to match. Its verdict is remembered per distinct header, so it
    costs nothing per event. Raises ValueError when nothing is given: it would keep everything from everybody.
    """

    name: str
    reason: str = "matched"
    """What clients see in info.filters, behind the name."""
    plugins: Globs = ()
    """Names of subscribers."""
    sources: Globs = ()
    actions: Globs = ()
    authors: Globs = ()
    """Who published the event."""
    formats: Globs = ()
    """File formats of any of its streams, such as `executable/*`."""
    markings: Globs = ()
    """Security markings; an event without one has the empty text."""
    deeper_than: int | None = None
    """Steps in the event's path, up to 63: what is deeper looks all alike to filters over the header."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name not in ("name", "reason", "deeper_than") and isinstance(value, str):
                raise ValueError(f"{self.name}: {entry.name} must be a tuple of texts: write ({value!r},)")
        if self.deeper_than is not None and not 0 <= self.deeper_than <= DEEPEST:
            raise ValueError(f"{self.name}: deeper_than must be 0 to {DEEPEST}")
        conditions = (self.plugins, self.sources, self.actions, self.authors, self.formats, self.markings)
        if not any(conditions) and self.deeper_than is None:
            raise ValueError(f"{self.name}: give at least one condition, or it keeps everything from everybody")

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        matches = (
            _one(self.plugins, subscription.name)
            and _one(self.sources, header.source)
            and _one(self.actions, header.action)
            and _one(self.authors, header.author)
            and _one(self.markings, header.security)
            and (not self.formats or any(_one(self.formats, stream.file_format) for stream in header.streams))
            and (self.deeper_than is None or header.depth > self.deeper_than)
        )
        return self.reason if matches else None


def _one(globs: Globs, text: str) -> bool:
    return not globs or any(fnmatchcase(text, glob) for glob in globs)
