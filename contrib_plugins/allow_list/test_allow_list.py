"""Lists of known files: what is read from them, what happens when they change or break, and a running server."""

import hashlib
import io
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import allow_list
import allow_list_build
import pytest
from allow_list import AllowList, Options, digest_of
from allow_list_build import AT_ONCE, LONGEST_LINE, READ_BYTES, BadList, build, digests
from allow_list_index import BadIndex, HashSet, write
from allow_list_keeper import INDEX, Keeper
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.errors import StartupError
from dispatcher.hooks import HookContext, Subscription, hookimpl
from dispatcher.testing import LocalDispatcher


def digest(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def lines(*numbers: int) -> str:
    return "".join(f"{digest(number).hex()}\n" for number in numbers)


# ---- the index


@settings(deadline=None, max_examples=50)
@given(st.sets(st.binary(min_size=32, max_size=32)), st.binary(min_size=32, max_size=32))
def test_the_index_has_what_was_put_in_only(tmp_path_factory: Any, members: set[bytes], other: bytes) -> None:
    near = {member[:31] + bytes((member[31] ^ 1,)) for member in members}
    path = tmp_path_factory.mktemp("index") / "index"
    with path.open("wb") as file:
        assert write(file, b"note", [sorted(members)]) == len(members)
    found = HashSet(path)
    assert (len(found), found.note) == (len(members), b"note")
    assert all(member in found for member in members)
    assert [each for each in {*near, other} - members if each in found] == []
    found.close()


@pytest.mark.parametrize(("start", "end", "more"), [(0, -1, b""), (0, None, b"x"), (1, None, b"x"), (0, 0, b"")])
def test_a_damaged_index_is_refused(tmp_path: Path, start: int, end: int | None, more: bytes) -> None:
    made = io.BytesIO()
    write(made, b"{}", [[digest(1)]])
    (tmp_path / "index").write_bytes(made.getvalue()[start:end] + more)
    with pytest.raises(BadIndex):
        HashSet(tmp_path / "index")


# ---- reading lists


def read(tmp_path: Path, text: bytes | str) -> list[bytes]:
    path = tmp_path / "list"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [each for some in digests(str(path)) for each in some]


def test_forms_of_a_line(tmp_path: Path) -> None:
    one = digest(1).hex()
    forms = [
        one,
        one.upper(),
        f"  {one}\t",
        f"{one}  setup.exe",  # sha256sum
        f"{one} *setup.exe",
        f"\\{one}  odd\\nname",
        f'"{one}","setup.exe",123',  # NSRL
        f"{one},setup.exe",
        f"{one};x",
        f"{one}\r",
    ]
    text = "\ufeff# known good\n\n" + "\n".join(forms) + "\n# the end"
    assert read(tmp_path, text) == [digest(1)] * len(forms)


@pytest.mark.parametrize("title", ["sha256", '"SHA-256","FileName"', "SHA_256;name", "\ufeffSha256,md5"])
def test_a_table_may_have_titles(tmp_path: Path, title: str) -> None:
    assert read(tmp_path, f"{title}\n{lines(1, 2)}") == [digest(1), digest(2)]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_long_lists_are_read_whole(tmp_path: Path, ending: str, last: bool) -> None:
    count = READ_BYTES // 65 * 2 + 7
    text = ending.join(digest(number % 500).hex() for number in range(count)) + ending * last
    for start in ("", f"sha256{ending}"):
        assert read(tmp_path, start + text) == [digest(number % 500) for number in range(count)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (lines(1, 2) + "hello\n" + lines(3), 3),
        (lines(1) + "ab" * 20, 2),  # a sha1
        (lines(1) + lines(2)[:-2], 2),  # cut off
        (lines(1) + digest(2).hex() + "0\n", 2),
        ('"SHA-1","MD5"\n', 1),
        (lines(1) + "sha256\n", 2),
        ("\n\n\x00\x01\x02", 3),
        (lines(1) + "#" * (LONGEST_LINE + READ_BYTES * 2), 2),
        (lines(*range(100)) + " " * 32 + digest(1).hex()[32:] + "\n" + lines(1), 101),
        (lines(*range(READ_BYTES // 65 + 50)) + "x\n", READ_BYTES // 65 + 51),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(BadList) as bad:
        read(tmp_path, text)
    assert (bad.value.file, bad.value.line) == (str(tmp_path / "list"), line)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_hashes_or_a_bad_list(tmp_path_factory: Any, data: bytes) -> None:
    line = 1
    try:
        found = read(tmp_path_factory.mktemp("list"), data)
    except BadList as bad:
        found, line = [], bad.line
    assert all(len(each) == 32 for each in found)
    assert 1 <= line <= data.count(b"\n") + 1


def test_many_lists_become_one_set(tmp_path: Path) -> None:
    count = AT_ONCE + 5
    (tmp_path / "a").write_text(lines(*range(count)))
    (tmp_path / "b").write_text(lines(7, 7, count, 3))
    assert build([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path, tmp_path / "index", "") == count + 1
    found = HashSet(tmp_path / "index")
    assert all(digest(number) in found for number in range(count + 1))
    assert not any(digest(number) in found for number in range(count + 1, count + 1000))
    found.close()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "index"}, "nothing is left behind"


# ---- keeping it


class Lab:
    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self.lists = folder / "lists"
        self.kept = folder / "kept"
        self.lists.mkdir()
        self.kept.mkdir()
        self.open: list[Keeper] = []

    def keeper(self, *paths: Path) -> Keeper:
        made = Keeper(paths or (self.lists,), self.kept, 3600, self.problems.append)
        self.open.append(made)
        return made


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for keeper in made.open:
        await keeper.close()


def known(keeper: Keeper, *numbers: int) -> list[int]:
    return [number for number in numbers if keeper.known is not None and digest(number) in keeper.known]


async def test_a_changed_list_takes_the_place_of_the_one_before(lab: Lab) -> None:
    (lab.lists / "a.txt").write_text(lines(1, 2))
    keeper = lab.keeper()
    await keeper.check()
    assert known(keeper, 1, 2, 3) == [1, 2]
    (lab.lists / "b.txt").write_text(lines(3))
    (lab.lists / ".hidden").write_text("no hash")
    await keeper.check()
    assert known(keeper, 1, 2, 3) == [1, 2, 3]
    (lab.lists / "a.txt").unlink()
    await keeper.check()
    assert known(keeper, 1, 2, 3) == [3]
    assert lab.problems == []


async def test_a_broken_list_keeps_the_last_good_one(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    bad = lab.lists / "b.txt"
    (lab.lists / "a.txt").write_text(lines(1))
    keeper = lab.keeper()
    await keeper.check()
    with caplog.at_level(logging.ERROR):
        bad.write_text(lines(2) + "garbage\n")
        for _ in range(3):
            await keeper.check()
    assert known(keeper, 1, 2) == [1]
    assert lab.problems == [f"{bad}:2: 'garbage' does not begin with a sha256 in hex"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{lab.problems[0]}; the last good list stays (1 hashes)"
    ]
    bad.write_text(lines(2))
    await keeper.check()
    assert known(keeper, 1, 2) == [1, 2]
    bad.write_text("garbage again")
    await keeper.check()
    assert len(lab.problems) == 2


async def test_what_is_not_there_is_told_once_and_found_when_it_comes(lab: Lab) -> None:
    late = lab.lists / "late.txt"
    keeper = lab.keeper(late)
    await keeper.check()
    await keeper.check()
    assert lab.problems == [f"{late}: No such file or directory"]
    late.write_text(lines(1))
    await keeper.check()
    assert known(keeper, 1) == [1]
    os.mkfifo(lab.lists / "pipe")
    other = lab.keeper(lab.lists / "pipe")
    await other.check()
    assert lab.problems[1:] == [f"{lab.lists / 'pipe'}: neither a file nor a folder"]


async def test_a_restart_begins_with_the_last_good_list(lab: Lab) -> None:
    source = lab.lists / "a.txt"
    source.write_text(lines(1))
    before = lab.keeper()
    await before.check()
    source.write_text("broken")
    after = lab.keeper()
    await after.start()
    assert known(after, 1) == [1]
    await after.check()
    assert known(after, 1) == [1]
    assert len(lab.problems) == 1
    other = lab.keeper(source)
    await other.start()
    assert other.known is None, "a list of other files is not what was asked for"


async def test_an_unchanged_list_is_not_sorted_again(lab: Lab) -> None:
    (lab.lists / "a.txt").write_text(lines(1))
    await lab.keeper().check()
    made = (lab.kept / INDEX).stat()
    again = lab.keeper()
    await again.start()
    await again.check()
    assert known(again, 1) == [1]
    assert (lab.kept / INDEX).stat().st_ino == made.st_ino


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", bytes(1 << 20)])
async def test_a_damaged_index_is_made_anew(lab: Lab, rubbish: bytes) -> None:
    (lab.kept / INDEX).write_bytes(rubbish)
    (lab.lists / "a.txt").write_text(lines(1))
    keeper = lab.keeper()
    await keeper.start()
    await keeper.check()
    assert known(keeper, 1) == [1]


async def test_a_list_in_the_making_is_given_up_when_the_server_stops(lab: Lab) -> None:
    (lab.lists / "big.txt").write_text(lines(1) * 2_000_000)
    keeper = lab.keeper()
    await keeper.start()
    began = time.monotonic()
    await keeper.close()
    assert time.monotonic() - began < 5
    assert not (lab.kept / INDEX).exists()


def test_the_process_that_sorts_ends_with_its_server(lab: Lab) -> None:
    (lab.lists / "big.txt").write_text(lines(1) * 1_000_000)
    wanted = {"files": [str(lab.lists / "big.txt")], "folder": str(lab.kept), "target": str(lab.kept / INDEX)}
    command = [sys.executable, allow_list_build.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        said, _ = child.communicate(json.dumps({**wanted, "note": ""}).encode() + b"\n")
    assert (child.returncode, said) == (1, b"")
    assert list(lab.kept.iterdir()) == []


# ---- the filter and its options


def asked(name: str, model: str = "binary") -> Subscription:
    return Subscription(name, "1", model)


async def test_whom_it_concerns(lab: Lab) -> None:
    keeper = lab.keeper()
    rule = AllowList(keeper, ["sandbox", "yara-*"])
    assert not rule.applies(asked("sandbox")), "nothing is known yet"
    (lab.lists / "a.txt").write_text(lines(1))
    await keeper.check()
    names = ("sandbox", "yara-fast", "unpacker", "sandbox2")
    assert [name for name in names if rule.applies(asked(name))] == ["sandbox", "yara-fast"]
    assert not rule.applies(asked("sandbox", "status"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"entity": {"sha256": "%s"}}' % digest(1).hex().encode(), digest(1)),
        (b'{"entity": {"sha256": "%s"}, "x": 1}' % digest(1).hex().upper().encode(), digest(1)),
        (b'{"entity": {"sha256": "abcd"}}', None),
        (b'{"entity": {"sha256": 5}}', None),
        (b'{"entity": {"sha256": "%s"}}' % (b"x" * 64), None),
        (b'{"entity": []}', None),
        (b"{}", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_only_a_sha256_is_looked_up(value: bytes, expected: bytes | None) -> None:
    assert digest_of(value) == expected


@pytest.mark.parametrize("options", [{"files": ["x"]}, {"plugins": ["x"]}])
def test_lists_and_plugins_belong_together(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="files and plugins belong together"):
        Options(**options)


class Package:
    """The same package, and its filter for the test to hold."""

    name = "allow_list"
    Options = Options
    rule: AllowList

    @hookimpl
    def register_filters(self, context: HookContext) -> list[AllowList]:
        (self.rule,) = made = allow_list.register_filters(context)
        return made


async def test_in_a_server_the_sandbox_is_spared_what_is_known(tmp_path: Path) -> None:
    source = tmp_path / "known.txt"
    source.write_text(lines(1, 3))
    package = Package()
    options = {"allow_list": {"files": [str(source)], "plugins": ["sand*"], "check_seconds": 3600}}
    server = LocalDispatcher(tmp_path / "data", hooks=[package], hook_options=options)
    async with server, aiohttp.ClientSession(server.url) as http:

        async def post(*numbers: int) -> None:
            async with http.post("/api/v2/event?model=binary", json=[binary(number) for number in numbers]) as reply:
                assert (await reply.json())["total_ok"] == len(numbers), await reply.text()

        async def seen(name: str) -> tuple[list[str], dict[str, int]]:
            query = {"name": name, "version": "1", "r-historic": "true", "deadline": "1", "count": "10"}
            headers = {"Accept": "application/json"}
            async with http.get("/api/v2/event/binary/passive", params=query, headers=headers) as reply:
                answer = await reply.json()
            return [event["entity"]["sha256"] for event in answer["events"]], answer["info"].get("filters", {})

        await package.rule.keeper.check()
        await post(1, 2, 3)
        assert await seen("sandbox") == ([digest(2).hex()], {"AllowList-known_good": 2})
        assert await seen("unpacker") == ([digest(number).hex() for number in (1, 2, 3)], {})

        source.write_text("spoilt")
        await package.rule.keeper.check()
        async with http.get("/api/v2/admin/hooks") as reply:
            mine = (await reply.json())["packages"][-1]
        assert mine["problems"] == 1
        assert mine["last_problem"].startswith(f"{source}:1: 'spoilt'")

        source.write_text(lines(4))
        await package.rule.keeper.check()
        await post(4, 5)
        assert await seen("sandbox") == ([digest(5).hex()], {"AllowList-known_good": 1})
    assert list((tmp_path / "data" / "allow_list").iterdir()) == [tmp_path / "data" / "allow_list" / INDEX]


async def test_without_lists_it_does_nothing_and_half_an_order_is_refused(tmp_path: Path) -> None:
    async with LocalDispatcher(tmp_path, hooks=[allow_list]) as server:
        assert server.app.hooks.packages[-1].objects == ()
    options = {"allow_list": {"plugins": ["sandbox"]}}
    with pytest.raises(StartupError, match="belong together"):
        async with LocalDispatcher(tmp_path, hooks=[allow_list], hook_options=options):
            pass


def binary(number: int) -> dict[str, Any]:
    sha = digest(number).hex()
    author = {"name": "tester", "version": "1", "category": "user"}
    node = {"author": author, "action": "sourced", "sha256": sha, "timestamp": "2024-05-01T10:00:00Z"}
    hashes = {"sha512": "b" * 128, "sha256": sha, "sha1": "c" * 40, "md5": "d" * 32}
    stream = {"label": "content", "size": 5, "mime": "text/plain", "magic": "ASCII text", **hashes}
    return {
        "model_version": 6,
        "kafka_key": "placeholder",
        "timestamp": "2024-05-01T10:00:00Z",
        "author": author,
        "source": {"name": "lab", "path": [node], "timestamp": "2024-05-01T10:00:00Z"},
        "entity": {"sha256": sha, "datastreams": [stream]},
        "action": "sourced",
        "flags": {},
    }
