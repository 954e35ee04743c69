"""One copy from its settings to its end: what there is to do, and doing it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatcher_sdk.models import DeleteEvent, InvalidMessage

from dispatcher.assembly import Assembly
from dispatcher.delivery.signals import Signals
from dispatcher.errors import StartupError
from dispatcher.eventlog.base import EventLog, LogUnavailable, Record, TopicRefused
from dispatcher.eventlog.follow import Follower
from dispatcher.hooks.running import running
from dispatcher.metrics import Metrics
from dispatcher.publish.keys import key_of_copy
from dispatcher.publish.topics import unlisted_sources
from dispatcher.reprocess.aside import Aside
from dispatcher.reprocess.copying import Copier
from dispatcher.reprocess.decoding import read_event
from dispatcher.reprocess.inserts import OthersInserts
from dispatcher.reprocess.insisting import Insistence
from dispatcher.reprocess.opening import Origin, open_destination, open_origin
from dispatcher.reprocess.pausing import Pausing
from dispatcher.reprocess.positions import Positions
from dispatcher.reprocess.run import Reprocess
from dispatcher.reprocess.selection import Selection, Wanted, check_room, select
from dispatcher.reprocess.survey import Share, survey
from dispatcher.reprocess.tally import Tally
from dispatcher.settings import Settings
from dispatcher.streams.copying import StreamCopier
from dispatcher.streams.locks import KeyedLocks
from dispatcher.streams.measured import MeasuredStore


@dataclass(frozen=True)
class Request:
    """What is to be copied. `folder`: the data folder of an embedded log; None means the destination's own log."""

    previous_prefix: str
    folder: Path | None = None
    wanted: Wanted = field(default_factory=Wanted)
    restart: bool = False
    """Forget how far earlier runs came."""
    pause: bool = True
    follow: bool = False


class Session:
    """`async with Session(...) as session:` knows what there is to do; `copy` does it. Set `stop` to end it early.

    Raises StartupError with words for the operator.
    """

    origin: Origin
    selection: Selection

    def __init__(
        self, settings: Settings, request: Request, stop: asyncio.Event, *, hooks: Sequence[object] = ()
    ) -> None:
        self.settings = settings
        self.request = request
        self.tally = Tally()
        self._insistence = Insistence(stop, self.tally)
        self._metrics = Metrics()
        self._inserts = OthersInserts()
        self._assembly = Assembly(settings, self._metrics, time.time, packages=hooks, inserts=self._inserts)
        self._shares: list[Share] = []
        self._stack = AsyncExitStack()
        self._log: EventLog

    @property
    def destination(self) -> str:
        """In words."""
        where = f"Kafka on {self.settings.kafka_endpoint}" if self.settings.kafka_endpoint else self.settings.data_dir
        return f"{self._assembly.names.unprefixed('*')} in {where}"

    @property
    def dead_letters(self) -> str:
        """The topic of what could not be copied."""
        return self._assembly.names.system("deadletter")

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._look(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def copy(self) -> bool:
        """False when it was stopped before the end. Pauses nobody when there is nothing to do. Raises StartupError."""
        if not self.request.follow and not any(topic.left for topic in self.tally.topics.values()):
            return True
        async with AsyncExitStack() as stack:
            try:
                run = await self._open(stack)
            except (LogUnavailable, TopicRefused) as why:
                raise StartupError(str(why)) from None
            done = await run.run(self._shares)
            if done and self.request.follow:
                await run.follow(lambda: self._select().chosen)
            return done

    # ---- what there is to do

    async def _look(self, stack: AsyncExitStack) -> None:
        self._log = await open_destination(stack, self.settings)
        request = self.request
        self.origin = await open_origin(stack, self.settings, self._log, request.previous_prefix, request.folder)
        self.selection = self._select()
        sources = self._assembly.sources
        check_room(self.selection, unlisted_sources(self._log.topics(), self._assembly.names, sources), sources)
        self._positions = Positions(
            self._log, self._assembly.names, self.origin.identity, self.settings.global_replica_count
        )
        try:
            if not request.restart:
                await self._positions.load()
            self._shares = await survey(self.origin.log, self._positions, self.selection.chosen, self.tally)
            await self._drop_empty(self.selection.left_out)
        except LogUnavailable as why:
            raise StartupError(str(why)) from None

    async def _drop_empty(self, topics: dict[str, str]) -> None:
        """Of topics that are left out, only those with something in them are worth a word."""
        counts = self.origin.log.topics()
        bounds = await self.origin.log.bounds([(topic, number) for topic in topics for number in range(counts[topic])])
        full = {topic for (topic, _), (start, high) in bounds.items() if start < high}
        for topic in topics.keys() - full:
            del topics[topic]

    def _select(self) -> Selection:
        origin = self.origin
        return select(list(origin.log.topics()), origin.names, self.request.wanted, self._assembly.sources)

    # ---- doing it

    async def _open(self, stack: AsyncExitStack) -> Reprocess:
        assembly = self._assembly
        assembly.hooks.load()
        await stack.enter_async_context(running(assembly.hooks))
        await assembly.make_topics(self._log)
        await self._positions.make()
        await self._follow_origin(stack)
        await assembly.follow(stack, self._log)
        streams = StreamCopier(MeasuredStore(await assembly.open_store(stack), self._metrics), KeyedLocks())
        publisher = await assembly.open_publisher(stack, self._log, streams.copy, key_of_copy)
        if self.request.pause:
            await stack.enter_async_context(Pausing(Signals(self._log, assembly.names, time.time)))
        aside = Aside(assembly.names, self.origin.identity, self.settings.message_max_bytes, time.time)
        prefixes = self.origin.names.unprefixed(""), assembly.names.unprefixed("")
        copier = Copier(self._log, publisher, assembly.deletions, aside, prefixes)
        return Reprocess(self.origin.log, copier, self._positions, self.tally, self._insistence)

    async def _follow_origin(self, stack: AsyncExitStack) -> None:
        """Know what was deleted and inserted there, whatever of it is copied."""
        for name, learn in (("insert", self._inserts.on_origins_record), ("delete", self._on_deletion)):
            follower = Follower(self.origin.log, self.origin.names.system(name), learn)
            stack.push_async_callback(follower.close)
            await follower.start()

    def _on_deletion(self, record: Record) -> None:
        if record.value:
            try:
                event = read_event("delete", record.value)
            except InvalidMessage:
                return  # the copy reports it
            assert isinstance(event, DeleteEvent)
            self._assembly.deletions.apply(event)
