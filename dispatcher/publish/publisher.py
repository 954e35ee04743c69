"""The one way into the log: clients' events, results, children, and what the server itself has to say."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from dispatcher_sdk.models import MODELS, AnyEvent, problem

from dispatcher.errors import Unavailable
from dispatcher.eventlog.base import EventLog, LogUnavailable, RecordTooLarge
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.types import EventEnricher, Notify
from dispatcher.metrics import BoundedLabels, Metrics
from dispatcher.publish.accounts import Accounts
from dispatcher.publish.children import ChildMaker, CopyStream, Inserts
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.early_ack import EarlyAck
from dispatcher.publish.enrich import Enrichment
from dispatcher.publish.first_use import FirstUse
from dispatcher.publish.keys import kafka_key
from dispatcher.publish.outcome import UNAVAILABLE, Drop, Fate, Outcome, Refused, Unit, UnlistedSource, failed
from dispatcher.publish.pipeline import Pipeline
from dispatcher.publish.sources import Sources
from dispatcher.publish.topics import TopicPlan
from dispatcher.publish.writer import Problems, Writer

BATCH_BYTES = 8 << 20
"""Prepared events are written when they have grown to this: one event may bring a thousand children along."""
BeforeWrite = Callable[[], Awaitable[None]]


class Publisher:
    """Validates, prepares and writes events. `start` before the first publish, `close` after the last."""

    def __init__(
        self,
        *,
        log: EventLog,
        names: TopicNames,
        plan: TopicPlan,
        sources: Sources,
        deletions: Deletions,
        inserts: Inserts,
        copy_stream: CopyStream,
        enrichers: Sequence[EventEnricher],
        metrics: Metrics,
        message_max_bytes: int,
        clock: Callable[[], float],
        labels: BoundedLabels | None = None,
        key: Callable[[AnyEvent], str] = kafka_key,
        notify: Notify | None = None,
    ) -> None:
        """`key` gives the kafka_key of an event; `notify` hears of what is durable."""
        self._accounts = Accounts(metrics, labels or BoundedLabels(), notify, clock)
        first_use = FirstUse(log, names, plan, sources)
        self._pipeline = Pipeline(
            names=names,
            sources=sources,
            deletions=deletions,
            inserts=inserts,
            children=ChildMaker(inserts, copy_stream, metrics, clock),
            enrichment=Enrichment(enrichers, metrics),
            first_use=first_use,
            metrics=metrics,
            message_max_bytes=message_max_bytes,
            clock=clock,
            key=key,
        )
        self._writer = Writer(log, first_use, self._accounts, deletions, inserts)
        self._early = EarlyAck(self._writer)

    async def start(self) -> None:
        self._early.start()

    async def close(self) -> None:
        """Returns when everything that was accepted with `wait=False` is written or given up on."""
        await self._early.close()

    async def publish(
        self,
        model: str,
        events: Sequence[AnyEvent],
        *,
        keep_ok: bool = False,
        wait: bool = True,
        before_write: BeforeWrite | None = None,
    ) -> Outcome:
        """Publish decoded events of `model`, changing them in place.

        Returns when those that can be are durable, or with `wait=False` when they are queued. The fault of one
        event is in `failures` and costs no other. `before_write` is awaited when there is something to write, before
        any of it can be seen. Raises Unavailable when nothing was published and the log is the reason.
        """
        outcome = Outcome()
        began = time.perf_counter()
        async for units in self._prepared(MODELS[model], events, outcome):
            prepared = time.perf_counter()
            self._accounts.stage("transform", prepared - began)
            if before_write is not None:
                await before_write()
            self._report(units, await self._write(units, wait), outcome, keep_ok)
            began = time.perf_counter()
            self._accounts.stage("produce", began - prepared)
        if outcome.stuck and not outcome.published:
            raise Unavailable("The event log is not available; nothing was published.") from outcome.stuck
        return outcome

    async def publish_each(self, events: Sequence[AnyEvent]) -> list[Fate]:
        """Publish events of any models, changing them in place, and tell what became of each.

        LogUnavailable among the fates: to keep the order of what has the same key, do these events again from the
        first such one on.
        """
        fates: list[Fate] = [None] * len(events)
        units: dict[int, Unit] = {}
        size = 0
        for index, event in enumerate(events):
            step = await self._step(event)
            if isinstance(step, Unit):
                units[index] = step
                size += step.size
            else:
                fates[index] = step
            if size >= BATCH_BYTES:
                await self._write_each(units, fates)
                units, size = {}, 0
        await self._write_each(units, fates)
        return fates

    async def _step(self, event: AnyEvent) -> Unit | Fate:
        wrong = problem(event)
        if wrong:
            return Refused(wrong)
        try:
            step = await self._pipeline.prepare(event)
        except (Refused, LogUnavailable) as why:
            return why
        if isinstance(step, Drop):
            self._accounts.removed(step.value)
        return step

    async def _write_each(self, units: Mapping[int, Unit], fates: list[Fate]) -> None:
        if units:
            for index, why in zip(units, await self._writer.write(list(units.values())), strict=True):
                fates[index] = why

    async def _prepared(
        self, kind: type[AnyEvent], events: Sequence[AnyEvent], outcome: Outcome
    ) -> AsyncIterator[list[Unit]]:
        """Units in lists of about BATCH_BYTES; what becomes no unit is counted."""
        units: list[Unit] = []
        size = 0
        for event in events:
            if type(event) is not kind:
                raise TypeError(f"a {type(event).__name__} among {kind.__name__}s: publish one model at a time")
            unit = await self._prepare(event, outcome)
            if unit is not None:
                units.append(unit)
                size += unit.size
            if size >= BATCH_BYTES:
                yield units
                units, size = [], 0
        if units:
            yield units

    async def _prepare(self, event: AnyEvent, outcome: Outcome) -> Unit | None:
        wrong = problem(event)
        if wrong:
            outcome.failures.append(failed(event, wrong))
            return None
        outcome.parsed += 1
        try:
            step = await self._pipeline.prepare(event)
        except Refused as why:
            outcome.refused += isinstance(why, UnlistedSource)
            outcome.failures.append(failed(event, str(why)))
        except LogUnavailable as why:
            outcome.stuck = why
            outcome.failures.append(failed(event, UNAVAILABLE))
        else:
            if isinstance(step, Unit):
                return step
            self._count_drop(step, outcome)
        return None

    def _count_drop(self, drop: Drop, outcome: Outcome) -> None:
        outcome.aged_off += drop is Drop.AGED_OFF
        outcome.deleted += drop is Drop.DELETED
        self._accounts.removed(drop.value)

    async def _write(self, units: list[Unit], wait: bool) -> Problems:
        if wait:
            return await self._writer.write(units)
        try:
            await self._early.put(units)
        except Unavailable as why:
            return [why] * len(units)
        return [None] * len(units)

    def _report(self, units: list[Unit], problems: Problems, outcome: Outcome, keep_ok: bool) -> None:
        for unit, why in zip(units, problems, strict=True):
            if why is None:
                outcome.published += 1
                if keep_ok and unit.own.value is not None:
                    outcome.ok.append(unit.own.value)
            else:
                if not isinstance(why, RecordTooLarge | Refused):
                    outcome.stuck = why
                outcome.failures.append(failed(unit.event, _words(why)))


def _words(why: Exception) -> str:
    if isinstance(why, RecordTooLarge):
        return f"the event log refuses an event of this size: {why}"
    return str(why) if isinstance(why, Refused) else UNAVAILABLE
