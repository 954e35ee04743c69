"""Tracking fields: the names under which an event can be deleted later (wire contract 3.6)."""

from datetime import UTC, datetime, timedelta
from hashlib import md5

from dispatcher_sdk.models import AnyEvent, Author, BinaryEvent, InsertEvent, PathNode, Source

_MINUTE = timedelta(minutes=1)
_LAYOUT = "%04d_%02d_%02dT%02d_%02d_%02d"


def set_tracking(event: AnyEvent) -> None:
    """Compute the fields of a binary or insert event, over whatever a client sent. Before times turn to UTC."""
    if isinstance(event, BinaryEvent):
        source = event.source
        event.track_source_references = source_references(source)
        event.track_authors = [author(node.author) for node in source.path]
        event.track_links = links(source.path, event.track_authors)
    elif isinstance(event, InsertEvent):
        history = event.entity.child_history
        event.track_author = author(history.author)
        event.track_link = link(event.entity.parent_sha256, history, event.track_author)


def source_references(source: Source) -> str:
    """`<source>.<md5 of its references>`: one submission's name. Sorted by key, unlike in `kafka_key`."""
    text = "".join([f"{key}.{value}." for key, value in sorted(source.references.items())])
    return f"{source.name}.{md5(text.encode(), usedforsecurity=False).hexdigest()}"


def author(who: Author) -> str:
    return f"{who.category}.{who.name}.{who.version}"


def links(path: list[PathNode], authors: list[str]) -> list[str]:
    """One per step: `<parent sha256>.<sha256>.<time>.<author>`; steps that stay on one file count too."""
    return [link(path[i - 1].sha256, path[i], authors[i]) for i in range(1, len(path))]


def link(parent_sha256: str, node: PathNode, who: str) -> str:
    return f"{parent_sha256}.{node.sha256}.{moment(node.timestamp)}.{who}"


def moment(when: datetime) -> str:
    """`2021_03_29T03_24_08Z_00`: whole hours of the offset, then a literal `_00` (half hours are lost)."""
    text = _LAYOUT % (when.year, when.month, when.day, when.hour, when.minute, when.second)
    return f"{text}Z_00" if when.tzinfo is UTC else f"{text}{_zone(when)}_00"


def _zone(when: datetime) -> str:
    minutes = (when.utcoffset() or timedelta()) // _MINUTE
    if not minutes:
        return "Z"
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}"
