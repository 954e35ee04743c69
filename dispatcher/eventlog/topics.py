"""Names of topics: `azul.<prefix>.system.<name>` and `azul.<prefix>.<source>.binary.<action>`."""

import re
from typing import Final, NamedTuple

SYSTEM_TOPICS: Final = (
    "insert",
    "delete",
    "retrohunt",
    "expedite",
    "error",
    "plugin",
    "status",
    "download",
    "report",
    "scrape",
    "deadletter",
)
SOURCE_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
"""A source becomes part of a topic and of a path in the store: one safe segment, no leading dot."""


class TopicName(NamedTuple):
    """A parsed name: `system` is set for system topics, `source` and `action` for those of sources."""

    system: str = ""
    source: str = ""
    action: str = ""


class TopicNames:
    """Builds and reads the names of one installation's topics."""

    ROOT: Final = "azul."
    """How the topics of every installation begin."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{self.ROOT}{prefix}."

    def system(self, name: str) -> str:
        return f"{self._prefix}system.{name}"

    def binary(self, source: str, action: str) -> str:
        return f"{self._prefix}{source}.binary.{action}"

    def unprefixed(self, name: str) -> str:
        """The full name of `system.status` or `samples.binary.sourced`."""
        return self._prefix + name

    def parse(self, topic: str) -> TopicName | None:
        """None for a topic of somebody else."""
        if not topic.startswith(self._prefix):
            return None
        rest = topic[len(self._prefix) :]
        source, marker, action = rest.rpartition(".binary.")
        if marker:
            return TopicName(source=source, action=action)
        kind, _, name = rest.partition(".")
        return TopicName(system=name) if kind == "system" else None


def prefix_of(topic: str) -> str:
    """Of which installation a topic is; empty for one of somebody else."""
    if not topic.startswith(TopicNames.ROOT):
        return ""
    prefix = topic.removeprefix(TopicNames.ROOT).partition(".")[0]
    return prefix if TopicNames(prefix).parse(topic) else ""
