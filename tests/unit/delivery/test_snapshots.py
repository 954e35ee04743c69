"""What the journal holds is what comes back."""

from dataclasses import replace

import msgspec
import pytest

from dispatcher.delivery.cursors import Cursor
from dispatcher.delivery.leases import Lease
from dispatcher.delivery.snapshots import (
    POSITIONS_KEY,
    Positions,
    cursor_key,
    pack_cursor,
    pack_subscriber,
    subscriber_key,
    unpack_slot,
)
from dispatcher.delivery.spans import Spans
from dispatcher.delivery.subscribers import Subscriber, subscriber_id
from dispatcher.hooks.types import StreamWant, Subscription

HERE = ("azul.t.a-source.with.dots.binary.sourced", 7)
WANTED = Subscription(
    "näme/with.all-of:it",
    "1.0",
    "binary",
    sources=("a", "b"),
    actions=("sourced",),
    expedite=True,
    historic=True,
    task=True,
    deny_actions=("mapped",),
    under_size=5,
    over_size=1,
    require_content=True,
    streams=(StreamWant("content", ("image/", "text/")), StreamWant("*")),
    deny_self=True,
    max_security="HIGH",
    gjson=("a.b", "c"),
    deployment_key="d",
)


def subscriber(**fields: object) -> Subscriber:
    made = Subscriber(subscriber_id(WANTED), WANTED, registered_at=1.5, seen_at=2.5, epoch=3, skipped_pause=4.5)
    made.add(Cursor(HERE, **{"join": 10, **fields}))  # type: ignore[arg-type]
    return made


def packed(made: Subscriber, position: int | None = None, **positions: object) -> dict[bytes, bytes]:
    state = {subscriber_key(made.sid): pack_subscriber(made)}
    for partition, cursor in made.cursors.items():
        state[cursor_key(made.sid, partition)] = pack_cursor(cursor, made.epoch, position)
    if positions:
        state[POSITIONS_KEY] = msgspec.json.encode(Positions(**positions))  # type: ignore[arg-type]
    return state


def restored(state: dict[bytes, bytes]) -> tuple[Subscriber, Cursor]:
    (found,), _ = unpack_slot(state)
    (cursor,) = found.cursors.values()
    return found, cursor


def test_a_subscriber_comes_back() -> None:
    made = subscriber(open_from=12)
    found, cursor = restored(packed(made))
    for name in ("sid", "wanted", "registered_at", "seen_at", "epoch", "skipped_pause", "secret"):
        assert getattr(found, name) == getattr(made, name), name
    assert subscriber_id(found.wanted) == made.sid
    assert found.idle, "nobody has asked here yet"
    assert not found.dirty
    assert cursor.partition == HERE
    assert found.places[cursor.topic_id, 7] is cursor


def test_a_cursor_comes_back() -> None:
    made = subscriber(spans=Spans([(0, 3), (5, 9)]), open_from=12)
    cursor = made.cursors[HERE]
    cursor.leases = {
        3: Lease(1, 60.0, 100.5),
        4: Lease(3, 60.0, 100.5, due_at=130.0, failed=2, reason="why"),
        9: Lease(3, 60.0, 100.5, failed=3, reason="expired", ending=True),
    }
    found, again = restored(packed(made))
    assert list(again.spans) == [(0, 3), (5, 9)]
    assert again.open_from == 12
    assert again.leases == cursor.leases
    assert again in found.agenda.leased
    assert again not in found.agenda.changed
    assert (again.join, again.live, again.expedite) == (10, True, False)


def test_ready_and_held_come_back_as_not_looked_at() -> None:
    made = subscriber(open_from=12, ready={3, 4}, held={6, 8}, leases={8: Lease(2, 9.0, 1.0, due_at=3.0)})
    _, again = restored(packed(made))
    assert list(again.spans) == [(3, 5), (6, 7)]
    assert set(again.leases) == {8}
    assert not again.ready
    assert not again.held


@pytest.mark.parametrize(("tail", "expected"), [(None, 20), (15, 20), (33, 33)])
def test_an_attached_cursor_goes_on_where_the_tail_was_written(tail: int | None, expected: int) -> None:
    positions = {} if tail is None else {"tail": [(*HERE, tail)]}
    found, again = restored(packed(subscriber(attached=True), position=20, **positions))
    assert (again.attached, again.open_from) == (False, expected)
    assert again in found.agenda.changed, "else the next crash would take newer positions for its own"


def test_a_detached_cursor_does_not_move_with_the_tail() -> None:
    _, again = restored(packed(subscriber(open_from=20), position=30, tail=[(*HERE, 33)]))
    assert again.open_from == 20


def test_cursors_of_another_epoch_mean_nothing() -> None:
    made = subscriber(open_from=5)
    state = packed(made)
    made.epoch += 1
    state[subscriber_key(made.sid)] = pack_subscriber(made)
    (found,), _ = unpack_slot(state)
    assert not found.cursors


def test_cursors_without_a_registration_mean_nothing() -> None:
    state = packed(subscriber())
    assert unpack_slot({key: value for key, value in state.items() if key.startswith(b"c/")})[0] == []


def test_a_registration_of_a_newer_version_with_more_fields_is_read() -> None:
    made = subscriber()
    state = packed(made)
    record = msgspec.json.decode(state[subscriber_key(made.sid)])
    record["wanted"]["invented"] = ["x"]
    record["more"] = 1
    state[subscriber_key(made.sid)] = msgspec.json.encode(record)
    assert restored(state)[0].wanted == WANTED


def test_nothing_written_yet() -> None:
    assert unpack_slot({}) == ([], Positions())


def test_identity_is_what_the_contract_says() -> None:
    sid = subscriber_id(WANTED)
    same = replace(
        WANTED,
        task=False,
        under_size=9,
        streams=(),
        deny_self=False,
        gjson=(),
        deployment_key="",
        actions=("sourced", "sourced"),
    )
    assert subscriber_id(same) == sid
    for changed in (
        {"name": "x"},
        {"version": "2"},
        {"sources": ()},
        {"live": True},
        {"debug": True},
        {"model": "status"},
    ):
        assert subscriber_id(replace(WANTED, **changed)) != sid, changed
