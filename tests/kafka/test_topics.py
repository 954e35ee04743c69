"""Topics as the settings want them: made, grown, compared, and changed only when told to."""

import json

import pytest
from click.testing import CliRunner, Result

from dispatcher.cli.main import main
from dispatcher.eventlog.base import TopicRefused, TopicSpec
from dispatcher.eventlog.kafka.connection import Connection
from dispatcher.eventlog.kafka.log import KafkaLog
from tests.kafka.broker import KafkaBroker

KEYS = ("cleanup.policy", "retention.ms", "segment.bytes", "max.message.bytes", "compression.type")


async def configs(log: KafkaLog, name: str) -> dict[str, str]:
    return (await log.administration.look(KEYS))[name][2]


async def test_a_topic_is_made_with_every_key(log: KafkaLog, prefix: str) -> None:
    spec = TopicSpec(
        prefix + "t", partitions=2, cleanup="delete", retention_ms=5000, config={"segment.bytes": "2000000"}
    )
    await log.ensure_topics([spec])
    assert log.topics() == {prefix + "t": 2}
    assert await configs(log, prefix + "t") == {
        "cleanup.policy": "delete",
        "retention.ms": "5000",
        "segment.bytes": "2000000",
        "max.message.bytes": str(4 << 20),
        "compression.type": "producer",
    }


async def test_what_is_there_keeps_its_configuration_and_gets_more_partitions(
    log: KafkaLog, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = prefix + "t"
    await log.ensure_topics([TopicSpec(name, retention_ms=1000)])
    await log.ensure_topics([TopicSpec(name, partitions=3, cleanup="delete", retention_ms=2000)])
    assert log.topics() == {name: 3}
    found = await configs(log, name)
    assert (found["cleanup.policy"], found["retention.ms"]) == ("compact", "1000")
    assert "cleanup.policy is compact, not delete; retention.ms is 1000, not 2000" in caplog.text
    steps = await log.administration.plan([TopicSpec(name, replication=2)])
    assert steps[0].mismatches[-2:] == ["it has 3 partitions, not 1", "it has 1 copies, not 2"]


async def test_strict_refuses_what_differs_before_it_changes_anything(kafka: KafkaBroker, prefix: str) -> None:
    log = KafkaLog(Connection(kafka.endpoint), prefix=prefix, strict_topics=True)
    await log.start()
    try:
        await log.ensure_topics([TopicSpec(prefix + "t", retention_ms=1000)])
        with pytest.raises(TopicRefused, match=r"t: retention.ms is 1000, not -1"):
            await log.ensure_topics([TopicSpec(prefix + "t"), TopicSpec(prefix + "new")])
        assert log.topics() == {prefix + "t": 1}
    finally:
        await log.close()


async def test_setting_keys_loses_no_other_key(log: KafkaLog, prefix: str) -> None:
    name = prefix + "t"
    await log.ensure_topics([TopicSpec(name, config={"segment.bytes": "2000000", "compression.type": "gzip"})])
    steps = await log.administration.plan([TopicSpec(name, cleanup="delete", retention_ms=7000)])
    await log.administration.set_configs(steps)
    assert await configs(log, name) == {
        "cleanup.policy": "delete",
        "retention.ms": "7000",
        "segment.bytes": "2000000",
        "max.message.bytes": str(4 << 20),
        "compression.type": "gzip",
    }
    assert not (await log.administration.plan([TopicSpec(name, cleanup="delete", retention_ms=7000)]))[0].mismatches


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (TopicSpec("lab.1"), "collides"),
        (TopicSpec("x", config={"no.such.key": "1"}), "no.such.key"),
        (TopicSpec("y", replication=9), "replication factor of 9"),
    ],
)
async def test_what_kafka_refuses_is_said(log: KafkaLog, prefix: str, spec: TopicSpec, why: str) -> None:
    await log.ensure_topics([TopicSpec(prefix + "lab_1")])
    refused = TopicSpec(prefix + spec.name, config=spec.config, replication=spec.replication)
    with pytest.raises(TopicRefused, match=why):
        await log.ensure_topics([refused])


class TestCommand:
    @pytest.fixture
    def run(self, kafka: KafkaBroker, topic_prefix: str):
        def run(*arguments: str, answer: str = "", **environ: str) -> Result:
            environ |= {"DISPATCHER_KAFKA_ENDPOINT": kafka.endpoint, "DISPATCHER_KAFKA_TOPIC_PREFIX": topic_prefix}
            return CliRunner().invoke(main, ["topics", *arguments], input=answer, env=environ)

        return run

    def test_the_plan_comes_first_and_no_means_no(self, run, prefix: str) -> None:
        asked = run("apply", answer="n\n")
        assert asked.exit_code == 1
        assert f"make   {prefix}system.status: 1 partition, copies: 1, delete, kept 1 d" in asked.output
        assert f"make   {prefix}system.dispatch: 64 partitions" in asked.output
        assert json.loads(run("list", "--json").output) == []

    def test_apply_does_what_plan_says_and_then_there_is_nothing_to_do(self, run, prefix: str) -> None:
        sources = "sources: {lab: {expire_events_after: 2 days}}"
        assert run("apply", answer="y\n", DISPATCHER_SOURCES_HELM=sources).output.endswith("done\n")
        assert run("plan", DISPATCHER_SOURCES_HELM=sources).output == "nothing to do\n"
        shown = {row["topic"]: row for row in json.loads(run("list", "--json").output)}
        assert shown[prefix + "lab.binary.sourced"] == {
            "topic": prefix + "lab.binary.sourced",
            "partitions": 1,
            "copies": 1,
            "cleanup.policy": "delete",
            "retention.ms": str(2 * 86_400_000),
        }

        changed = {
            "DISPATCHER_SOURCES_HELM": sources.replace("2 days", "3 days"),
            "DISPATCHER_TOPICS_YAML": "[{topic: system.status, numpartitions: 2}]",
        }
        planned = run("plan", **changed).output
        assert f"grow   {prefix}system.status: 1 → 2 partitions\n" in planned
        assert f"differs {prefix}lab.binary.sourced: retention.ms is 172800000, not 259200000\n" in planned
        applied = run("apply", "--configs", "--yes", **changed).output
        assert f"set    {prefix}lab.binary.sourced: retention.ms = 259200000 (was 172800000)\n" in applied
        assert run("plan", **changed).output == "nothing to do\n"

    def test_bad_yaml_is_told_with_line_and_key(self, run) -> None:
        result = run("plan", DISPATCHER_TOPICS_YAML="- topic: a\n- topic: system.status\n  partitions: 3\n")
        assert result.exit_code == 1
        assert "DISPATCHER_TOPICS_YAML line 3: " in result.output
        assert "partitions" in result.output


def test_without_kafka_the_command_says_so() -> None:
    result = CliRunner().invoke(main, ["topics", "plan"], env={"DISPATCHER_KAFKA_ENDPOINT": ""})
    assert result.exit_code == 1
    assert "DISPATCHER_KAFKA_ENDPOINT is not set" in result.output
