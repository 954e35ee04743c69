"""Loads hook packages, each one alone, and hands out what they registered in the order to run it."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from importlib.metadata import EntryPoint
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pluggy

from dispatcher.errors import StartupError
from dispatcher.hooks import objects, specs, versions
from dispatcher.hooks.checks import Refused, hooks_of
from dispatcher.hooks.guarded import Account, guarded
from dispatcher.hooks.options import GivenOptions, declared, shown
from dispatcher.hooks.packages import Candidate, HookPackage, given, in_folder, installed
from dispatcher.hooks.types import (
    EventEnricher,
    EventFilter,
    HeaderFilter,
    HookContext,
    Observer,
    StoreFactory,
    UploadEnricher,
    WorkerEnricher,
)

_log = logging.getLogger(__name__)

_READERS: Final[Mapping[str, Callable[[object], list[objects.Found]]]] = {
    "register_filters": objects.filters,
    "register_enrichers": objects.enrichers,
    "register_stores": objects.stores,
    "register_observers": objects.observers,
}
_Key = tuple[objects.Kind, str]

BUDGET_SECONDS: Final = 5.0


class HookManager:
    """The hook packages of one server.

    builtins: objects that make up the server itself; they run first and must load.
    packages: modules or objects given by hand, after the installed ones.
    required: names of packages without which the server does not start.
    disabled: names of packages that are not loaded.
    folder: each Python file in it is a package; they come after the installed ones.
    options: what the operator has set for packages.
    budget: seconds that one call of a package's object may take, unless the object says otherwise.
    entry_points: the installed packages; None = those of group `dispatcher.hooks` in this Python.

    Packages run in the order in which they were loaded; pluggy's `tryfirst` goes before all others and
    `trylast` after them.
    """

    def __init__(
        self,
        context: HookContext,
        *,
        builtins: Sequence[object] = (),
        packages: Sequence[object] = (),
        required: Collection[str] = (),
        disabled: Collection[str] = (),
        folder: Path | None = None,
        options: GivenOptions | None = None,
        budget: float = BUDGET_SECONDS,
        entry_points: Iterable[EntryPoint] | None = None,
    ) -> None:
        self._context = context
        self._builtins = builtins
        self._given = packages
        self._required = required
        self._disabled = disabled
        self._folder = folder
        self._options = options or GivenOptions()
        self._budget = budget
        self._entry_points = entry_points
        self._pluggy = pluggy.PluginManager(specs.PROJECT)
        self._pluggy.add_hookspecs(specs)
        self._claims: dict[_Key, tuple[Candidate, Any]] = {}
        self._returned: dict[pluggy.HookImpl, list[objects.Found]] = {}
        self.packages: list[HookPackage] = []
        self.accounts: dict[str, dict[str, Account]] = {}
        """Package → object (kind and name) → what it has cost; the server's own objects are not watched."""
        self.background: dict[str, Account] = {}
        """Package → what it says went wrong beside calls."""
        self.header_filters: tuple[HeaderFilter, ...] = ()
        self.event_filters: tuple[EventFilter, ...] = ()
        self.event_enrichers: tuple[EventEnricher, ...] = ()
        self.upload_enrichers: tuple[UploadEnricher, ...] = ()
        self.worker_enrichers: tuple[WorkerEnricher, ...] = ()
        self.stores: Mapping[str, StoreFactory] = {}
        self.observers: tuple[Observer, ...] = ()

    def load(self) -> None:
        """Load everything; call once. Raises StartupError when a required package does not load."""
        everyone = self._candidates()
        self._check_names(everyone)
        candidates = [item for item in everyone if not item.package.disabled]
        for item in candidates:
            self._attempt(item, lambda item: self._import(item, candidates))
        for item in reversed(candidates):  # pluggy calls what was registered last first
            if item.plugin is not None:
                self._pluggy.register(item.plugin, item.package.name)
        for item in candidates:
            if item.plugin is not None:
                self._attempt(item, self._collect)
        self.packages = [item.package for item in everyone]
        self._check_required(candidates)
        self._hand_out(self._in_order())

    def lasting(self) -> dict[str, list[AbstractAsyncContextManager[Any]]]:
        """Package → those of its objects that run from the server's start to its end, each once: see hooks.running."""
        found: dict[str, list[AbstractAsyncContextManager[Any]]] = {}
        for item, thing in self._claims.values():
            others = found.setdefault(item.package.name, [])
            if isinstance(thing, AbstractAsyncContextManager) and not any(thing is other for other in others):
                others.append(thing)
        return found

    def leave_out(self, name: str, error: str) -> None:
        """Take back what a package registered, before anything was used: it cannot run. Raises StartupError where
        the server must not be without it."""
        (item,) = [owner for owner, _ in self._claims.values() if owner.package.name == name][:1]
        replaces = item.package.replaces
        self._skip(item, error)
        if replaces or name in self._required:
            instead = f"; it stands in for the server's own {', '.join(replaces)}" if replaces else ""
            raise StartupError(f"required hook package {name} does not start: {error}{instead}")
        self._claims = {key: claim for key, claim in self._claims.items() if claim[0] is not item}
        self.packages = [replace(one, objects=(), error=error) if one.name == name else one for one in self.packages]
        self.accounts.pop(name, None)
        self._hand_out(self._in_order())

    def _candidates(self) -> list[Candidate]:
        return [
            *(given(plugin, builtin=True) for plugin in self._builtins),
            *map(self._unless_disabled, installed(self._entry_points)),
            *map(self._unless_disabled, in_folder(self._folder) if self._folder else ()),
            *(self._unless_disabled(given(plugin)) for plugin in self._given),
        ]

    def _unless_disabled(self, item: Candidate) -> Candidate:
        item.package = replace(item.package, disabled=item.package.name in self._disabled)
        return item

    def _check_names(self, candidates: Sequence[Candidate]) -> None:
        """What the operator says of packages that are not there would have no effect. Raises StartupError."""
        names = [item.package.name for item in candidates if not item.builtin]
        wrong = [f"DISPATCHER_HOOKS_DISABLED: there is no {name}" for name in self._disabled if name not in names]
        wrong += [f"{name} is required and disabled" for name in self._required if name in self._disabled]
        wrong += self._options.strangers(names)
        if wrong:
            raise StartupError("; ".join(wrong))

    def _attempt(self, item: Candidate, step: Callable[[Candidate], None]) -> None:
        """One package's mistake, whatever it is, stays its own."""
        try:
            step(item)
        except Refused as refused:
            self._skip(item, str(refused))
        except (Exception, SystemExit) as failure:
            self._skip(item, f"{type(failure).__name__}: {failure}", trace=True)

    def _skip(self, item: Candidate, error: str, *, trace: bool = False) -> None:
        if item.plugin is not None:
            self._pluggy.unregister(item.plugin)
        item.plugin = None
        item.package = replace(item.package, error=error)
        fields = {"action": "load_hooks", "package": item.package.name}
        _log.error("hook package %s is skipped: %s", item.package.name, error, exc_info=trace, extra=fields)

    def _import(self, item: Candidate, others: Sequence[Candidate]) -> None:
        versions.check(item.needs, None)
        plugin = item.load()
        versions.check("", plugin)
        hooks = hooks_of(plugin)
        for other in others:
            if other.plugin is plugin:
                raise Refused(f"is the same as {other.package.name}, which is loaded already")
            if other.plugin is not None and other.package.name == item.package.name:
                raise Refused("another hook package of this name is loaded already")
        names = [other.package.name for other in others if not other.builtin]
        item.options = self._options.read(item.package.name, names, declared(plugin))
        item.plugin = plugin
        version = item.package.version or str(getattr(plugin, "__version__", ""))
        item.package = replace(item.package, hooks=hooks, version=version, options=shown(item.options))

    def _collect(self, item: Candidate) -> None:
        """Call the hooks of one package; all that it returns is taken, or nothing."""
        background = self.background.setdefault(item.package.name, Account())
        context = replace(self._context, options=item.options, problem=background.problem)
        returned = {
            impl: _READERS[hook](impl.function(*[context for _ in impl.argnames]))
            for hook, impl in self._calls()
            if impl.plugin is item.plugin
        }
        claims: dict[_Key, tuple[Candidate, Any]] = {}
        for kind, name, thing in chain.from_iterable(returned.values()):
            if (kind, name) in claims:
                raise Refused(f"registers two {kind}s named {name}")
            claims[kind, name] = item, thing
        replaced = [key for key in claims if self._replaces(item, key)]
        self._claims.update(claims)
        self._returned.update(returned)
        item.package = replace(item.package, objects=_names(claims), replaces=_names(replaced))

    def _calls(self) -> Iterator[tuple[str, pluggy.HookImpl]]:
        """Every implementation of every hook, in the order in which pluggy would call them."""
        for hook in _READERS:
            caller: pluggy.HookCaller = getattr(self._pluggy.hook, hook)
            for impl in reversed(caller.get_hookimpls()):
                yield hook, impl

    def _replaces(self, item: Candidate, key: _Key) -> bool:
        """False when the name is free, True when it is a built-in's. Raises Refused when another package has it."""
        if key not in self._claims:
            return False
        owner, _ = self._claims[key]
        if owner.builtin and not item.builtin and key[0] != "store":
            return True
        raise Refused(f"the {key[0]} {key[1]} is registered already, by {owner.package.name}")

    def _check_required(self, candidates: Sequence[Candidate]) -> None:
        names = {item.package.name for item in candidates}
        wrong = [f"{name} is not installed" for name in self._required if name not in names]
        for item in candidates:
            if item.package.error and (item.builtin or item.package.name in self._required):
                wrong.append(f"{item.package.name}: {item.package.error}")
        if wrong:
            raise StartupError("required hook packages did not load: " + "; ".join(wrong))

    def _in_order(self) -> dict[_Key, Any]:
        """What runs, first to last. A replacement takes the place of what it replaces, or an earlier one."""
        placed: dict[_Key, Any] = {}
        for _, impl in self._calls():
            for kind, name, _ in self._returned[impl]:
                if (kind, name) not in placed:
                    placed[kind, name] = self._watched(kind, name)
        return placed

    def _watched(self, kind: objects.Kind, name: str) -> Any:
        owner, thing = self._claims[kind, name]
        if owner.builtin:
            return thing
        account = self.accounts.setdefault(owner.package.name, {})[f"{kind} {name}"] = Account()
        return guarded(kind, thing, account, self._budget)

    def _hand_out(self, placed: Mapping[_Key, Any]) -> None:
        def of(kind: objects.Kind) -> tuple[Any, ...]:
            return tuple(thing for (its_kind, _), thing in placed.items() if its_kind == kind)

        self.header_filters = of("header filter")
        self.event_filters = of("event filter")
        self.event_enrichers = of("event enricher")
        self.upload_enrichers = of("upload enricher")
        self.worker_enrichers = of("worker enricher")
        self.observers = of("observer")
        self.stores = {name: factory for (kind, name), factory in placed.items() if kind == "store"}


def _names(keys: Iterable[_Key]) -> tuple[str, ...]:
    return tuple(f"{kind} {name}" for kind, name in keys)
