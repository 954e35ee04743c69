"""Where hook packages come from: files in a folder, versions they are made for, and those that are left out."""

from pathlib import Path

import pytest

from dispatcher.errors import StartupError
from dispatcher.hooks import HookContext
from dispatcher.hooks.manager import HookManager
from dispatcher.hooks.versions import of_distribution

FILTER = """
from dispatcher.hooks import hookimpl

class {name}:
    name = "{name}"

    def reject(self, header, subscription):
        return None

@hookimpl
def register_filters():
    return [{name}()]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "second.py").write_text(FILTER.format(name="Second"))
    (tmp_path / "first.py").write_text('__version__ = "1.5"\n' + FILTER.format(name="First"))
    (tmp_path / "_shared.py").write_text("raise RuntimeError('no package')")
    (tmp_path / "notes.txt").write_text("no package either")
    return tmp_path


def loaded(folder: Path, **options: object) -> HookManager:
    made = HookManager(HookContext(), entry_points=(), folder=folder, **options)  # type: ignore[arg-type]
    made.load()
    return made


def test_each_file_is_a_package(folder: Path) -> None:
    manager = loaded(folder)
    assert [(package.name, package.version, package.error) for package in manager.packages] == [
        ("first", "1.5", ""),
        ("second", "", ""),
    ]
    assert [rule.name for rule in manager.header_filters] == ["First", "Second"]
    assert manager.packages[0].origin == str(folder / "first.py")


def test_a_broken_file_stops_no_other(folder: Path) -> None:
    (folder / "first.py").write_text("def broken(:")
    manager = loaded(folder)
    assert "SyntaxError" in manager.packages[0].error
    assert [rule.name for rule in manager.header_filters] == ["Second"]


def test_a_file_takes_the_place_of_no_module(folder: Path) -> None:
    (folder / "json.py").write_text(FILTER.format(name="Json"))
    loaded(folder)
    import json

    assert json.dumps([]) == "[]"


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"DISPATCHER_HOOKS_DIR: .*nowhere cannot be read"):
        loaded(tmp_path / "nowhere")


def test_what_is_disabled_is_not_even_imported(folder: Path) -> None:
    (folder / "first.py").write_text("raise SystemExit('imported')")
    manager = loaded(folder, disabled=["first"])
    assert [(package.name, package.disabled, package.error) for package in manager.packages] == [
        ("first", True, ""),
        ("second", False, ""),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"disabled": ["frist"]}, "DISPATCHER_HOOKS_DISABLED: there is no frist"),
        ({"disabled": ["first"], "required": ["first"]}, "first is required and disabled"),
    ],
)
def test_contradictions_stop_the_start(folder: Path, options: dict[str, list[str]], said: str) -> None:
    with pytest.raises(StartupError, match=said):
        loaded(folder, **options)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (">=0.1", ""),
        (">=99", "it is made for versions >=99 of the dispatcher, and this is"),
        ("newest", "requires_dispatcher = 'newest' is no range of versions: write '>=0.1,<1'"),
    ],
)
def test_the_versions_that_a_file_is_made_for(folder: Path, wanted: str, error: str) -> None:
    (folder / "first.py").write_text(f'requires_dispatcher = "{wanted}"\n' + FILTER.format(name="First"))
    said = loaded(folder).packages[0].error
    assert said.startswith(error) if error else said == ""


def test_the_versions_that_a_distribution_is_made_for() -> None:
    assert of_distribution(["aiohttp>=3", "Azul_Dispatcher[x]>=0.1,<0.3; python_version>'3'"]) == "<0.3,>=0.1"
    assert of_distribution(["aiohttp>=3", "not a requirement!!"]) == ""
