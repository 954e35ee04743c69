"""Hook packages: where they come from, and what an operator sees of each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from dispatcher.hooks.specs import ENTRY_POINTS


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


@dataclass
class Candidate:
    """A package on its way in: `load` imports it, `plugin` is what came of that."""

    package: HookPackage
    load: Callable[[], object]
    builtin: bool = False
    plugin: object = None


def package_name(plugin: object) -> str:
    """The name under which a module or object is listed and can be required."""
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    name = getattr(plugin, "name", None)
    return name if isinstance(name, str) and name else type(plugin).__name__


def given(plugin: object, *, builtin: bool = False) -> Candidate:
    """A module or object that is here already."""
    version = getattr(plugin, "__version__", "")
    return Candidate(HookPackage(package_name(plugin), str(version)), lambda: plugin, builtin)


def installed(points: Iterable[EntryPoint] | None = None) -> list[Candidate]:
    """Packages that pip installed, by name; None = all of group `dispatcher.hooks` in this Python."""
    found = entry_points(group=ENTRY_POINTS) if points is None else points
    return [
        Candidate(HookPackage(point.name, point.dist.version if point.dist else ""), point.load)
        for point in sorted(found, key=lambda point: point.name)
    ]
