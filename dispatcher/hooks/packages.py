"""Hook packages: where they come from, and what an operator sees of each."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from dispatcher.errors import StartupError
from dispatcher.hooks.specs import ENTRY_POINTS
from dispatcher.hooks.versions import of_distribution


@dataclass(frozen=True)
class HookPackage:
    """One hook package as an operator sees it."""

    name: str
    version: str = ""
    hooks: tuple[str, ...] = ()
    """The hooks it implements."""
    objects: tuple[str, ...] = ()
    """What it registered: kind and name, as in "header filter TlpOnly"."""
    replaces: tuple[str, ...] = ()
    """Those of its objects that stand in for built-in ones of the same name."""
    error: str = ""
    """Why it was skipped; it then registered nothing."""
    disabled: bool = False
    """By the operator: it was not even imported."""
    origin: str = ""
    """Where it comes from: `built-in`, `installed`, `given`, or a file."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """As people may see them: secrets masked."""


@dataclass
class Candidate:
    """A package on its way in: `load` imports it, `plugin` is what came of that."""

    package: HookPackage
    load: Callable[[], object]
    builtin: bool = False
    plugin: object = None
    needs: str = ""
    """Versions of the dispatcher that its distribution wants; empty = any."""
    options: Any = None


def package_name(plugin: object) -> str:
    """The name under which a module or object is listed and can be required."""
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    name = getattr(plugin, "name", None)
    return name if isinstance(name, str) and name else type(plugin).__name__


def given(plugin: object, *, builtin: bool = False) -> Candidate:
    """A module or object that is here already."""
    version = getattr(plugin, "__version__", "")
    origin = "built-in" if builtin else "given"
    return Candidate(HookPackage(package_name(plugin), str(version), origin=origin), lambda: plugin, builtin)


def installed(points: Iterable[EntryPoint] | None = None) -> list[Candidate]:
    """Packages that pip installed, by name; None = all of group `dispatcher.hooks` in this Python."""
    found = entry_points(group=ENTRY_POINTS) if points is None else points
    return [_installed(point) for point in sorted(found, key=lambda point: point.name)]


def _installed(point: EntryPoint) -> Candidate:
    version = point.dist.version if point.dist else ""
    needs = of_distribution(point.dist.requires or ()) if point.dist else ""
    return Candidate(HookPackage(point.name, version, origin="installed"), point.load, needs=needs)


def in_folder(folder: Path) -> list[Candidate]:
    """Each Python file is a package of that name, except those that begin with `_`. Raises StartupError."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".py" and not path.name.startswith("_"))
    except OSError as problem:
        raise StartupError(f"DISPATCHER_HOOKS_DIR: {folder} cannot be read: {problem.strerror}") from None
    return [Candidate(HookPackage(path.stem, origin=str(path)), lambda path=path: _load(path)) for path in files]  # type: ignore[misc]


def _load(path: Path) -> ModuleType:
    """Under a name of its own: no file can take the place of another module."""
    name = f"dispatcher_hooks_dir_{path.stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look it up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
