"""Membership on Kafka: a consumer group of the journal's topic, whose partitions are the slots. Nothing is consumed."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as Assigned
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from dispatcher.eventlog.base import LogUnavailable
from dispatcher.eventlog.kafka.clients import METADATA_MS, Failures, away, started, stop
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.owners import Owners
from dispatcher.eventlog.kafka.proof import Proof
from dispatcher.eventlog.membership import Keeper

logger = logging.getLogger(__name__)

FIRST_SECONDS: Final = 10.0
PROOF_SECONDS: Final = 1.0
REJOIN_SECONDS: Final = 1.0
POLL_MS: Final = 1_000


class KafkaMembership:
    """Implements membership.Membership. Times in seconds.

    `url` is what others are told of this process. The topic must be there.
    """

    shared = True

    def __init__(self, connection: Connection, *, group: str, topic: str, url: str, session: float) -> None:
        self._connection = connection
        self._group = group
        self._topic = topic
        self.url = url
        self._session = session
        self._proof = Proof(session)
        self._owners = Owners(connection, group, topic)
        self._consumer: AIOKafkaConsumer | None = None
        self._began = time.monotonic()
        self._idle = False
        self._dealing = False
        """Between two dealings."""
        self._question: asyncio.Task[None] | None = None
        """A commit that is under way; it has no time limit, for it goes on behind the back of who gives up on it."""
        self._keeper: Keeper
        self._dealt = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, keeper: Keeper) -> None:
        """See membership.Membership."""
        self._keeper = keeper
        await self._join()
        self._tasks = [
            asyncio.create_task(self._stay(), name="membership"),
            asyncio.create_task(self._keep_proving(), name="proof of membership"),
        ]
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                await self._dealt.wait()
        except TimeoutError:
            logger.warning("no slots were dealt within %g s", FIRST_SECONDS, extra={"action": "membership"})

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._leave()
        await self._owners.close()

    def proven(self) -> bool:
        return self._idle or self._proof.holds()

    def silence(self) -> float | None:
        """Seconds since the group last said that we belong to it; None for a member whose share is nothing."""
        return None if self._idle else min(self._proof.age, time.monotonic() - self._began)

    async def owners(self) -> Mapping[int, str]:
        return await self._owners.now()

    async def ask_afresh(self) -> None:
        """Ask for the group through a new client. Raises LogUnavailable, also when nobody coordinates it now."""
        owners = Owners(self._connection, self._group, self._topic)
        try:
            await owners.now()
        finally:
            await owners.close()

    # ---- the group

    async def _join(self) -> None:
        """Raises LogUnavailable."""
        consumer = await started(
            AIOKafkaConsumer(
                group_id=self._group,
                client_id=self.url,
                partition_assignment_strategy=(_assignor(),),
                session_timeout_ms=round(self._session * 1000),
                heartbeat_interval_ms=round(min(1.0, self._session / 4) * 1000),
                rebalance_timeout_ms=round(self._session * 1500),  # to notice, to suspend and to hear the last answer
                request_timeout_ms=round(self._session * 1500) + 10_000,  # a join is answered when all have joined
                metadata_max_age_ms=METADATA_MS,
                enable_auto_commit=False,
                **self._connection.options(),
            )
        )
        self._consumer = consumer
        consumer.subscribe([self._topic], listener=_Listener(self, consumer))

    async def _leave(self) -> None:
        """From here on others may be dealt what was ours, and what the client still does is its own affair."""
        consumer, self._consumer = self._consumer, None
        self._idle = False
        self._proof.withdraw()
        await self._answered(0.0)
        if consumer is not None:
            await stop(consumer)

    async def _stay(self) -> None:
        """Poll, which is what keeps a member in its group; join anew when the client has given up."""
        while True:
            try:
                if self._consumer is None:
                    await self._join()
                await self._poll()
            except (LogUnavailable, *Failures) as problem:
                if self._consumer is not None:  # it says so once, not each time that it cannot come back
                    logger.warning("out of the group of dispatchers: %s", problem, extra={"action": "membership"})
            except Exception:
                logger.exception("membership failed", extra={"action": "membership"})
            if self._consumer is not None:
                await self._suspend()
                await self._leave()
            await asyncio.sleep(REJOIN_SECONDS)

    async def _poll(self) -> None:
        """Raises what the client raises when it gives up; a task of its own that was cancelled is no reason for us."""
        while self._consumer is not None:
            polling = asyncio.ensure_future(self._consumer.getmany(timeout_ms=POLL_MS))
            try:
                await asyncio.wait([polling])
            finally:
                polling.cancel()
            if polling.cancelled():
                raise LogUnavailable("the client has ended by itself")
            polling.result()

    async def revoked(self, consumer: AIOKafkaConsumer) -> None:
        """All wait for this: a member that takes too long loses its place."""
        if consumer is not self._consumer:
            return
        self._dealing = True
        self._owners.forget()
        await self._suspend()
        await self._answered(self._session / 4)

    async def _answered(self, seconds: float) -> None:
        """No question is under way: the refusal of one that came in between would make the client join once more,
        which makes the others join, and so on for ever."""
        if self._question is not None:
            await asyncio.wait([self._question], timeout=seconds)
            self._question.cancel()

    async def assigned(self, consumer: AIOKafkaConsumer, places: set[Assigned]) -> None:
        if self._consumer is None or consumer is not self._consumer:
            return
        if places:
            consumer.pause(*places)
        self._owners.forget()
        self._idle = not places
        await self._confirm()
        if consumer is not self._consumer:  # we have left while we asked
            return
        try:
            self._keeper.dealt(frozenset(place.partition for place in places))
        except Exception:
            logger.exception("slots that were dealt are not taken", extra={"action": "membership"})
        self._dealing = False
        self._dealt.set()

    async def _confirm(self) -> None:
        """A deal may be old news: if this process was stopped before it read them, somebody else has the slots now.

        Without an answer we have them all the same, but no proof yet.
        """
        try:
            async with asyncio.timeout(self._session / 4):
                await self._ask()
        except (LogUnavailable, TimeoutError) as problem:
            logger.debug("slots were dealt, and nobody confirms it: %s", problem)
        except Exception:
            logger.exception("proving membership failed", extra={"action": "membership"})

    async def _suspend(self) -> None:
        try:
            async with asyncio.timeout(self._session / 2):
                await self._keeper.suspend()
        except TimeoutError:
            logger.warning("suspending took too long", extra={"action": "membership"})
        except Exception:
            logger.exception("suspending failed", extra={"action": "membership"})

    # ---- proof

    async def _keep_proving(self) -> None:
        while True:
            await asyncio.sleep(min(PROOF_SECONDS, self._session / 4))
            try:
                await self._prove()
            except LogUnavailable as problem:
                logger.debug("no proof of membership: %s", problem)
            except Exception:
                logger.exception("proving membership failed", extra={"action": "membership"})

    async def _prove(self) -> None:
        """A commit is refused to who is no member any more. Raises LogUnavailable."""
        if self._dealing:
            return
        await self._ask()
        if not self._dealing and not self._proof.holds():  # the answer was long in coming: the brokers were away, say
            await self._ask()

    async def _ask(self) -> None:
        if self._question is not None:  # somebody has not waited for the end of it
            await asyncio.wait([self._question])
        consumer = self._consumer
        if consumer is None or not (places := consumer.assignment()):
            return
        asked = self._proof.asked()
        self._question = question = asyncio.create_task(consumer.commit({min(places): 0}))
        await asyncio.wait([question])
        if question.cancelled():
            return
        if isinstance(problem := question.exception(), (KafkaError, TimeoutError, OSError)):
            raise away(problem)
        question.result()
        if consumer is self._consumer:
            self._proof.given(asked)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, membership: KafkaMembership, consumer: AIOKafkaConsumer) -> None:
        self._membership = membership
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: set[Assigned]) -> None:
        await self._membership.revoked(self._consumer)

    async def on_partitions_assigned(self, assigned: set[Assigned]) -> None:
        await self._membership.assigned(self._consumer, assigned)


def _assignor() -> type[Any]:
    """The stock assignor keeps what it remembers in its class: several members in one process must not share it."""
    return type("Sticky", (StickyPartitionAssignor,), {})
