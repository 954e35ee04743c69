import os
import sys
from pathlib import Path

import pytest

from dispatcher.cli.files import find


def names(*paths: Path) -> list[str]:
    return [found.name for found in find(paths) if not found.problem]


def test_folders_are_searched_recursively_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b/z", "b/a", "a", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    assert names(tmp_path) == ["a", "b/a", "b/z", "c/d/e"]
    assert names(tmp_path / "b" / "z", tmp_path / "c") == ["z", "d/e"]
    assert [found.size for found in find([tmp_path / "a"])] == [5]


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x")
    (tmp_path / "folder" / "up").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    assert names(tmp_path) == ["folder/file", "link"]


def test_a_folder_named_through_a_link_is_searched(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert names(tmp_path / "link") == ["file"]


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"x")
    problems = {found.name: found.problem for found in find([tmp_path, tmp_path / "missing"])}
    assert problems == {
        "broken": "no such file or directory",
        "file": "",
        "missing": "no such file or directory",
        "pipe": "not a regular file",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text_becomes_one(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    assert names(tmp_path) == ["caf\ufffd"]


def test_a_tree_deeper_than_calls_can_nest(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(sys.getrecursionlimit() + 100):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("bottom", os.O_CREAT, dir_fd=here))
    os.close(here)
    assert [found.name.count("/") for found in find([tmp_path])] == [sys.getrecursionlimit() + 100]
