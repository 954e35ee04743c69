"""From a finished job to the one status event that says so (wire contract, section 3)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET

from dispatcher_sdk import limits
from dispatcher_sdk.models import (
    MODEL_VERSION,
    Author,
    BinaryEntity,
    BinaryEvent,
    Datastream,
    PathNode,
    Source,
    StatusEntity,
    StatusEvent,
    encode,
)
from dispatcher_sdk.outcome import ChildFile, Outcome
from dispatcher_sdk.text import clean

_KEY: Final = "set-by-the-dispatcher"

Stored = Mapping[str, Datastream]
"""Metadata of uploaded results by their name in the job's out folder."""


def status_event(
    event: BinaryEvent, author: Author, outcome: Outcome, stored: Stored, *, now: datetime | None = None
) -> StatusEvent:
    """The final status of `event`, its results embedded when the job completed.

    `stored` must name every child and stream of a completed outcome. Results that would make the status larger
    than limits.STATUS_BYTES are left out from the end (children last found first), and the status says so.
    """
    moment = now or datetime.now(UTC)
    results = results_of(event, author, outcome, stored, moment) if outcome.completed else []
    status = bare_status(event, author, outcome.status, outcome.error, outcome.message, outcome.runtime, now=moment)
    status.entity.results = results
    return _fitted(status)


def bare_status(
    event: BinaryEvent,
    author: Author,
    status: str,
    error: str = "",
    message: str = "",
    runtime: float = 0.0,
    *,
    now: datetime | None = None,
) -> StatusEvent:
    """A status without results: a heartbeat, an opt-out, an error."""
    return StatusEvent(
        model_version=MODEL_VERSION,
        kafka_key=_KEY,
        timestamp=now or datetime.now(UTC),
        author=author,
        entity=StatusEntity(
            input=_input_of(event),
            status=status,
            runtime=runtime,
            error=clean(error, limits.TEXT_CHARACTERS),
            message=clean(message, limits.MESSAGE_CHARACTERS),
        ),
    )


def results_of(
    event: BinaryEvent, author: Author, outcome: Outcome, stored: Stored, now: datetime
) -> list[BinaryEvent]:
    """One enriched or augmented event for the input if anything was found of it, then one for each child."""
    results = []
    if outcome.features or outcome.info or outcome.streams:
        results.append(_of_input(event, author, outcome, stored, now))
    results += [_of_child(event, author, child, stored[child.file], now) for child in outcome.children]
    return results


def _input_of(event: BinaryEvent) -> BinaryEvent:
    """The event without what makes it large; its lease token `dequeued` stays."""
    entity = msgspec.structs.replace(event.entity, features=[], datastreams=[], info=UNSET)
    return msgspec.structs.replace(event, entity=entity)


def _of_input(event: BinaryEvent, author: Author, outcome: Outcome, stored: Stored, now: datetime) -> BinaryEvent:
    action, streams = "enriched", []
    if outcome.streams:
        action = "augmented"
        streams = [_content_of(event)]
        for stream in outcome.streams:
            streams.append(msgspec.structs.replace(stored[stream.file], label=stream.label, language=stream.language))
    entity = msgspec.structs.replace(
        event.entity,
        features=outcome.features,
        datastreams=streams,
        info=msgspec.Raw(outcome.info) if outcome.info else UNSET,
    )
    node = PathNode(author=author, action=action, sha256=event.entity.sha256, timestamp=now)
    return _event(event.source, node, author, entity, now)


def _content_of(event: BinaryEvent) -> Datastream:
    """An augmented event names its content stream, also when the input event came without its streams."""
    for stream in event.entity.datastreams:
        if stream.label == "content":
            return stream
    entity = event.entity
    return Datastream(
        label="content",
        size=entity.size,
        sha512=entity.sha512,
        sha256=entity.sha256,
        sha1=entity.sha1,
        md5=entity.md5,
        mime=entity.mime,
        magic=entity.magic,
        file_format=entity.file_format,
        file_extension=entity.file_extension,
    )


def _of_child(event: BinaryEvent, author: Author, child: ChildFile, content: Datastream, now: datetime) -> BinaryEvent:
    node = PathNode(
        author=author,
        action="extracted",
        sha256=content.sha256,
        relationship=child.relationship,
        timestamp=now,
        file_format=content.file_format,
        size=content.size,
        filename=child.filename,
        language=child.language,
    )
    entity = BinaryEntity(
        sha256=content.sha256,
        sha512=content.sha512,
        sha1=content.sha1,
        md5=content.md5,
        ssdeep=content.ssdeep,
        tlsh=content.tlsh,
        size=content.size,
        mime=content.mime,
        magic=content.magic,
        file_format=content.file_format,
        file_extension=content.file_extension,
        features=child.features,
        datastreams=[msgspec.structs.replace(content, label="content", language=child.language)],
    )
    return _event(event.source, node, author, entity, now)


def _event(source: Source, node: PathNode, author: Author, entity: BinaryEntity, now: datetime) -> BinaryEvent:
    return BinaryEvent(
        model_version=MODEL_VERSION,
        kafka_key=_KEY,
        timestamp=now,
        author=author,
        source=msgspec.structs.replace(source, path=[*_steps(source.path), node]),
        entity=entity,
        action=node.action,
    )


def _steps(path: list[PathNode]) -> list[PathNode]:
    """Only the last node of a path may be enriched: what was said of a file is no step on the way to the next."""
    return path[:-1] if path and path[-1].action == "enriched" else path


def _fitted(status: StatusEvent) -> StatusEvent:
    """Itself, or with so many results as its size allows."""
    if len(encode(status)) <= limits.STATUS_BYTES:
        return status
    results, entity = status.entity.results, status.entity
    entity.results = []
    room = limits.STATUS_BYTES - len(encode(status)) - limits.MESSAGE_CHARACTERS
    for result in results:
        room -= len(encode(result)) + 1
        if room < 0:
            break
        entity.results.append(result)
    left_out = len(results) - len(entity.results)
    note = f"{left_out} of {len(results)} results were left out: one status may have {limits.STATUS_BYTES} bytes"
    if entity.results:
        entity.status = "completed-with-errors"
    else:
        entity.status = "error-output"
    entity.error = entity.error or note
    entity.message = clean(f"{note}\n{entity.message}".strip(), limits.MESSAGE_CHARACTERS)
    return status
