"""What topics should be like and what they are like: a plan first, then its steps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dispatcher.eventlog.base import TopicSpec


@dataclass(frozen=True)
class Setting:
    """A configuration key that differs."""

    key: str
    wanted: str
    found: str


@dataclass(frozen=True)
class Step:
    """What is to be done, or only to be said, about one topic. Nothing of it: the topic is as wanted."""

    spec: TopicSpec
    partitions: int
    """As they are; 0 when there is no such topic."""
    replication: int = 0
    settings: tuple[Setting, ...] = ()

    @property
    def missing(self) -> bool:
        return self.partitions == 0

    @property
    def grows(self) -> bool:
        return 0 < self.partitions < self.spec.partitions

    @property
    def mismatches(self) -> list[str]:
        """What the topic has otherwise than wanted and a start does not change."""
        return self.mismatches_beside(configs=False)

    def mismatches_beside(self, configs: bool) -> list[str]:
        """Those that stay although `configs` are set."""
        if self.missing:
            return []
        settings = () if configs else self.settings
        found = [f"{setting.key} is {setting.found}, not {setting.wanted}" for setting in settings]
        if self.partitions > self.spec.partitions:
            found.append(f"it has {self.partitions} partitions, not {self.spec.partitions}")
        if self.replication != self.spec.replication:
            found.append(f"it has {self.replication} copies, not {self.spec.replication}")
        return found


def wanted_config(spec: TopicSpec, message_limit: int) -> dict[str, str]:
    """Every key that the topic is made with. What the spec itself says of `max.message.bytes` stays."""
    return {
        "max.message.bytes": str(message_limit),
        **spec.config,
        "cleanup.policy": spec.cleanup,
        "retention.ms": str(spec.retention_ms),
    }


def plan(
    specs: Sequence[TopicSpec],
    counts: Mapping[str, int],
    replication: Mapping[str, int],
    configs: Mapping[str, Mapping[str, str]],
    message_limit: int,
) -> list[Step]:
    """One step for each spec. `configs` has all values of the topics that exist."""
    return [
        Step(
            spec,
            counts.get(spec.name, 0),
            replication.get(spec.name, 0),
            tuple(_differing(spec, configs.get(spec.name, {}), message_limit)),
        )
        for spec in specs
    ]


def _differing(spec: TopicSpec, found: Mapping[str, str], message_limit: int) -> Iterable[Setting]:
    for key, value in sorted(wanted_config(spec, message_limit).items()):
        if key in found and not _satisfied(key, value, found[key]):
            yield Setting(key, value, found[key])


def _satisfied(key: str, wanted: str, found: str) -> bool:
    if key == "max.message.bytes" and found.isdecimal() and wanted.isdecimal():
        return int(found) >= int(wanted)
    return _normal(found) == _normal(wanted)


def _normal(value: str) -> str:
    return ",".join(sorted(part.strip() for part in value.lower().split(",")))
