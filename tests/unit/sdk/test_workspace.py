"""Folders of jobs: private, removed whatever a plugin did to them, and nothing else is touched."""

import os
from pathlib import Path

import pytest
from dispatcher_sdk import OutputError
from dispatcher_sdk.workspace import Workspace


def test_a_job_has_its_own_folder_until_it_is_removed(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        first, second = workspace.job(), workspace.job()
        assert first.root != second.root
        assert first.root.stat().st_mode & 0o077 == 0
        locked = first.scratch / "locked"
        locked.mkdir()
        (locked / "file").touch()
        (first.scratch / "link").symlink_to(tmp_path)
        os.chmod(locked, 0)
        first.remove()
        assert not first.root.exists()
        assert second.root.exists()
    assert list(tmp_path.iterdir()) == []


def test_only_what_a_dead_process_left_is_swept(tmp_path: Path) -> None:
    def made(name: str, age: int = 3600, lock: bool = True) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        if lock:
            (folder / "in-use").touch()
        past = folder.stat().st_mtime - age
        os.utime(folder, (past, past))
        return folder

    dead = made("dispatcher-sdk-dead")
    kept = [
        made("somebody-elses"),
        made("dispatcher-sdk-young", age=0),
        made("dispatcher-sdk-not-a-workspace", lock=False),
    ]
    with Workspace(tmp_path) as living:
        folder = living.job().root.parent
        os.utime(folder, (1, 1))
        with Workspace(tmp_path):
            assert folder.exists(), "it is locked"
    assert not dead.exists()
    assert all(folder.exists() for folder in kept)


@pytest.mark.parametrize("name", ["../content", "/etc/passwd", "", "..", "0/../../content", "²"])
def test_results_are_read_only_from_their_folder(tmp_path: Path, name: str) -> None:
    with Workspace(tmp_path) as workspace:
        job = workspace.job()
        job.content.write_bytes(b"x")
        with pytest.raises(OutputError):
            job.open_out(name)


def test_links_pipes_and_folders_are_not_results(tmp_path: Path) -> None:
    with Workspace(tmp_path) as workspace:
        job = workspace.job()
        (job.out / "0").symlink_to("/etc/passwd")
        os.mkfifo(job.out / "1")
        (job.out / "2").mkdir()
        (job.out / "4").write_bytes(b"fine")
        for name in "0123":
            with pytest.raises(OutputError):
                job.open_out(name)
        with job.open_out("4") as file:
            assert file.read() == b"fine"
