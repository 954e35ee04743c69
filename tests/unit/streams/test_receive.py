"""Uploads on their way to disk, and the folder that they wait in."""

import asyncio
import hashlib
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from dispatcher.streams.receive import BLOCK, Crowd, Received
from dispatcher.streams.spool import Spool


async def pieces(*parts: bytes):
    for part in parts:
        yield part


async def test_bytes_arrive_whole_and_hashed_in_one_pass(tmp_path):
    body = os.urandom(1000) * 3000
    cuts = [0, 1, 70_000, 70_000, BLOCK + 5, 2 * BLOCK, len(body)]
    parts = [body[a:b] for a, b in pairwise(cuts)]
    async with Received(tmp_path / "file", ["sha256"], Crowd()) as file:
        await file.take(pieces(*parts))
        assert file.path.read_bytes() == body
        assert file.size == len(body)
        assert file.digests() == {"sha256": hashlib.sha256(body).hexdigest()}
    assert list(tmp_path.iterdir()) == []


async def test_a_sender_that_breaks_off_leaves_nothing(tmp_path):
    async def broken():
        for _ in range(5):
            yield bytes(BLOCK)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with Received(tmp_path / "file", ["sha256"], Crowd()) as file:
            await file.take(broken())
    assert list(tmp_path.iterdir()) == []


async def test_giving_up_leaves_nothing(tmp_path):
    arrived = asyncio.Event()

    async def slow():
        for _ in range(3):
            yield bytes(BLOCK)
        arrived.set()
        await asyncio.Event().wait()

    async def receive():
        async with Received(tmp_path / "file", ["sha256"], Crowd()) as file:
            await file.take(slow())

    task = asyncio.create_task(receive())
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


async def test_memory_is_bounded_by_blocks_even_for_tiny_pieces(tmp_path):
    """A hostile sender may send a byte at a time: what waits is bytes, not objects."""

    async def crumbs():
        for _ in range(BLOCK // 4):
            yield b"x"

    async with Received(tmp_path / "file", ["md5"], Crowd()) as file:
        await file.take(crumbs())
        assert file.size == BLOCK // 4


async def test_a_full_disk_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(FileExistsError):
        async with Received(tmp_path / "file", ["md5"], Crowd()) as file:
            await file.take(pieces(b"x"))


def test_a_spool_is_removed_when_it_is_closed(tmp_path):
    spool = Spool(tmp_path / "spool")
    spool.open()
    spool.fresh().write_bytes(b"x")
    assert spool.fresh() != spool.fresh()
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


OTHER = """
import sys
from itertools import pairwise
from pathlib import Path
from dispatcher.streams.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.open()
spool.fresh().write_bytes(b"stale")
print("ready", flush=True)
sys.stdin.read()
"""


async def test_leftovers_of_a_killed_server_go_those_of_a_living_one_stay(tmp_path):
    root = tmp_path / "spool"
    others = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", OTHER, str(root), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    for other in others:
        assert other.stdout
        assert await other.stdout.readline() == b"ready\n"
    (root / "not-ours").mkdir()
    others[0].send_signal(signal.SIGKILL)
    await others[0].wait()

    spool = Spool(root)
    spool.open()
    names = sorted(path.name for path in root.iterdir())
    assert [f"-{other.pid}-" in " ".join(names) for other in others] == [False, True]
    assert "not-ours" in names
    spool.close()

    assert others[1].stdin
    others[1].stdin.close()
    await others[1].wait()


def test_a_spool_in_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Spool(Path(tmp_path / "file" / "spool")).open()


def test_with_many_uploads_each_has_a_smaller_block():
    crowd = Crowd()
    sizes = []
    for crowd.size in (0, 1, 64, 128, 100_000):
        sizes.append(crowd.block)
    assert sizes == [BLOCK, BLOCK, BLOCK, BLOCK // 2, 65_536]
