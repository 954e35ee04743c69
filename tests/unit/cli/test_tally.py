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
AUTHOR = Author(name="url-finder")


def status(key: str, value: str, when: datetime = WHEN) -> StatusEvent:
    entity = StatusEntity(input=BinaryEvent(source=Source(timestamp=when)), status=value)
    return StatusEvent(kafka_key=key, author=AUTHOR, entity=entity)


def result(key: str, action: str, *features: Feature, when: datetime = WHEN) -> BinaryEvent:
    source = Source(timestamp=when, path=[PathNode(filename="a.txt"), PathNode()])
    entity = BinaryEntity(features=list(features))
    return BinaryEvent(kafka_key=key, author=AUTHOR, action=action, source=source, entity=entity)


def test_final_statuses_of_this_submission_count_once() -> None:
    tally = Tally(WHEN)
    tally.add(
        [status("1", "completed"), status("2", "opt-out"), status("3", "heartbeat"), status("4", "error-timeout")]
    )
    tally.add([status("1", "completed"), status("5", "completed", WHEN - timedelta(days=1))])
    work = tally.plugins["url-finder"]
    assert (work.jobs, work.completed, work.opted_out, work.failed) == (3, 1, 1, 1)
    assert tally.jobs == 3


def test_results_of_this_submission_count_once() -> None:
    tally = Tally(WHEN)
    found = result("6", "enriched", Feature(name="url", value="http://a"), Feature(name="url", value="http://b"))
    tally.add([found, result("7", "extracted"), found, result("8", "extracted", when=WHEN + timedelta(seconds=1))])
    work = tally.plugins["url-finder"]
    assert (work.features, work.children, work.jobs) == (2, 1, 0)
    assert list(tally.findings) == ["url 'http://a' in a.txt"]
