"""One subscriber's view of one partition."""

import pytest

from dispatcher.delivery.cursors import EXPEDITE, HISTORIC, LANES, LIVE, Cursor, Stretch
from dispatcher.delivery.leases import Lease
from dispatcher.delivery.spans import Spans

HERE = ("azul.t.lab.binary.sourced", 0)


def cursor(**fields: object) -> Cursor:
    return Cursor(HERE, **{"join": 10, **fields})  # type: ignore[arg-type]


def test_lanes() -> None:
    both = cursor()
    assert [both.lane(9), both.lane(10)] == [HISTORIC, LIVE]
    assert cursor(live=False).lane(99) == HISTORIC, "who never asked for live gets everything as historic"
    assert cursor(expedite=True, join=0).lane(0) == EXPEDITE


def test_live_is_scanned_apart_from_historic() -> None:
    behind = cursor(spans=Spans([(0, 10), (12, 14)]), open_from=20)
    assert behind.stretch(LIVE, 30) == Stretch(12, 14, False), "live offsets that came back, before new ones"
    assert behind.stretch(HISTORIC, 30) == Stretch(0, 10, False)
    assert behind.stretch(EXPEDITE, 30) is None
    behind.spans.remove(12, 14)
    assert behind.stretch(LIVE, 30) == Stretch(20, 30, True)
    assert behind.stretch(LIVE, 20) is None, "nothing new there"
    assert behind.stretch(LIVE, None) is None, "nobody knows how far the log goes"
    assert behind.stretch(HISTORIC, None) is not None, "closed ranges need no tail"


def test_historic_without_live_goes_on() -> None:
    reader = cursor(live=False, open_from=0)
    assert reader.stretch(HISTORIC, 30) == Stretch(0, 30, True)
    assert reader.stretch(LIVE, 30) is None


def test_one_stretch_spans_all_ranges_of_its_lane() -> None:
    """2 000 single offsets that came back must not mean 2 000 reads."""
    behind = cursor(join=0, spans=Spans((o, o + 1) for o in range(0, 4_000, 2)), open_from=5_000)
    assert behind.stretch(LIVE, 5_000) == Stretch(0, 3_999, False)
    assert behind.scanned(Stretch(0, 3_999, False), 3_000) == 1_500
    assert behind.spans.first_from(0) == 3_000


@pytest.mark.parametrize("kind", [{}, {"live": False}, {"expedite": True, "join": 0}])
def test_what_needs_a_scan_is_on_the_agenda(kind: dict[str, object]) -> None:
    for make in ({"open_from": 10}, {"spans": Spans([(3, 5)])}, {"spans": Spans([(12, 13)])}):
        behind = cursor(**{**kind, **make})
        behind.lag()
        for lane in LANES:
            if behind.stretch(lane, 50):
                assert behind in behind.agenda.behind[lane]


def test_attach_and_detach() -> None:
    sharing = cursor(open_from=10)
    sharing.attach_at(9)
    assert not sharing.attached
    sharing.attach_at(None)
    assert not sharing.attached
    sharing.attach_at(10)
    assert (sharing.attached, sharing.open_from) == (True, None)
    sharing.detach(25)
    assert (sharing.attached, sharing.open_from) == (False, 25)
    sharing.detach(99)
    assert sharing.open_from == 25, "it is where it left, not where the tail went without it"


def test_a_status_within_the_open_range_leaves_the_offsets_before_it_pending() -> None:
    """After a crash the journal may not know of a lease; its status is durable all the same."""
    restored = cursor(open_from=10)
    assert restored.finalise(13)
    assert list(restored.spans) == [(10, 13)]
    assert restored.open_from == 14
    assert restored in restored.agenda.behind[LIVE]
    assert restored in restored.agenda.changed


def test_a_status_at_the_start_of_the_open_range() -> None:
    restored = cursor(open_from=10)
    assert restored.finalise(10)
    assert list(restored.spans) == []
    assert restored.open_from == 11


@pytest.mark.parametrize("where", ["spans", "ready", "held", "leases"])
def test_finalise_takes_it_from_wherever_it_is(where: str) -> None:
    holder = cursor(attached=True, spans=Spans([(0, 3), (6, 9)]))
    if where == "spans":
        holder.spans.add(4, 5)
    elif where == "leases":
        holder.leases[4] = Lease(1, 10.0, 0.0)
    else:
        getattr(holder, where).add(4)
    assert holder.finalise(4)
    assert not holder.finalise(4), "the second time it was done already"
    assert 4 not in holder.unseen()
    assert list(holder.spans) == [(0, 3), (6, 9)]


def test_a_lease_that_is_on_its_way_again_ends_once() -> None:
    again = cursor(attached=True)
    again.leases[4] = Lease(2, 10.0, 0.0, due_at=1.0)
    again.hold(4)
    assert list(again.unseen()) == [], "the snapshot has it as a lease, not twice"
    assert again.finalise(4)
    assert not again.leases
    assert not again.held


def test_delivered_is_done() -> None:
    reader = cursor(attached=True)
    for offset in (11, 12):
        reader.hold(offset)
    reader.leases[12] = Lease(2, 10.0, 0.0, due_at=1.0)  # a filter had raised, and now it came again
    for offset in (11, 12, 13):
        reader.deliver(offset)
    assert not reader.held
    assert not reader.leases
    assert list(reader.unseen()) == []


def test_ready_comes_back_to_be_decided_again() -> None:
    decided = cursor(attached=True, ready={11, 12, 15}, doubtful={12})
    decided.return_ready()
    assert list(decided.spans) == [(11, 13), (15, 16)]
    assert not decided.ready
    assert not decided.doubtful
    assert decided in decided.agenda.behind[LIVE]


def test_skipping_keeps_what_clients_have() -> None:
    paused = cursor(spans=Spans([(0, 5)]), ready={12}, attached=True)
    paused.leases[6] = Lease(1, 10.0, 0.0)
    paused.hold(7)
    assert paused.skip_to(30, 20) == 5 + 1 + 10
    assert (paused.attached, paused.open_from) == (False, 30), "nor what the tail had not shown yet"
    assert 6 in paused.leases
    assert 7 in paused.held
    assert paused.skip_to(30, 20) == 0


def test_an_unread_end_is_skipped_too() -> None:
    away = cursor(open_from=10)
    assert away.skip_to(25, None) == 15
    assert away.open_from == 25
    assert away.skip_to(20, None) == 0
    assert away.open_from == 25
