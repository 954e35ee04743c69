from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from dispatcher_sdk.models import DeleteEvent

from dispatcher.eventlog.base import Append
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.keys import kafka_key
from dispatcher.publish.tracking import set_tracking

Make = Callable[..., Any]


def named(event: Any) -> Any:
    event.kafka_key = kafka_key(event)
    set_tracking(event)
    return event


@pytest.fixture
def target(binary: Make) -> Any:
    return named(binary(source={"references": {"user": "anna"}}))


def deletions(*events: DeleteEvent) -> Deletions:
    state = Deletions()
    for event in events + events:  # twice: a follower sees what was applied at once
        state.apply(event)
    return state


def test_nothing_is_deleted_at_first(target: Any) -> None:
    assert Deletions().empty
    assert not Deletions().purges(target)


def test_by_id(delete: Make, target: Any, binary: Make) -> None:
    state = deletions(delete("ids", ids=[target.kafka_key, ""]))
    assert not state.empty
    assert state.purges(target)
    assert not state.purges(named(binary("c")))
    assert not state.purges(binary("c"))  # an empty id matches no event without a key


def test_by_link_and_everything_below_it(delete: Make, target: Any, binary: Make, node: Make) -> None:
    state = deletions(delete("link", track_link=target.track_links[0]))
    assert state.purges(target)
    deeper = named(binary("d", path=[node("a", "sourced"), node("b"), node("d")]))
    assert state.purges(deeper)
    assert not state.purges(named(binary("c")))


def test_by_author_only_what_is_older(delete: Make, target: Any) -> None:
    author = target.track_authors[-1]
    state = deletions(delete("author", track_author=author, timestamp="2023-11-01T10:20:31Z"))
    assert not state.purges(target)  # the same instant is not before it
    target.timestamp = datetime(2023, 11, 1, 10, 20, 30, tzinfo=UTC)
    assert state.purges(target)


def test_an_older_author_deletion_does_not_shorten_a_newer_one(delete: Make, target: Any) -> None:
    author = target.track_authors[-1]
    state = deletions(
        delete("author", track_author=author, timestamp="2024-01-01T00:00:00Z"),
        delete("author", track_author=author, timestamp="2020-01-01T00:00:00Z"),
    )
    assert state.purges(target)


@pytest.mark.parametrize(
    ("timestamp", "gone"),
    [
        (None, True),
        ("2023-11-01T10:00:00Z", True),
        ("2023-11-01T21:00:00+11:00", True),
        ("2023-11-01T10:00:01Z", False),
    ],
)
def test_by_submission(delete: Make, target: Any, timestamp: str | None, gone: bool) -> None:
    part = {"track_source_references": target.track_source_references}
    state = deletions(delete("submission", **part, **({"timestamp": timestamp} if timestamp else {})))
    assert state.purges(target) is gone


def test_an_insert_goes_by_its_link_or_author(delete: Make, insert: Make) -> None:
    event = named(insert())
    assert deletions(delete("link", track_link=event.track_link)).purges(event)
    later = "2030-01-01T00:00:00Z"
    assert deletions(delete("author", track_author=event.track_author, timestamp=later)).purges(event)
    assert not deletions(delete("author", track_author="plugin.other.1", timestamp=later)).purges(event)


def test_empty_names_and_unknown_actions_delete_nothing(
    delete: Make, event: Make, target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    state = deletions(
        delete("link", track_link=""),
        delete("ids", ids=[]),
        delete("author", track_author="", timestamp="2030-01-01T00:00:00Z"),
        event("delete", action="link"),
        event("delete", action="everything"),
    )
    assert state.empty
    assert not state.purges(target)
    assert "'everything'" in caplog.text


async def test_a_restarted_server_learns_everything_from_the_log(
    make_bench: Make, delete: Make, insert: Make, binary: Make
) -> None:
    before = make_bench()
    await before.publish(insert("b", "e"), insert("b", "f"), model="insert")
    gone, _ = await before.stored("system.insert")
    await before.publish(binary("d"))
    [known] = await before.stored("samples.binary.extracted")
    await before.publish(delete("ids", ids=[known["kafka_key"]]), model="delete")
    await before.log.append([Append(before.names.system("insert"), gone["kafka_key"].encode(), None)])

    after = make_bench(log=before.log)
    for topic, state in (("delete", after.deletions), ("insert", after.inserts)):
        for record in (await after.log.read((after.names.system(topic), 0), 0, 1 << 20)).records:
            state.on_record(record)
    assert (await after.publish(binary("d"))).deleted == 1
    await after.publish(binary("b"))
    assert [e["entity"]["sha256"][0] for e in await after.stored("samples.binary.extracted")] == ["d", "b", "f"]
