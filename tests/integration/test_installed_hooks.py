"""A package that is installed loads by itself, unless the operator, or a test, says otherwise."""

import importlib
from pathlib import Path

import pytest

from dispatcher.hooks import MatchRule, hookimpl
from dispatcher.testing import LocalDispatcher


@hookimpl
def register_filters() -> list[MatchRule]:
    return [MatchRule("NoMail", sources=("mail",))]


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip leaves behind."""
    info = tmp_path / "site" / "some_hooks-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-hooks\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[dispatcher.hooks]\nsome_hooks = {__name__}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()


async def test_it_is_loaded(tmp_path: Path) -> None:
    async with LocalDispatcher(tmp_path / "data", hooks_installed=True, hooks_required=("some_hooks",)) as server:
        (mine,) = [package for package in server.app.hooks.packages if package.name == "some_hooks"]
        assert (mine.version, mine.origin, mine.objects) == ("1.2", "installed", ("header filter NoMail",))


async def test_a_test_has_the_packages_it_names_and_no_others(tmp_path: Path) -> None:
    async with LocalDispatcher(tmp_path / "data") as server:
        assert [package.name for package in server.app.hooks.packages] == ["built-in"]
