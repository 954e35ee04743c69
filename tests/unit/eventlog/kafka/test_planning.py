from dispatcher.eventlog.base import TopicSpec
from dispatcher.eventlog.kafka.planning import Step, plan, wanted_config

LIMIT = 4_000_000
AS_WANTED = {"cleanup.policy": "compact", "retention.ms": "-1", "max.message.bytes": str(LIMIT), "segment.ms": "9"}


def step(spec: TopicSpec, partitions: int = 1, copies: int = 1, **changes: str) -> Step:
    config = AS_WANTED | {key.replace("_", "."): value for key, value in changes.items()}
    [step] = plan([spec], {"t": partitions}, {"t": copies}, {"t": config}, LIMIT)
    return step


def test_a_missing_topic_is_made_and_differs_in_nothing() -> None:
    [missing] = plan([TopicSpec("new", partitions=3)], {}, {}, {}, LIMIT)
    assert (missing.missing, missing.grows, missing.mismatches) == (True, False, [])


def test_a_topic_as_wanted_needs_nothing() -> None:
    found = step(TopicSpec("t"))
    assert (found.missing, found.grows, found.mismatches) == (False, False, [])


def test_keys_that_nobody_wants_otherwise_do_not_matter() -> None:
    assert not step(TopicSpec("t"), segment_ms="1").mismatches


def test_what_differs_is_named_with_both_values() -> None:
    found = step(TopicSpec("t", partitions=2, replication=3, cleanup="delete"), partitions=5, retention_ms="7")
    assert found.mismatches == [
        "cleanup.policy is compact, not delete",
        "retention.ms is 7, not -1",
        "it has 5 partitions, not 2",
        "it has 1 copies, not 3",
    ]
    assert found.mismatches_beside(configs=True) == ["it has 5 partitions, not 2", "it has 1 copies, not 3"]


def test_too_few_partitions_are_no_mismatch_but_a_step() -> None:
    found = step(TopicSpec("t", partitions=9))
    assert (found.grows, found.mismatches) == (True, [])


def test_room_for_larger_records_than_needed_is_fine_and_for_smaller_ones_is_not() -> None:
    assert not step(TopicSpec("t"), max_message_bytes=str(LIMIT + 1)).mismatches
    assert step(TopicSpec("t"), max_message_bytes="1048588").mismatches == [
        f"max.message.bytes is 1048588, not {LIMIT}"
    ]


def test_two_policies_in_either_order_are_the_same() -> None:
    spec = TopicSpec("t", config={"x.y": "b,a"})
    assert not step(spec, x_y="a, b").mismatches


def test_the_operator_may_choose_the_largest_record() -> None:
    assert wanted_config(TopicSpec("t", config={"max.message.bytes": "5"}), LIMIT)["max.message.bytes"] == "5"
