"""Makes prepared events durable in the order that readers rely on, in as few appends as possible."""

from collections.abc import Callable, Sequence

from dispatcher_sdk.models import DeleteEvent, InsertEvent, StatusEvent

from dispatcher.eventlog.base import Append, EventLog, LogUnavailable, UnknownTopic
from dispatcher.publish.accounts import Accounts
from dispatcher.publish.children import Inserts
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.first_use import FirstUse
from dispatcher.publish.outcome import Refused, Unit

Problems = list[Exception | None]


class Writer:
    """Appends units; what they change in this server's own state takes effect at once."""

    def __init__(
        self, log: EventLog, first_use: FirstUse, accounts: Accounts, deletions: Deletions, inserts: Inserts
    ) -> None:
        self._log = log
        self._first_use = first_use
        self._accounts = accounts
        self._deletions = deletions
        self._inserts = inserts

    async def write(self, units: Sequence[Unit]) -> Problems:
        """Per unit None (it and everything with it is durable) or why not. Never raises for the log's faults.

        Results are durable before the status they came in: whoever sees the status can read them.
        """
        problems = await self._parts(units, _before_statuses)
        waiting = [i for i, unit in enumerate(units) if isinstance(unit.event, StatusEvent) and problems[i] is None]
        if waiting:
            answers = await self._append([units[i].own for i in waiting])
            for i, problem in zip(waiting, answers, strict=True):
                problems[i] = problem
        self._settle(units, problems)
        return problems

    async def _parts(self, units: Sequence[Unit], parts: Callable[[Unit], Sequence[Append]]) -> Problems:
        """Append these parts of all units together; a unit's problem is the first of its parts'."""
        owners: list[int] = []
        items: list[Append] = []
        for index, unit in enumerate(units):
            some = parts(unit)
            items += some
            owners += [index] * len(some)
        problems: Problems = [None] * len(units)
        for index, problem in zip(owners, await self._append(items), strict=True):
            problems[index] = problems[index] or problem
        return problems

    async def _append(self, items: Sequence[Append]) -> Problems:
        problems = await self._try(items)
        gone = [i for i, problem in enumerate(problems) if isinstance(problem, UnknownTopic)]
        if gone:
            await self._again(items, problems, gone)
        self._accounts.appended(items, problems)
        return problems

    async def _again(self, items: Sequence[Append], problems: Problems, gone: list[int]) -> None:
        """Somebody deleted a topic since we last looked: make it and append once more."""
        for topic in {items[i].topic for i in gone}:
            try:
                await self._first_use.make(topic)
            except (Refused, LogUnavailable) as why:
                for i in gone:
                    problems[i] = why if items[i].topic == topic else problems[i]
        again = [i for i in gone if isinstance(problems[i], UnknownTopic)]
        for i, problem in zip(again, await self._try([items[i] for i in again]), strict=True):
            problems[i] = problem

    async def _try(self, items: Sequence[Append]) -> Problems:
        if not items:
            return []
        try:
            return await self._log.append(items)
        except LogUnavailable as problem:
            return [problem] * len(items)

    def _settle(self, units: Sequence[Unit], problems: Problems) -> None:
        durable = [unit for unit, problem in zip(units, problems, strict=True) if problem is None]
        self._accounts.durable(unit.event for unit in durable)
        for unit in durable:
            event = unit.event
            if isinstance(event, StatusEvent):
                self._accounts.status(event)
            elif isinstance(event, DeleteEvent):
                self._deletions.apply(event)
            elif isinstance(event, InsertEvent):
                self._inserts.apply(event, unit.own.value or b"")


def _before_statuses(unit: Unit) -> Sequence[Append]:
    return unit.extra if isinstance(unit.event, StatusEvent) else (unit.own, *unit.extra)
