"""Rules over the header: which subscriber wants which event (wire contract 4.2).

Their verdicts are remembered per distinct header, so they look at nothing else. A size is only ever
compared with the subscriber's own bounds: it may be any representative of a class of sizes that all
subscribers' bounds treat alike.
"""

from collections.abc import Callable, Sequence
from typing import Final

from dispatcher.hooks.header import Header, StreamHeader
from dispatcher.hooks.types import ANY_LABEL, HeaderFilter, StreamWant, Subscription

CONTENT: Final = "content"
DEEPEST_PASSIVE: Final = 11
DEEPEST_TASK: Final = 10
"""A runner gives up at this depth by itself; the original draws the line for others one node later."""


def first_rejection(filters: Sequence[HeaderFilter], header: Header, subscription: Subscription) -> str | None:
    """None when all filters let the event pass, else `<filter>-<reason>` of the first that does not."""
    for rule in filters:
        reason = rule.reject(header, subscription)
        if reason is not None:
            return f"{rule.name}-{reason}"
    return None


class FilterTooDeep:
    """Keeps plugins that unpack what they unpacked from running for ever."""

    name = "FilterTooDeep"

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        if subscription.model != "binary":
            return None
        deepest = DEEPEST_TASK if subscription.task else DEEPEST_PASSIVE
        return "too_deep" if header.depth > deepest else None


def same_marking(max_security: str, marking: str) -> bool:
    """The order of markings is an organisation's own; without it only the same marking is surely allowed."""
    return marking == max_security


class FilterSecurity:
    """Keeps marked events from a subscriber that says how much it may see (`max-security`).

    may_see(max_security, marking) knows the order of markings. It fails closed: without one only the same
    marking passes, and one that raises has said no.
    """

    name = "FilterSecurity"

    def __init__(self, may_see: Callable[[str, str], bool] = same_marking) -> None:
        self._may_see = may_see

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        limit = subscription.max_security
        if not limit or not header.security or subscription.model not in ("binary", "download"):
            return None
        return None if self._allows(limit, header.security) else "max_security"

    def _allows(self, limit: str, marking: str) -> bool:
        try:
            return self._may_see(limit, marking) is True
        except Exception:
            return False


class FilterConsumerRules:
    """What a subscriber asked for by source, action, author, and the streams of a binary event."""

    name = "FilterConsumerRules"

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        model = subscription.model
        if model == "binary":
            return _origin(header, subscription) or _content(header.streams, subscription)
        if model == "status":  # its header is that of the event it is about
            return _origin(header, subscription)
        return None


def _origin(header: Header, subscription: Subscription) -> str | None:
    if subscription.sources and header.source not in subscription.sources:
        return "reject_source"
    if subscription.actions and header.action not in subscription.actions:
        return "reject_event_type"
    if header.action in subscription.deny_actions:
        return "reject_event_type"
    if subscription.deny_self and header.author == subscription.name:
        return "reject_self"
    return None


def _content(streams: tuple[StreamHeader, ...], subscription: Subscription) -> str | None:
    under, over, wants = subscription.under_size, subscription.over_size, subscription.streams
    needs_content = under > 0 or over > 0 or subscription.require_content
    if not needs_content and not wants:
        return None
    has_content = False
    for label, file_format, size in streams:
        if label == CONTENT:
            has_content = True
            if 0 < under < size:
                return "reject_content_too_large"
            if size < over:
                return "reject_content_too_small"
        reason = _unwanted(label, file_format, wants) if wants else None
        if reason is not None:
            return reason
    if len(wants) > 1 and len(streams) < _streams_needed(wants):
        return "reject_stream"
    return "reject_no_content" if needs_content and not has_content else None


def _streams_needed(wants: tuple[StreamWant, ...]) -> int:
    """As many as labels are asked for; but who asks for one label also takes events without any stream."""
    labels = len({want.label for want in wants})
    return labels if labels > 1 else 0


def _unwanted(label: str, file_format: str, wants: tuple[StreamWant, ...]) -> str | None:
    """A named label is judged by its own formats, not by those of `*`; the last of two equal labels counts."""
    chosen: StreamWant | None = None
    for want in wants:
        if want.label == label or (want.label == ANY_LABEL and (chosen is None or chosen.label == ANY_LABEL)):
            chosen = want
    if chosen is None:
        return "reject_stream"
    if chosen.formats and not file_format.startswith(chosen.formats):
        return "reject_file_format"
    return None
