"""What only the store on local disk promises."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from obstore.exceptions import BaseError

from dispatcher.errors import StartupError
from dispatcher.hooks.types import StreamId
from dispatcher.streams.store import open_local

SHA = hashlib.sha256(b"hello").hexdigest()
HERE = StreamId("web", "content", SHA)


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello"
    path.write_bytes(b"hello")
    return path


@pytest.fixture
async def store(tmp_path: Path):
    store = await open_local(f"file://{tmp_path}/objects")
    yield store
    await store.close()


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_the_layout_is_the_originals(store, hello, tmp_path):
    await store.put(HERE, hello)
    await store.put(StreamId("", "", SHA), hello)
    assert files(tmp_path / "objects") == [f"2/c/{SHA}", f"web/content/2/c/{SHA}"]


async def test_objects_of_an_original_server_are_found(store, tmp_path):
    old = tmp_path / "objects" / "web" / "content" / "2" / "c" / SHA
    old.parent.mkdir(parents=True)
    old.write_bytes(b"hello")
    assert (await store.info(HERE)).size == 5


async def test_a_failed_put_leaves_no_file_behind(store, hello, tmp_path):
    (tmp_path / "objects" / "web" / "content" / "2" / "c" / SHA / "a folder where a file should be").mkdir(parents=True)
    with pytest.raises((OSError, BaseError)):
        await store.put(HERE, hello)
    assert files(tmp_path / "objects") == []


async def test_what_a_killed_server_left_half_written_goes_away(tmp_path):
    incoming = tmp_path / "objects" / ".incoming"
    incoming.mkdir(parents=True)
    for name, age in (("old", 100_000), ("young", 10)):
        (incoming / name).write_bytes(b"half")
        os.utime(incoming / name, (time.time() - age,) * 2)
    store = await open_local(f"file://{tmp_path}/objects")
    assert files(tmp_path / "objects") == [".incoming/young"]
    await store.close()


@pytest.mark.parametrize("url", ["file:objects", "file://host/objects", "objects", "http:///objects", "file:"])
async def test_other_urls_are_refused_with_the_cure(url):
    with pytest.raises(StartupError, match="file:///absolute/path"):
        await open_local(url)


async def test_a_folder_that_cannot_be_is_refused(hello):
    with pytest.raises(StartupError, match="hello"):
        await open_local(f"file://{hello}/objects")


async def test_a_folder_with_odd_letters(tmp_path, hello):
    store = await open_local(f"file://{tmp_path}/a%20b%25%C3%A9")
    await store.put(HERE, hello)
    assert (tmp_path / "a b%é" / "web" / "content" / "2" / "c" / SHA).read_bytes() == b"hello"
    await store.close()


STRACE = """
import asyncio, sys
from pathlib import Path
from dispatcher.hooks.types import StreamId
from dispatcher.streams import store as module
import os

events = []
def heard(name, args):
    if name in ("os.rename", "os.truncate"):
        events.append(name)

real = os.fsync
def fsync(descriptor):
    target = os.readlink(f"/proc/self/fd/{descriptor}")
    events.append(("fsync", target))
    real(descriptor)
os.fsync = fsync

async def main(root, origin, sha):
    store = await module.open_local("file://" + root)
    await store.put(StreamId("web", "content", sha), Path(origin))
    await store.close()
    for event in events:
        print(event[1])

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_bytes_and_every_new_folder_are_safe_on_disk_before_the_answer(tmp_path, hello):
    """In a process of its own, with the kernel's fsync watched: the file first, then folders, the name last."""
    root = tmp_path / "objects"
    run = subprocess.run(
        [sys.executable, "-c", STRACE, str(root), str(hello), SHA], capture_output=True, text=True, check=True
    )
    synced = [os.path.relpath(line, root) for line in run.stdout.split()]
    assert synced[0].startswith(".incoming/")
    assert synced[1:] == [".", "web", "web/content", "web/content/2", "web/content/2/c"]
