"""Rules that a decoded event must keep before it is published (wire contract 3.3)."""

from dispatcher_sdk.models.events import (
    AnyEvent,
    BinaryEvent,
    DownloadEvent,
    InsertEvent,
    StatusEvent,
)
from dispatcher_sdk.models.shapes import ACTIONS, DOWNLOAD_ACTIONS, LABELS, Datastream, PathNode, Source


def problem(event: AnyEvent) -> str | None:
    """What is wrong with the event, in words that say what to change; None when it may be published."""
    if not event.author.name:
        return "author.name is empty: say who wrote the event"
    match event:
        case BinaryEvent():
            return binary_problem(event)
        case StatusEvent():
            return _status_problem(event)
        case DownloadEvent():
            return _download_problem(event)
        case InsertEvent():
            return _insert_problem(event)
    return None


def binary_problem(event: BinaryEvent) -> str | None:
    """As `problem`, for a binary event or a result inside a status."""
    if event.action not in ACTIONS:
        return f"action {event.action[:64]!r} is not one of {', '.join(ACTIONS)}"
    if not event.source.path:
        return "source.path is empty: it needs at least the node of this event"
    return (
        _source_problem(event.source)
        or _enriched_inside(event.source.path)
        or _labels_problem(event.entity.datastreams)
        or _streams_problem(event.action, event.entity.datastreams)
    )


def _status_problem(event: StatusEvent) -> str | None:
    if not event.entity.input.dequeued:
        return "entity.input.dequeued is empty: copy it from the event that was fetched"
    for index, result in enumerate(event.entity.results):
        if not result.author.name:
            return f"entity.results[{index}].author.name is empty"
        wrong = binary_problem(result)
        if wrong:
            return f"entity.results[{index}]: {wrong}"
    return None


def _download_problem(event: DownloadEvent) -> str | None:
    if event.action not in DOWNLOAD_ACTIONS:
        return f"action {event.action[:64]!r} is not one of {', '.join(DOWNLOAD_ACTIONS)}"
    return _source_problem(event.source)


def _insert_problem(event: InsertEvent) -> str | None:
    history = event.entity.child_history
    if not event.entity.parent_sha256:
        return "entity.parent_sha256 is empty"
    if not history.action:  # its value is judged with the child that it makes
        return "entity.child_history.action is empty"
    return _identity_problem("entity.child_history", history) or _labels_problem(event.entity.child.datastreams)


def _source_problem(source: Source) -> str | None:
    if not source.name:
        return "source.name is empty"
    for index, node in enumerate(source.path):
        wrong = _node_problem(f"source.path[{index}]", node)
        if wrong:
            return wrong
    return None


def _node_problem(where: str, node: PathNode) -> str | None:
    if node.action not in ACTIONS:
        return f"{where}.action {node.action[:64]!r} is not one of {', '.join(ACTIONS)}"
    return _identity_problem(where, node)


def _identity_problem(where: str, node: PathNode) -> str | None:
    if not node.sha256:
        return f"{where}.sha256 is empty"
    if not node.author.name:
        return f"{where}.author.name is empty"
    return None


def _enriched_inside(path: list[PathNode]) -> str | None:
    for index, node in enumerate(path[:-1]):
        if node.action == "enriched":
            return f"source.path[{index}] is enriched: only the last node may be"
    return None


def _labels_problem(streams: list[Datastream]) -> str | None:
    for index, stream in enumerate(streams):
        if stream.label not in LABELS:
            return f"datastreams[{index}].label {stream.label[:64]!r} is not known"
    return None


def _streams_problem(action: str, streams: list[Datastream]) -> str | None:
    labels = {stream.label for stream in streams}
    if action == "enriched" and streams:
        return "an enriched event carries no datastreams"
    if action == "mapped" and "content" in labels:
        return "a mapped event carries no content stream"
    if action in ("sourced", "extracted", "augmented") and "content" not in labels:
        return f"{'an' if action[0] in 'ea' else 'a'} {action} event needs a content stream"
    if action == "augmented" and len(labels) < 2:
        return "an augmented event needs a stream besides content"
    return None
