"""What a hook returned, object by object: of which kind it is, and whether it can run."""

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

from dispatcher.hooks.checks import Refused
from dispatcher.hooks.types import EventEnricher, EventFilter, HeaderFilter, UploadEnricher, WorkerEnricher

Kind = Literal[
    "header filter", "event filter", "event enricher", "upload enricher", "worker enricher", "store", "observer"
]

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_FUNCTION: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

Found = tuple[Kind, str, Any]
"""Kind, name (of a store: its scheme), the object."""


def filters(returned: object) -> list[Found]:
    """Raises Refused."""
    return [_filter(item) for item in _items("register_filters", returned)]


def enrichers(returned: object) -> list[Found]:
    """Raises Refused."""
    return [_enricher(item) for item in _items("register_enrichers", returned)]


def observers(returned: object) -> list[Found]:
    """Raises Refused."""
    return [_observer(item) for item in _items("register_observers", returned)]


def stores(returned: object) -> list[Found]:
    """Raises Refused."""
    if not isinstance(returned, Mapping):
        raise Refused(f"register_stores returned {_kind_of(returned)}: return a dict of URL scheme to async function")
    for scheme, factory in returned.items():
        if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme):
            raise Refused(f"{scheme!r} is no URL scheme: use lower case letters and digits, as in 's3'")
        _require_async(f"the store of {scheme}:", factory, ("url",))
    return [("store", scheme, factory) for scheme, factory in returned.items()]


def _items(hook: str, returned: object) -> list[object]:
    if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
        raise Refused(f"{hook} returned {_kind_of(returned)}: return a list of objects")
    return list(returned)


def _filter(item: object) -> Found:
    name = _name(item)
    reject = getattr(item, "reject", None)
    if hasattr(item, "applies") or isinstance(item, EventFilter):
        _require_plain(f"{name}.applies", getattr(item, "applies", None), ("subscription",))
        cure = "; or remove applies, if it is a rule over the header alone"
        _require_async(f"{name}.reject", reject, ("view", "subscription"), cure)
        return "event filter", name, item
    cure = "; a filter that awaits is an EventFilter and also has applies(subscription)"
    _require_plain(f"{name}.reject", reject, ("header", "subscription"), cure)
    assert isinstance(item, HeaderFilter)
    return "header filter", name, item


def _observer(item: object) -> Found:
    name = _name(item)
    _require_async(f"{name}.observe", getattr(item, "observe", None), ("notices",))
    return "observer", name, item


def _enricher(item: object) -> Found:
    name = _name(item)
    if isinstance(item, WorkerEnricher):
        return "worker enricher", name, _checked_worker(item)
    enrich = getattr(item, "enrich", None)
    kind = _enricher_kind(name, item, enrich)
    _require_async(f"{name}.enrich", enrich, (kind.partition(" ")[0],))
    return kind, name, item


def _enricher_kind(name: str, item: object, enrich: object) -> Kind:
    """Both kinds have the same method; a base class or the name of its argument tells them apart."""
    bases = type(item).__mro__
    parameters = list(inspect.signature(enrich).parameters) if callable(enrich) else []
    if EventEnricher in bases or parameters[:1] == ["event"]:
        return "event enricher"
    if UploadEnricher in bases or parameters[:1] == ["upload"]:
        return "upload enricher"
    raise Refused(
        f"{name} is no enricher: it needs `async def enrich(self, event)` or `async def enrich(self, upload)`"
    )


def _checked_worker(item: WorkerEnricher) -> WorkerEnricher:
    if not _FUNCTION.fullmatch(item.function):
        raise Refused(f"{item.name}: function {item.function!r} is not of the form 'package.module:name'")
    if not (math.isfinite(item.timeout) and item.timeout > 0):
        raise Refused(f"{item.name}: timeout {item.timeout!r} must be a number of seconds above 0")
    return item


def _name(item: object) -> str:
    if inspect.isclass(item):
        raise Refused(f"{item.__name__} is a class: register an instance, {item.__name__}()")
    name = getattr(item, "name", None)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Refused(
            f"{_kind_of(item)} has the name {name!r}: a name has letters, digits, '.', '_' and '-', "
            "at most 100, and a letter first"
        )
    return name


def _require_plain(what: str, method: object, arguments: tuple[str, ...], cure: str = "") -> None:
    function = _callable(what, method, arguments)
    if _is_async(function):
        raise Refused(f"{what} must be a plain function: write `def`, not `async def`{cure}")


def _require_async(what: str, method: object, arguments: tuple[str, ...], cure: str = "") -> None:
    function = _callable(what, method, arguments)
    if not _is_async(function):
        raise Refused(f"{what} must be async: write `async def`{cure}")


def _callable(what: str, method: object, arguments: tuple[str, ...]) -> Callable[..., Any]:
    if not callable(method):
        raise Refused(f"{what} is missing: it is a function of ({', '.join(arguments)})")
    try:
        inspect.signature(method).bind(*arguments)
    except TypeError as wrong:
        raise Refused(f"{what} cannot be called with ({', '.join(arguments)}): {wrong}") from None
    return method


def _is_async(function: Callable[..., Any]) -> bool:
    inner = inspect.unwrap(function)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None))  # noqa: B004


def _kind_of(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
