"""What the wire contract says, told once more for the ledger: it must not believe the code that it checks."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

Event = Mapping[str, Any]
"""JSON of an event."""

COMPLETED: Final = frozenset(("completed", "completed-empty", "completed-with-errors"))
FINAL: Final = COMPLETED | frozenset(
    (
        "opt-out",
        "error-exception",
        "error-network",
        "error-runner",
        "error-input",
        "error-output",
        "error-timeout",
        "error-out-of-memory",
    )
)


class Place(NamedTuple):
    """One event for one subscriber: where it lies in the log."""

    subscriber: str
    topic: str
    partition: int
    offset: int


def place_of(token: str) -> tuple[Place, int, float]:
    """(place, attempt, unix seconds of the lease) of a `dequeued` text."""
    _, middle, seconds = token.rsplit(".", 2)
    subscriber, topic, partition, offset, attempt = middle.split("-")[:5]
    return Place(subscriber, topic, int(partition), int(offset)), int(attempt), float(seconds)


def key_of(token: str) -> str:
    """`kafka_key` of the event that a token was given out for."""
    return token.partition(".")[0]


class Identity(NamedTuple):
    """Which event this is, whatever key the server gives it: the whole way of the file to here."""

    model: str
    source: str
    submitted: float
    """Unix seconds; whatever else tells events of the model apart is in `extra`."""
    way: tuple[tuple[str, str, str], ...]
    """(author, action, sha256) of each step."""
    extra: str = ""


def identity(model: str, event: Event) -> Identity:
    if model == "binary":
        source = event["source"]
        way = tuple((node["author"]["name"], node["action"], node["sha256"]) for node in source["path"])
        return Identity(model, source["name"], _seconds(source["timestamp"]), way)
    if model == "status":
        given = event["entity"]["input"]
        said = f"{event['entity']['status']} {given['dequeued']}"
        return Identity(model, event["author"]["name"], _seconds(event["timestamp"]), (), said)
    return Identity(model, event["author"]["name"], _seconds(event["timestamp"]), (), event["entity"]["name"])


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def results_of(status: Event) -> list[Event]:
    """Events that a completed status brings with it."""
    entity = status["entity"]
    return entity.get("results", []) if entity["status"] in COMPLETED else []


class Wants(NamedTuple):
    """What one of the plugins says of itself: the ledger's own idea of which events are for it."""

    name: str
    formats: tuple[str, ...]
    most: int
    own: bool
    """Whether it wants what it wrote itself."""

    def matches(self, event: Event) -> bool:
        streams = event["entity"].get("datastreams", [])
        return (
            event["action"] in ("sourced", "extracted")
            and (self.own or event["author"]["name"] != self.name)
            and len(streams) == 1
            and streams[0]["size"] <= self.most
            and streams[0].get("file_format", "").startswith(self.formats)
        )


URL_FINDER: Final = Wants("url-finder", ("text/", "code/"), 32 * 1024 * 1024, own=False)
UNPACK_ZIP: Final = Wants("unpack-zip", ("archive/zip", "java/jar", "android/apk"), 200 * 1024 * 1024, own=True)
GATED: Final = Wants("gated", ("",), 200 * 1024 * 1024, own=False)


def reader(name: str) -> Wants:
    """A plugin that wants every file."""
    return Wants(name, ("",), 200 * 1024 * 1024, own=False)
