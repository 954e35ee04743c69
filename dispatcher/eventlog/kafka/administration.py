"""Makes topics, raises their partition counts and, only when told to, changes their configuration."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidPartitionsError, KafkaError, TopicAlreadyExistsError, for_code

from dispatcher.eventlog.base import LogUnavailable, TopicRefused, TopicSpec
from dispatcher.eventlog.kafka.catalog import Catalog
from dispatcher.eventlog.kafka.clients import Failures, away
from dispatcher.eventlog.kafka.planning import Step, plan, wanted_config

logger = logging.getLogger(__name__)

SECONDS = 30.0
SET_ON_TOPIC = 1
"""`config_source` of a value that somebody set on the topic itself."""
Configs = dict[str, dict[str, str]]


class Administration:
    """All changes to topics of one installation. `message_limit` is the largest record in bytes, framing included."""

    def __init__(self, catalog: Catalog, message_limit: int, *, strict: bool = False, seconds: float = SECONDS) -> None:
        self._catalog = catalog
        self._message_limit = message_limit
        self._strict = strict
        self._seconds = seconds
        self._warned: set[str] = set()

    async def ensure(self, specs: Sequence[TopicSpec]) -> None:
        """Make what is missing and raise partition counts; say what else differs, and leave it as it is.

        Raises LogUnavailable, TopicRefused (mismatches while strict, or a refusal that names the topic).
        """
        try:
            async with asyncio.timeout(self._seconds):
                steps = await self.plan(specs)
                self._tell(steps)
                await self.apply(steps)
        except TimeoutError:
            raise LogUnavailable("Kafka did not make the topics in time") from None

    async def look(self, keys: Iterable[str]) -> dict[str, tuple[int, int, dict[str, str]]]:
        """Every topic: partitions, copies, and the values of these keys. Raises LogUnavailable."""
        await self._catalog.look()
        counts, copies = self._catalog.counts, self._catalog.replication
        configs = await self._configs(sorted(counts))
        chosen = set(keys)
        return {
            name: (counts[name], copies[name], {key: values[key] for key in sorted(chosen & values.keys())})
            for name, values in configs.items()
        }

    async def plan(self, specs: Sequence[TopicSpec]) -> list[Step]:
        """What would have to change. Raises LogUnavailable."""
        await self._catalog.look()
        there = [spec.name for spec in specs if spec.name in self._catalog.counts]
        configs = await self._configs(there)
        return plan(specs, self._catalog.counts, self._catalog.replication, configs, self._message_limit)

    async def apply(self, steps: Sequence[Step]) -> None:
        """Create and grow, and wait until every partition has its leader. Raises LogUnavailable, TopicRefused."""
        missing = {step.spec.name: step.spec for step in steps if step.missing}
        grown = {step.spec.name: step.spec.partitions for step in steps if step.grows}
        if not missing and not grown:
            return
        try:
            await self._create(missing.values())
            for name, count in grown.items():
                await self._grow(name, count)
        except Failures as problem:
            raise away(problem) from None
        await self._settled({name: spec.partitions for name, spec in missing.items()} | grown)

    async def set_configs(self, steps: Sequence[Step]) -> None:
        """Give topics the keys that differ and keep all others that were set on them.

        The client replaces all keys of a topic at once, so what is there is read first and sent again with the rest.
        Raises LogUnavailable, TopicRefused.
        """
        changed = [step for step in steps if step.settings and not step.missing]
        if not changed:
            return
        now = await self._configs([step.spec.name for step in changed], only_set=True)
        resources = [
            ConfigResource(
                ConfigResourceType.TOPIC,
                step.spec.name,
                now[step.spec.name] | {setting.key: setting.wanted for setting in step.settings},
            )
            for step in changed
        ]
        try:
            responses = await self._catalog.admin.alter_configs(resources)
        except Failures as problem:
            raise away(problem) from None
        for response in responses:
            for code, message, _, name in response.resources:
                if code:
                    raise TopicRefused(f"Kafka refuses the configuration of {name}: {message}")

    def _tell(self, steps: Sequence[Step]) -> None:
        differing = {step.spec.name: step.mismatches for step in steps if step.mismatches}
        if differing and self._strict:
            lines = [f"{name}: {'; '.join(found)}" for name, found in differing.items()]
            raise TopicRefused(
                "topics differ from the settings (see `dispatcher topics plan`, or set "
                "DISPATCHER_IGNORE_TOPIC_MISMATCH=true):\n" + "\n".join(lines)
            )
        for name, found in differing.items():
            if name not in self._warned:
                self._warned.add(name)
                logger.warning("topic %s: %s", name, "; ".join(found), extra={"action": "topics"})

    async def _create(self, specs: Iterable[TopicSpec]) -> None:
        topics = [
            NewTopic(
                spec.name, spec.partitions, spec.replication, topic_configs=wanted_config(spec, self._message_limit)
            )
            for spec in specs
        ]
        if not topics:
            return
        response = await self._catalog.admin.create_topics(topics)
        for name, code, message in response.topic_errors:
            _check(name, code, message, TopicAlreadyExistsError)

    async def _grow(self, name: str, count: int) -> None:
        try:
            await self._catalog.admin.create_partitions({name: NewPartitions(count)})
        except InvalidPartitionsError:  # somebody else was faster
            pass
        except KafkaError as problem:
            if problem.retriable:
                raise
            raise TopicRefused(f"Kafka refuses to give {name} {count} partitions: {problem}") from None

    async def _settled(self, wanted: Mapping[str, int]) -> None:
        pause = 0.01
        while True:
            await self._catalog.look()
            if all(self._catalog.counts.get(name, 0) >= count for name, count in wanted.items()):
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)

    async def _configs(self, names: Sequence[str], *, only_set: bool = False) -> Configs:
        """Values of every key, or of those that were set on the topic itself."""
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        try:
            responses = await self._catalog.admin.describe_configs(resources)
        except Failures as problem:
            raise away(problem) from None
        return {
            resource["resource_name"]: dict(_entries(resource, only_set))
            for response in responses
            for resource in response.to_object()["resources"]
            if not resource["error_code"]
        }


def _entries(resource: dict[str, Any], only_set: bool) -> Iterable[tuple[str, str]]:
    for entry in resource["config_entries"]:
        if entry["config_value"] is not None and (not only_set or entry["config_source"] == SET_ON_TOPIC):
            yield entry["config_names"], entry["config_value"]


def _check(name: str, code: int, message: str | None, harmless: type[KafkaError]) -> None:
    kind = for_code(code)
    if not code or kind is harmless:
        return
    if kind.retriable:
        raise kind(f"{name}: {message}")
    raise TopicRefused(f"Kafka refuses to make the topic {name}: {message}")
