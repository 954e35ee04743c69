"""Topics of sources that nobody listed are made when their first event comes, up to a bound."""

import asyncio
from typing import Final

from dispatcher.eventlog.base import EventLog, LogUnavailable, TopicRefused
from dispatcher.eventlog.topics import SOURCE_NAME, TopicNames
from dispatcher.publish.outcome import Refused
from dispatcher.publish.sources import Sources
from dispatcher.publish.topics import TopicPlan, unlisted_sources

MAX_UNLISTED: Final = 256
"""Sources, each of five topics. Topics are for ever, so what clients may invent has an end."""


class FirstUse:
    """Knows which topics exist, and makes those of a new source."""

    def __init__(
        self, log: EventLog, names: TopicNames, plan: TopicPlan, sources: Sources, max_unlisted: int = MAX_UNLISTED
    ) -> None:
        self._log = log
        self._names = names
        self._plan = plan
        self._sources = sources
        self._max_unlisted = max_unlisted
        self._making = asyncio.Lock()
        self._unlisted: set[str] = set()
        self.existing: frozenset[str] = frozenset()

    async def make(self, topic: str) -> None:
        """Make the topic, and the others of its source. Raises Refused, LogUnavailable."""
        name = self._names.parse(topic)
        source = name.source if name else ""
        if source:
            check_source_name(source)
        async with self._making:
            self._look()
            if topic in self.existing:
                return
            self._check_room(source)
            try:
                await self._log.ensure_topics(self._plan.for_source(source) if source else self._plan.at_start())
            except TopicRefused as why:
                raise Refused(f"source.name {source!r} cannot be used: {why}") from None
            self._look()
            if topic not in self.existing:
                raise LogUnavailable(f"topic {topic} is not there yet")

    def _look(self) -> None:
        topics = self._log.topics()
        if topics.keys() != self.existing:
            self.existing = frozenset(topics)
            self._unlisted = unlisted_sources(topics, self._names, self._sources)

    def _check_room(self, source: str) -> None:
        if not source or source in self._unlisted or self._sources.known(source):
            return
        if len(self._unlisted) >= self._max_unlisted:
            raise Refused(
                f"source.name {source!r} is new, and there are already {len(self._unlisted)} sources that "
                "DISPATCHER_SOURCES_HELM does not list: add it there"
            )


def check_source_name(source: str) -> None:
    """Raises Refused when the name cannot be part of a topic and of a path in the store."""
    if not SOURCE_NAME.fullmatch(source):
        raise Refused(
            f"source.name {source[:64]!r} is not usable: letters, digits, '.', '_' and '-', "
            "at most 128, and no '.' in front"
        )
