"""What every object store does alike. A new store inherits StoreContract and says how it is opened."""

import hashlib
import sys
import time
from pathlib import Path

import pytest

from dispatcher.hooks.types import ObjectStore, StreamId
from dispatcher.streams.store import open_local, open_memory

SHA = hashlib.sha256(b"hello").hexdigest()
HERE = StreamId("web", "content", SHA)
THERE = StreamId("mail", "content", SHA)
ROOT = StreamId("", "", SHA)
EXECUTABLE = Path(sys.executable).read_bytes()


async def whole(store: ObjectStore, where: StreamId, start: int, length: int) -> bytes:
    return b"".join([bytes(piece) async for piece in store.read(where, start, length)])


class StoreContract:
    """Subclasses give the fixture `store`."""

    @pytest.fixture
    def hello(self, tmp_path: Path) -> Path:
        path = tmp_path / "hello"
        path.write_bytes(b"hello")
        return path

    async def test_what_is_put_is_there(self, store, hello):
        before = time.time()
        await store.put(HERE, hello)
        info = await store.info(HERE)
        assert info.size == 5
        assert before - 2 <= info.modified <= time.time() + 2
        assert await whole(store, HERE, 0, 5) == b"hello"

    async def test_what_is_not_there(self, store):
        assert await store.info(HERE) is None
        assert await store.delete(HERE) is False
        with pytest.raises(FileNotFoundError):
            await whole(store, HERE, 0, 1)
        with pytest.raises(FileNotFoundError):
            await store.copy(HERE, THERE)

    @pytest.mark.parametrize(("start", "length"), [(0, 1), (4, 1), (1, 3), (0, 5), (2, 0)])
    async def test_a_range_is_exact(self, store, hello, start, length):
        await store.put(HERE, hello)
        assert await whole(store, HERE, start, length) == b"hello"[start : start + length]

    async def test_a_large_file_comes_back_whole_and_in_parts(self, store, tmp_path):
        body = EXECUTABLE
        body *= 1 + 9_000_000 // len(body)
        where = StreamId("web", "content", hashlib.sha256(body).hexdigest())
        big = tmp_path / "big"
        big.write_bytes(body)
        await store.put(where, big)
        assert await whole(store, where, 0, len(body)) == body
        middle = 4 * 1024 * 1024 - 3
        assert await whole(store, where, middle, 10) == body[middle : middle + 10]

    async def test_addresses_are_separate(self, store, hello):
        await store.put(HERE, hello)
        assert await store.info(THERE) is None
        assert await store.info(ROOT) is None

    async def test_an_object_without_source_and_label(self, store, hello):
        await store.put(ROOT, hello)
        assert await whole(store, ROOT, 0, 5) == b"hello"
        assert await store.info(HERE) is None

    async def test_the_same_id_is_not_written_again(self, store, hello):
        await store.put(HERE, hello)
        hello.write_bytes(b"HELLO")
        await store.put(HERE, hello)
        assert await whole(store, HERE, 0, 5) == b"hello"

    async def test_putting_again_makes_it_young(self, store, hello):
        await store.put(HERE, hello)
        first = (await store.info(HERE)).modified
        while time.time() < first + 0.02:
            pass
        await store.put(HERE, hello)
        assert (await store.info(HERE)).modified > first

    async def test_a_truncated_object_is_replaced(self, store, hello):
        await store.put(HERE, hello)
        hello.write_bytes(b"hello again")
        await store.put(HERE, hello)
        assert await whole(store, HERE, 0, 11) == b"hello again"

    async def test_a_copy_is_independent(self, store, hello):
        await store.put(HERE, hello)
        await store.copy(HERE, THERE)
        assert await store.delete(HERE) is True
        assert await store.info(HERE) is None
        assert await whole(store, THERE, 0, 5) == b"hello"

    async def test_a_copy_is_as_young_as_its_making(self, store, hello):
        await store.put(HERE, hello)
        first = (await store.info(HERE)).modified
        while time.time() < first + 0.02:
            pass
        await store.copy(HERE, THERE)
        assert (await store.info(THERE)).modified > first

    async def test_copying_onto_what_is_there(self, store, hello):
        await store.put(HERE, hello)
        await store.copy(HERE, THERE)
        await store.copy(HERE, THERE)
        await store.copy(HERE, HERE)
        assert await whole(store, THERE, 0, 5) == await whole(store, HERE, 0, 5) == b"hello"

    async def test_deleted_is_gone_and_may_come_again(self, store, hello):
        await store.put(HERE, hello)
        assert await store.delete(HERE) is True
        assert await store.delete(HERE) is False
        await store.put(HERE, hello)
        assert (await store.info(HERE)).size == 5

    async def test_a_put_that_fails_leaves_nothing(self, store, tmp_path):
        with pytest.raises(FileNotFoundError):
            await store.put(HERE, tmp_path / "missing")
        assert await store.info(HERE) is None

    @pytest.mark.parametrize(
        "where",
        [
            StreamId("..", "content", SHA),
            StreamId("web", "..", SHA),
            StreamId("web/../..", "content", SHA),
            StreamId("web", "", SHA),
            StreamId("", "content", SHA),
            StreamId("web", "content", "a"),
            StreamId("web", "content", "../" * 21 + "a"),
            StreamId("web", "content\0", SHA),
            StreamId("web", "content\n", SHA),
            StreamId("w" * 129, "content", SHA),
        ],
    )
    async def test_what_is_no_address_reaches_nothing(self, store, hello, where):
        for attempt in (store.put(where, hello), store.info(where), store.delete(where), store.copy(where, HERE)):
            with pytest.raises(ValueError, match="not an object address"):
                await attempt
        with pytest.raises(ValueError, match="not an object address"):
            await whole(store, where, 0, 1)


class TestLocalStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path):
        store = await open_local(f"file://{tmp_path}/objects")
        yield store
        await store.close()


class TestMemoryStore(StoreContract):
    @pytest.fixture
    async def store(self):
        store = await open_memory("memory:")
        yield store
        await store.close()
