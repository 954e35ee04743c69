from datetime import UTC, datetime, timedelta

from dispatcher_sdk.models import (
    Author,
    BinaryEntity,
    BinaryEvent,
    Feature,
    PathNode,
    Source,
    StatusEntity,
    StatusEvent,
)

from dispatcher.cli.demo.tally import Tally

WHEN = datetime(2026, 1, 2, tzinfo=UTC)


def status(key: str, value: str, *results: BinaryEvent, when: datetime = WHEN) -> StatusEvent:
    return StatusEvent(
        kafka_key=key,
        author=Author(name="url-finder"),
        entity=StatusEntity(input=BinaryEvent(source=Source(timestamp=when)), status=value, results=list(results)),
    )


def result(action: str, *features: Feature) -> BinaryEvent:
    source = Source(path=[PathNode(filename="a.txt")])
    return BinaryEvent(action=action, source=source, entity=BinaryEntity(features=list(features)))


def test_final_statuses_of_this_submission_count_once() -> None:
    tally = Tally(WHEN)
    found = result("enriched", Feature(name="url", value="http://a"), Feature(name="url", value="http://b"))
    done = status("1", "completed", found, result("extracted"))
    tally.add([done, done, status("2", "opt-out"), status("3", "heartbeat"), status("4", "error-timeout")])
    tally.add([status("5", "completed", when=WHEN - timedelta(days=1)), done])
    work = tally.plugins["url-finder"]
    assert (work.jobs, work.completed, work.opted_out, work.failed) == (3, 1, 1, 1)
    assert (work.features, work.children) == (2, 1)
    assert list(tally.findings) == ["url 'http://a' in a.txt"]
    assert tally.jobs == 3
