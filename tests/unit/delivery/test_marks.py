"""Names and low marks that other tools see."""

from typing import Any

import pytest

from dispatcher.delivery.marks import plugin_key
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.types import Subscription

LAB = (TopicNames("t").binary("lab", "sourced"), 0)


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        (
            Subscription("myplugin", "0.1.0", "binary", expedite=True, live=True, historic=True),
            "myplugin-0.1.0-binary-allsrc-alltype-ELH",
        ),
        (
            Subscription("myplugin", "0.1.0", "status", expedite=True, live=True, historic=True),
            "myplugin-0.1.0-status-LH",
        ),
        (
            Subscription("p", "1", "binary", sources=("a", "b"), actions=("sourced",), live=True, debug=True),
            "p-1-binary-a.b-sourced-LD",
        ),
        (
            Subscription("p", "1", "binary", sources=("b", "a", "b"), actions=("sourced",), live=True, debug=True),
            "p-1-binary-a.b-sourced-LD",
        ),
    ],
)
def test_a_subscriber_is_called_as_the_original_called_it(wanted: Subscription, key: str) -> None:
    assert plugin_key(wanted) == key


async def test_the_mark_is_the_first_offset_that_is_not_finished(hub: Any) -> None:
    plug = Subscription("plug", "1", "binary", live=True, historic=True, task=True)
    picky = Subscription("picky", "1", "binary", live=True, under_size=2, task=True)

    def marks() -> dict[str, int]:
        return {marks.key.split("-")[0]: marks.low[LAB] for marks in hub.delivery.low_marks()}

    await hub.hashes(plug)
    await hub.hashes(picky)
    await hub.post(4)
    jobs = await hub.fetch(plug, 4, 5.0)
    await hub.until(lambda: marks() == {"plug": 0, "picky": 4})  # what its filters reject is finished
    for job in jobs[1:]:
        await hub.status(job)
    await hub.status(jobs[3])
    assert marks()["plug"] == 0
    await hub.status(jobs[0])
    await hub.until(lambda: marks()["plug"] == 4)
    await hub.post(2)
    await hub.until(lambda: marks()["picky"] == 6)
    assert marks()["plug"] == 4


async def test_who_is_away_falls_behind_and_shows_it(hub: Any) -> None:
    plug = Subscription("plug", "1", "binary", live=True, under_size=2, task=True)
    await hub.hashes(plug)
    await hub.post(2)

    def mark() -> int:
        return int(next(hub.delivery.low_marks()).low[LAB])

    await hub.until(lambda: mark() == 2)
    hub.clock.now += 31
    await hub.until(lambda: LAB not in hub.delivery.scheduler.position)
    await hub.post(3)
    assert mark() == 2
    assert await hub.hashes(plug) == []
    await hub.until(lambda: mark() == 5)
