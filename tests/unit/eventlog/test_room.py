import asyncio

from dispatcher.eventlog.room import Room


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_first_come_first_served():
    room = Room(10)
    await room.take(8)
    order: list[int] = []

    async def take(size: int) -> None:
        await room.take(size)
        order.append(size)

    waiting = [asyncio.ensure_future(take(size)) for size in (9, 1, 2)]
    await settle()
    assert order == []  # 1 would fit, but 9 was first
    room.give(8)
    await settle()
    assert order == [9, 1]
    room.give(9)
    await asyncio.gather(*waiting)
    assert (order, room.used) == ([9, 1, 2], 3)


async def test_who_stops_waiting_is_passed_over():
    room = Room(10)
    await room.take(10)
    first, second = asyncio.ensure_future(room.take(10)), asyncio.ensure_future(room.take(5))
    await settle()
    first.cancel()
    await settle()
    room.give(10)
    await second
    assert room.used == 5


async def test_a_turn_that_comes_together_with_a_cancel_is_given_back():
    room = Room(10)
    await room.take(10)
    waiting = asyncio.ensure_future(room.take(10))
    await settle()
    room.give(10)  # its turn has come
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert room.used == 0
