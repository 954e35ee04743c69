import asyncio

from dispatcher.streams.locks import KeyedLocks


async def test_one_at_a_time_per_key_and_nothing_kept():
    locks = KeyedLocks()
    inside: list[str] = []
    most: dict[str, int] = {}

    async def visit(key: str) -> None:
        async with locks(key):
            inside.append(key)
            most[key] = max(most.get(key, 0), inside.count(key))
            await asyncio.sleep(0)
            inside.remove(key)

    waiting = [asyncio.create_task(visit(key)) for key in "aabbaacc"]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert most == {"a": 1, "b": 1, "c": 1}
    assert len(locks) == 0


async def test_different_keys_do_not_wait():
    locks = KeyedLocks()
    async with locks("a"), asyncio.timeout(1), locks("b"):
        assert len(locks) == 2
