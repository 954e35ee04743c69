"""The one way into the log: clients' events, results, children, and what the server itself has to say."""

import time
from collections.abc import Callable, Sequence

from dispatcher_sdk.models import MODELS, AnyEvent, problem

from dispatcher.errors import Unavailable
from dispatcher.eventlog.base import EventLog, LogUnavailable, RecordTooLarge
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.types import EventEnricher
from dispatcher.metrics import BoundedLabels, Metrics
from dispatcher.publish.accounts import Accounts
from dispatcher.publish.children import ChildMaker, CopyStream, Inserts
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.early_ack import EarlyAck
from dispatcher.publish.enrich import Enrichment
from dispatcher.publish.first_use import FirstUse
from dispatcher.publish.outcome import Drop, Outcome, Refused, Unit, UnlistedSource, failed
from dispatcher.publish.pipeline import Pipeline
from dispatcher.publish.sources import Sources
from dispatcher.publish.topics import TopicPlan
from dispatcher.publish.writer import Problems, Writer

UNAVAILABLE = "the event log is not available right now: post the event again"


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
    ) -> None:
        self._accounts = Accounts(metrics, labels or BoundedLabels())
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
        )
        self._writer = Writer(log, first_use, self._accounts, deletions, inserts)
        self._early = EarlyAck(self._writer)

    async def start(self) -> None:
        self._early.start()

    async def close(self) -> None:
        """Returns when everything that was accepted with `wait=False` is written or given up on."""
        await self._early.close()

    async def publish(
        self, model: str, events: Sequence[AnyEvent], *, keep_ok: bool = False, wait: bool = True
    ) -> Outcome:
        """Publish decoded events of `model`, changing them in place.

        Returns when those that can be are durable, or with `wait=False` when they are queued. The fault of one
        event is in `failures` and costs no other. Raises Unavailable when nothing was published and the log is
        the reason.
        """
        outcome = Outcome()
        began = time.perf_counter()
        units, stuck = await self._prepare(MODELS[model], events, outcome)
        prepared = time.perf_counter()
        self._accounts.stage("transform", prepared - began)
        if units:
            problems = await self._write(units, wait)
            stuck = self._report(units, problems, outcome, keep_ok) or stuck
            self._accounts.stage("produce", time.perf_counter() - prepared)
        if stuck and not outcome.published:
            raise Unavailable("The event log is not available; nothing was published.")
        return outcome

    async def _prepare(
        self, kind: type[AnyEvent], events: Sequence[AnyEvent], outcome: Outcome
    ) -> tuple[list[Unit], bool]:
        units: list[Unit] = []
        stuck = False
        for event in events:
            if type(event) is not kind:
                raise TypeError(f"a {type(event).__name__} among {kind.__name__}s: publish one model at a time")
            wrong = problem(event)
            if wrong:
                outcome.failures.append(failed(event, wrong))
                continue
            outcome.parsed += 1
            try:
                step = await self._pipeline.prepare(event)
            except Refused as why:
                outcome.refused += isinstance(why, UnlistedSource)
                outcome.failures.append(failed(event, str(why)))
            except LogUnavailable:
                stuck = True
                outcome.failures.append(failed(event, UNAVAILABLE))
            else:
                if isinstance(step, Unit):
                    units.append(step)
                else:
                    self._count_drop(step, outcome)
        return units, stuck

    def _count_drop(self, drop: Drop, outcome: Outcome) -> None:
        outcome.aged_off += drop is Drop.AGED_OFF
        outcome.deleted += drop is Drop.DELETED
        self._accounts.removed(drop.value)

    async def _write(self, units: list[Unit], wait: bool) -> Problems:
        if wait:
            return await self._writer.write(units)
        await self._early.put(units)
        return [None] * len(units)

    def _report(self, units: list[Unit], problems: Problems, outcome: Outcome, keep_ok: bool) -> bool:
        """True when the log was the reason for a failure."""
        stuck = False
        for unit, why in zip(units, problems, strict=True):
            if why is None:
                outcome.published += 1
                if keep_ok and unit.own.value is not None:
                    outcome.ok.append(unit.own.value)
            else:
                stuck = stuck or not isinstance(why, RecordTooLarge | Refused)
                outcome.failures.append(failed(unit.event, _words(why)))
        return stuck


def _words(why: Exception) -> str:
    if isinstance(why, RecordTooLarge):
        return f"the event log refuses an event of this size: {why}"
    return str(why) if isinstance(why, Refused) else UNAVAILABLE
