"""What every journal does."""

import asyncio

import pytest

from dispatcher.eventlog.base import SLOTS, Fenced


async def test_a_new_slot_is_empty(backend):
    assert (await backend.journal.open(0))[1] == {}


async def test_what_was_put_is_there_for_the_next_owner(backend):
    fence, _ = await backend.journal.open(3)
    await backend.journal.put(3, fence, {b"a": b"1", b"b": b"2", b"\x00": b""})
    await backend.journal.put(3, fence, {b"a": b"3", b"b": None, b"never": None})
    await backend.reopen()
    newer, state = await backend.journal.open(3)
    assert newer > fence
    assert state == {b"a": b"3", b"\x00": b""}


async def test_an_older_owner_is_refused_and_writes_nothing(backend):
    old, _ = await backend.journal.open(1)
    await backend.journal.put(1, old, {b"a": b"1"})
    new, _ = await backend.journal.open(1)
    with pytest.raises(Fenced):
        await backend.journal.put(1, old, {b"a": b"old", b"b": b"old"})
    await backend.journal.put(1, new, {b"c": b"3"})
    assert (await backend.journal.open(1))[1] == {b"a": b"1", b"c": b"3"}


async def test_a_slot_that_nobody_opened_is_refused(backend):
    with pytest.raises(Fenced):
        await backend.journal.put(5, 1, {b"a": b"1"})


async def test_slots_are_apart(backend):
    first = await backend.journal.open_many(range(SLOTS))
    assert {slot: state for slot, (_, state) in first.items()} == {slot: {} for slot in range(SLOTS)}
    puts = (backend.journal.put(slot, fence, {b"k": b"%d" % slot}) for slot, (fence, _) in first.items())
    await asyncio.gather(*puts)
    await backend.journal.open(7)
    await backend.reopen()
    second = await backend.journal.open_many(range(SLOTS))
    assert {slot: state for slot, (_, state) in second.items()} == {slot: {b"k": b"%d" % slot} for slot in range(SLOTS)}
    assert all(second[slot][0] > first[slot][0] for slot in range(SLOTS))


async def test_the_state_given_is_a_copy(backend):
    fence, state = await backend.journal.open(0)
    state[b"mine"] = b"1"
    await backend.journal.put(0, fence, {b"k": b"v"})
    assert (await backend.journal.open(0))[1] == {b"k": b"v"}
    assert state == {b"mine": b"1"}


async def test_writes_of_one_owner_keep_their_order(backend):
    fence, _ = await backend.journal.open(0)
    await asyncio.gather(*(backend.journal.put(0, fence, {b"k": b"%d" % n}) for n in range(50)))
    assert (await backend.journal.open(0))[1] == {b"k": b"49"}


async def test_refused_writes_do_not_harm_others_of_the_same_moment(backend):
    fence, _ = await backend.journal.open(0)
    results = await asyncio.gather(
        *(backend.journal.put(0, fence if n % 2 else 99, {b"%d" % n: b"v"}) for n in range(20)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Fenced, type(None)] * 10
    assert set((await backend.journal.open(0))[1]) == {b"%d" % n for n in range(1, 20, 2)}
