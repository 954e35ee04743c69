"""A plugin: what it is called, what it wants to see, what it may find, and the function that looks."""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dispatcher_sdk.errors import DefinitionError
from dispatcher_sdk.features import Feature
from dispatcher_sdk.limits import CONTENT_BYTES
from dispatcher_sdk.models import MODEL_VERSION, Author, PluginEntity, PluginEvent
from dispatcher_sdk.subscription import Subscription

if TYPE_CHECKING:
    from dispatcher_sdk.job import Job

    Execute = Callable[[Job], None] | Callable[[Job], Awaitable[None]]
    E = TypeVar("E", Callable[[Job], None], Callable[[Job], Awaitable[None]])
    S = TypeVar("S", bound=Callable[[], Any])

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION: Final = re.compile(r"[A-Za-z0-9._+-]{1,64}")


class Plugin:
    """Declares a plugin; every mistake raises DefinitionError with the cure, here and not in production.

    name, version   together they are the subscriber: a new version sees all stored files again
    accepts         prefixes of `file_format`, such as "text/*" or "archive/zip"; none = every file
    features        what `job.add_feature` may add
    actions         events to see; none = files as they were found (sourced, extracted)
    min_size, max_size   of the file, in bytes
    include_self    also see the files that this plugin found (an unpacker of nested archives)
    timeout         seconds after which a job is killed
    """

    def __init__(
        self,
        name: str,
        *,
        version: str,
        accepts: Sequence[str] = (),
        features: Iterable[Feature] = (),
        actions: Sequence[str] = (),
        min_size: int = 0,
        max_size: int = CONTENT_BYTES,
        include_self: bool = False,
        timeout: float = 600.0,
        description: str = "",
        contact: str = "",
        security: str = "",
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DefinitionError(f"plugin name {name!r} is not usable: letters, digits and . _ - (at most 128)")
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise DefinitionError(
                f"version {version!r} is not usable: a text such as '1.0' (letters, digits and . _ + -)"
            )
        if not timeout > 0:
            raise DefinitionError(f"timeout={timeout!r} is not usable: give seconds greater than 0")
        self.name = name
        self.version = version
        self.features = _by_name(features)
        self.subscription = Subscription(accepts, actions, min_size, max_size, include_self)
        self.timeout = float(timeout)
        self.description = description
        self.contact = contact
        self.security = security
        self._execute: Execute | None = None
        self._setup: Callable[[], Any] | None = None

    def execute(self, function: "E") -> "E":
        """Decorator of the one function that is called with each Job; plain or `async def`."""
        if self._execute is not None:
            raise DefinitionError(f"plugin {self.name!r} has two @plugin.execute functions: keep one")
        _check_function("execute", function, ("job",))
        self._execute = function
        return function

    def setup(self, function: "S") -> "S":
        """Decorator of a function without arguments, called once per process; its result is each job's `state`."""
        if self._setup is not None:
            raise DefinitionError(f"plugin {self.name!r} has two @plugin.setup functions: keep one")
        _check_function("setup", function, ())
        self._setup = function
        return function

    @property
    def is_async(self) -> bool:
        """Whether `execute` is a coroutine function. Raises DefinitionError when there is none."""
        return inspect.iscoroutinefunction(self.check()._execute)

    @property
    def author(self) -> Author:
        """Who signs the events of this plugin."""
        return Author(name=self.name, version=self.version, category="plugin", security=self.security)

    def check(self) -> "Plugin":
        """Itself, when it is complete. Raises DefinitionError."""
        if self._execute is None:
            raise DefinitionError(
                f"plugin {self.name!r} has no execute: put @plugin.execute on a function that takes a job"
            )
        if inspect.iscoroutinefunction(self._setup) and not inspect.iscoroutinefunction(self._execute):
            raise DefinitionError(
                f"plugin {self.name!r} has an async setup but a plain execute: make both plain, or both async"
            )
        return self

    def prepare(self) -> Any:
        """What `setup` returns (an awaitable when it is async), or None without one."""
        return self._setup() if self._setup is not None else None

    def call(self, job: "Job") -> Awaitable[None] | None:
        """Call the author's function; an async one gives its awaitable."""
        self.check()
        assert self._execute is not None
        return self._execute(job)

    def registration(self) -> PluginEvent:
        """The event that announces the plugin."""
        return PluginEvent(
            model_version=MODEL_VERSION,
            kafka_key="set-by-the-dispatcher",
            timestamp=datetime.now(UTC),
            author=self.author,
            entity=PluginEntity(
                name=self.name,
                version=self.version,
                category="plugin",
                contact=self.contact,
                description=self.description,
                features=[self.features[name].declaration() for name in sorted(self.features)],
                security=self.security,
            ),
        )

    def __repr__(self) -> str:
        return f"Plugin({self.name!r}, version={self.version!r})"


def _by_name(features: Iterable[Feature]) -> dict[str, Feature]:
    found: dict[str, Feature] = {}
    for feature in features:
        if not isinstance(feature, Feature):
            raise DefinitionError(f"features has {feature!r}: write Feature('name', str, 'what it means')")
        if feature.name in found:
            raise DefinitionError(f"feature {feature.name!r} is declared twice: keep one")
        found[feature.name] = feature
    return found


def _check_function(role: str, function: Any, arguments: tuple[str, ...]) -> None:
    shape = f"def {role}({', '.join(arguments)})"
    if not callable(function) or inspect.isclass(function):
        raise DefinitionError(f"@plugin.{role} is on {function!r}: put it on a function, {shape}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(f"{role} must not yield: call job.add_feature and job.add_child instead, and return")
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        raise DefinitionError(
            f"{role} has the signature {function.__name__}{inspect.signature(function)}: it is called as {shape}"
        ) from None
