"""`dispatcher hooks` as an operator sees it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from dispatcher.cli.main import main

PACKAGE = """
from pydantic import BaseModel, SecretStr
from dispatcher.hooks import hookimpl

__version__ = "1.5"

class Options(BaseModel):
    level: int = 3
    key: SecretStr = SecretStr("")

class Rule:
    name = "Rule"
    def reject(self, header, subscription):
        return None

@hookimpl
def register_filters(context):
    return [Rule()]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(PACKAGE)
    monkeypatch.setenv("DISPATCHER_HOOKS_DIR", str(tmp_path))
    return tmp_path


def test_what_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_HOOK_MINE_KEY", "s3cret")
    result = CliRunner().invoke(main, ["hooks"])
    assert result.exit_code == 0, result.output
    assert (
        f"mine 1.5  ({folder}/mine.py)\n  header filter Rule\n  option level = 3\n  option key = ***\n" in result.output
    )
    assert "built-in  (built-in)\n  header filter FilterTooDeep\n" in result.output


def test_what_is_wrong(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_HOOK_MINE_LEVLE", "4")
    result = CliRunner().invoke(main, ["hooks"])
    assert result.exit_code == 1
    assert "left out: DISPATCHER_HOOK_MINE_LEVLE: no such option: did you mean level?" in result.output


def test_what_is_disabled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_HOOKS_DISABLED", "mine")
    result = CliRunner().invoke(main, ["hooks"])
    assert (result.exit_code, "  disabled" in result.output) == (0, True)
    monkeypatch.setenv("DISPATCHER_HOOKS_DISABLED", "min")
    result = CliRunner().invoke(main, ["hooks"])
    assert result.exit_code != 0
    assert "there is no min" in result.output


@pytest.mark.timeout(90)
def test_a_new_package_passes_its_own_test_at_once(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["hooks", "new", "my-rules", "--into", str(tmp_path)])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "my-rules"
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "t"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout
    pyproject = tomllib.loads((folder / "pyproject.toml").read_text())
    assert pyproject["project"]["entry-points"]["dispatcher.hooks"] == {"my_rules": "my_rules"}
    assert "DISPATCHER_HOOK_MY_RULES_SOURCES" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["My Rules", "../x", "1st", "-x", ""])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["hooks", "new", "--into", str(tmp_path), "--", name])
    assert result.exit_code != 0
    assert "is no name for a package" in result.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    result = CliRunner().invoke(main, ["hooks", "new", "mine", "--into", str(tmp_path)])
    assert result.exit_code != 0
    assert "is there already" in result.output
