"""From a decoded event to records for the log: every step of wire contract 4.1, in order."""

from collections.abc import Callable
from typing import Final

from dispatcher_sdk.models import MODEL_NAMES, AnyEvent, BinaryEvent, InsertEvent, InvalidMessage, StatusEvent, encode
from dispatcher_sdk.models.shapes import Source

from dispatcher.eventlog.base import Append
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import header_of, pack
from dispatcher.metrics import Metrics
from dispatcher.publish.children import ChildMaker, Inserts
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.enrich import Enrichment
from dispatcher.publish.first_use import FirstUse, check_source_name
from dispatcher.publish.keys import kafka_key
from dispatcher.publish.outcome import Drop, Refused, Unit, UnlistedSource
from dispatcher.publish.results import take_results
from dispatcher.publish.source_settings import remove_spent_settings
from dispatcher.publish.sources import Sources
from dispatcher.publish.tracking import set_tracking

RESULTS: Final = "ProduceStatusResults"


class Pipeline:
    """Prepares one valid event at a time; writes nothing."""

    def __init__(
        self,
        *,
        names: TopicNames,
        sources: Sources,
        deletions: Deletions,
        inserts: Inserts,
        children: ChildMaker,
        enrichment: Enrichment,
        first_use: FirstUse,
        metrics: Metrics,
        message_max_bytes: int,
        clock: Callable[[], float],
        key: Callable[[AnyEvent], str] = kafka_key,
    ) -> None:
        self._names = names
        self._sources = sources
        self._deletions = deletions
        self._inserts = inserts
        self._children = children
        self._enrichment = enrichment
        self._first_use = first_use
        self._metrics = metrics
        self._max_bytes = message_max_bytes
        self._clock = clock
        self._key = key

    async def prepare(self, event: AnyEvent) -> Unit | Drop:
        """Records of a client's event, in place. Raises Refused, LogUnavailable (its topic cannot be made now)."""
        if not self._enrichment.empty:
            event = await self._enrichment.run(event)
        if self._sources.ageing and self._aged_off(event):
            return Drop.AGED_OFF
        if isinstance(event, BinaryEvent):
            if self._sources.refuses(event.source.name):
                raise UnlistedSource(
                    f"source {event.source.name[:64]!r} is not in DISPATCHER_SOURCES_HELM: add it there"
                )
            return await self._binary(event)
        if isinstance(event, StatusEvent):
            return await self._status(event)
        if isinstance(event, InsertEvent) and self._inserts.full:
            raise Refused("there are so many inserts already that the server takes no more")
        self._name(event)
        if self._purges(event):
            return Drop.DELETED
        return Unit(event, await self._append(event))

    async def _binary(self, event: BinaryEvent) -> Unit | Drop:
        if event.flags.expedite or event.flags.retry:  # else its topic shows that the name is good
            check_source_name(event.source.name)
        event.dequeued = ""
        self._name(event)
        if self._purges(event):
            return Drop.DELETED
        children = await self._with_names(event) if not self._inserts.empty else []
        remove_spent_settings(event)
        own = await self._append(event)
        return Unit(event, own, await self._append_all(children) if children else ())

    async def _status(self, event: StatusEvent) -> Unit:
        """Never dropped for what was deleted: the job it ends must end."""
        self._name(event)
        results = take_results(event)
        if not results:
            return Unit(event, await self._append(event))
        try:
            extra = await self._results(results)
            return Unit(event, await self._append(event), extra)
        except BaseException:
            event.entity.results = results
            raise

    async def _results(self, results: list[BinaryEvent]) -> list[Append]:
        extra: list[Append] = []
        for index, result in enumerate(results):
            try:
                unit = await self._result(result)
            except Refused as wrong:
                raise Refused(f"entity.results[{index}]: {wrong}") from None
            if isinstance(unit, Unit):
                extra += (unit.own, *unit.extra)
            else:
                self._metrics.produce_removed.labels(unit.value).inc()
        self._metrics.produce_added.labels(RESULTS).inc(len(results))
        return extra

    async def _result(self, result: BinaryEvent) -> Unit | Drop:
        if not self._enrichment.empty:
            enriched = await self._enrichment.run(result)
            assert isinstance(enriched, BinaryEvent)
            result = enriched
        return await self._binary(result)

    async def _with_names(self, parent: BinaryEvent) -> list[BinaryEvent]:
        """Children that are not deleted, keyed while the parent's times are as the client sent them."""
        children = await self._children.children(parent)
        for child in children:
            self._name(child)
        return [child for child in children if not self._purges(child)]

    async def _append_all(self, children: list[BinaryEvent]) -> list[Append]:
        """A child that cannot be written is left out; its parent goes on."""
        extra = []
        for child in children:
            remove_spent_settings(child)
            try:
                extra.append(await self._append(child))
            except Refused as wrong:
                self._children.failed("child %.64r is left out: %s", child.entity.sha256, wrong)
        return extra

    def _name(self, event: AnyEvent) -> None:
        event.kafka_key = self._key(event)
        set_tracking(event)

    def _purges(self, event: AnyEvent) -> bool:
        return not self._deletions.empty and self._deletions.purges(event)

    def _aged_off(self, event: AnyEvent) -> bool:
        source = _source(event)
        if source is None or self._sources.expiry_seconds(source.name) is None:
            return False
        return self._sources.aged_off(source.name, source.timestamp.timestamp(), self._clock())

    async def _append(self, event: AnyEvent) -> Append:
        topic = topic_of(event, self._names)
        tag = pack(header_of(event))
        try:
            value = encode(event)
        except InvalidMessage as wrong:
            raise Refused(str(wrong)) from None
        if len(value) > self._max_bytes:
            raise Refused(f"the event has {len(value)} bytes; at most {self._max_bytes} are accepted")
        if topic not in self._first_use.existing:
            await self._first_use.make(topic)
        return Append(topic, event.kafka_key.encode(), value, tag)


def topic_of(event: AnyEvent, names: TopicNames) -> str:
    """Expedited events have one topic of their own, so do retried ones; others go by source and action."""
    if isinstance(event, BinaryEvent):
        if event.flags.expedite:
            return names.system("expedite")
        if event.flags.retry:
            return names.system("error")
        return names.binary(event.source.name, event.action)
    return names.system(MODEL_NAMES[type(event)])


def _source(event: AnyEvent) -> Source | None:
    if isinstance(event, BinaryEvent):
        return event.source
    return event.entity.input.source if isinstance(event, StatusEvent) else None
