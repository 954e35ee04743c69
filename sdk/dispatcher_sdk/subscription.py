"""What a plugin wants to see, as the query of a fetch."""

import re
from collections.abc import Sequence
from typing import Final

from dispatcher_sdk.errors import DefinitionError
from dispatcher_sdk.limits import CONTENT_BYTES
from dispatcher_sdk.models import ACTIONS

_FORMAT: Final = re.compile(r"[A-Za-z0-9_.+#/-]{1,200}")


class Subscription:
    """Files by format, action and size (bytes, both ends included). Raises DefinitionError.

    `accepts` are prefixes of `file_format`; a `*` may stand at the end only and changes nothing, so `text/*`
    and `text/` are the same. None, or `*` alone, means every format. `include_self` adds the events that the
    plugin wrote itself: an unpacker needs them to open an archive inside an archive.
    """

    __slots__ = ("actions", "formats", "include_self", "max_size", "min_size")

    def __init__(
        self,
        accepts: Sequence[str] = (),
        actions: Sequence[str] = (),
        min_size: int = 0,
        max_size: int = CONTENT_BYTES,
        include_self: bool = False,
    ) -> None:
        self.formats = _prefixes(accepts)
        self.actions = _known_actions(actions)
        self.include_self = include_self
        if not 0 <= min_size <= max_size or max_size < 1:
            raise DefinitionError(
                f"min_size={min_size} and max_size={max_size} leave no file: give 0 <= min <= max, in bytes"
            )
        self.min_size = min_size
        self.max_size = max_size

    def query(self) -> list[tuple[str, str]]:
        """Query parameters besides name, version and count. Without `actions`: files as they were found."""
        query = [("r-expedite", "true"), ("r-live", "true"), ("r-historic", "true")]
        query += [("r-action", action) for action in self.actions] or [("r-content", "true")]
        query.append(("r-streams", ",".join(("content", *self.formats))))
        query.append(("r-under-content-size", str(self.max_size)))
        if self.min_size:
            query.append(("r-over-content-size", str(self.min_size)))
        if not self.include_self:
            query.append(("d-self", "true"))
        return query


def _prefixes(accepts: Sequence[str]) -> tuple[str, ...]:
    if isinstance(accepts, str):
        raise DefinitionError(f"accepts={accepts!r} is one text: write accepts=[{accepts!r}]")
    prefixes = tuple(_prefix(pattern) for pattern in accepts)
    return () if "" in prefixes else prefixes


def _prefix(pattern: str) -> str:
    prefix = pattern.removesuffix("*") if isinstance(pattern, str) else None
    if prefix is None or (prefix and not _FORMAT.fullmatch(prefix)) or not pattern:
        raise DefinitionError(
            f"accepts has {pattern!r}: give prefixes of file formats, such as 'text/*', 'archive/zip' or '*' for all"
        )
    return prefix


def _known_actions(actions: Sequence[str]) -> tuple[str, ...]:
    if isinstance(actions, str):
        raise DefinitionError(f"actions={actions!r} is one text: write actions=[{actions!r}]")
    for action in actions:
        if action not in ACTIONS:
            raise DefinitionError(f"actions has {action!r}, which is not one of {', '.join(ACTIONS)}")
    return tuple(actions)
