"""The typed objects that hooks register, and what they are given."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from dispatcher_sdk.models import AnyEvent, Datastream

from dispatcher.hooks.header import Header

ANY_LABEL = "*"


class StreamWant(NamedTuple):
    """One `r-streams` value: a label (or `*`) and the format prefixes that are welcome under it."""

    label: str
    formats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subscription:
    """Who asks for events and which ones. The fields up to `debug` are its identity (wire contract 5.1)."""

    name: str
    version: str
    model: str
    sources: tuple[str, ...] = ()
    """r-source; empty = all."""
    actions: tuple[str, ...] = ()
    """r-action; empty = all."""
    expedite: bool = False
    live: bool = False
    historic: bool = False
    debug: bool = False
    task: bool = False
    """Fetched through `active`: events are leased until a final status."""
    deny_actions: tuple[str, ...] = ()
    under_size: int = 0
    """Largest content stream in bytes, inclusive; 0 = no bound."""
    over_size: int = 0
    """Smallest content stream in bytes, inclusive; 0 = no bound."""
    require_content: bool = False
    streams: tuple[StreamWant, ...] = ()
    deny_self: bool = False
    max_security: str = ""
    gjson: tuple[str, ...] = ()
    deployment_key: str = ""

    @property
    def leases(self) -> bool:
        """Its events are jobs: leased until a final status."""
        return self.task and self.model == "binary"


class EventView(Protocol):
    """One event on its way to one subscriber."""

    @property
    def topic(self) -> str: ...
    @property
    def key(self) -> bytes: ...
    @property
    def header(self) -> Header: ...
    @property
    def value(self) -> bytes:
        """The event's JSON."""
        ...

    def event(self) -> AnyEvent:
        """The decoded event; decoded once however many filters ask."""
        ...


@runtime_checkable
class HeaderFilter(Protocol):
    """A pure rule over the header. Its verdict is remembered per distinct header, so it must depend on
    nothing else: not on time, not on other events. A `size` may be any representative of a class of sizes
    that all subscribers' bounds treat alike."""

    name: str

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        """None to let pass, else the reason (reported as `<name>-<reason>` in info.filters)."""
        ...


@runtime_checkable
class EventFilter(Protocol):
    """A rule that needs the event itself, the clock, or the world. Runs when an event is about to be handed
    out. Raising holds the event back and tries again later; it never drops it."""

    name: str

    def applies(self, subscription: Subscription) -> bool:
        """Cheap test made once per poll: False = not asked for this subscriber now."""
        ...

    async def reject(self, view: EventView, subscription: Subscription) -> str | None: ...


Filter = HeaderFilter | EventFilter


class Upload(NamedTuple):
    """A stored upload that enrichers may add to."""

    source: str
    label: str
    path: Path
    """The bytes on local disk, read only, gone when the call returns."""
    data: Datastream
    info: Mapping[str, Mapping[str, Any]] = {}
    """What worker enrichers said besides fields of `data`, by their names; read only."""


@runtime_checkable
class EventEnricher(Protocol):
    """Adds to an event before its key is computed."""

    name: str

    async def enrich(self, event: AnyEvent) -> None:
        """Change the event in place."""
        ...


@runtime_checkable
class UploadEnricher(Protocol):
    """Adds to what an upload answers."""

    name: str

    async def enrich(self, upload: Upload) -> None:
        """Change `upload.data` in place."""
        ...


@dataclass(frozen=True)
class WorkerEnricher:
    """Adds to what an upload answers, from native or slow code: runs in a worker process with limits on time
    and memory, so that hostile bytes cost at most these fields. `function` is "package.module:name" of a plain
    function (path: str, data: dict[str, object]) -> dict[str, object]: it gets the Datastream fields known so far
    and returns those to set. Under the key `info` it may return a dict of anything else, up to 32 KiB of JSON: the
    upload's answer has it, and so have upload enrichers."""

    name: str
    function: str
    timeout: float = 10.0
    """Seconds of wall time for one file; then the worker is killed and the fields stay empty."""
    independent: bool = False
    """True when it reads no field but size and hashes, and no other enricher needs its fields: then it may run
    beside the others on large files."""


Enricher = EventEnricher | UploadEnricher | WorkerEnricher


What = Literal["published", "delivered", "finished", "dead-lettered"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened to an event. Fields that do not apply are empty."""

    what: What
    time: float
    """Unix seconds."""
    topic: str
    key: str = ""
    """`kafka_key` of the event; empty for `delivered`."""
    partition: int = -1
    offset: int = -1
    """Where it lies in the log; -1 for `published`."""
    source: str = ""
    author: str = ""
    """`published`: who published it; of a status: who published the event that it is about."""
    plugin: str = ""
    version: str = ""
    """`delivered`, `finished`, `dead-lettered`: to whom, or by whom."""
    status: str = ""
    """`finished`: the final status. `published`: that of a status."""
    token: str = ""
    """`finished`, `dead-lettered`: the job's `dequeued`."""
    reason: str = ""
    """`dead-lettered`: why."""


Notify = Callable[[Notice], None]


@runtime_checkable
class Observer(Protocol):
    """Hears of what happens. It slows nothing: while it is busy notices wait in a queue, and when that is full the
    oldest are dropped and counted."""

    name: str

    async def observe(self, notices: Sequence[Notice]) -> None:
        """Some notices, in the order in which they happened. Raising loses these, which is counted."""
        ...


class StreamId(NamedTuple):
    """Address of stored bytes. Source and label are empty for objects of the old root layout."""

    source: str
    label: str
    sha256: str


class StoredInfo(NamedTuple):
    size: int
    """Bytes."""
    modified: float
    """Unix seconds."""


class ObjectStore(Protocol):
    """Where bytes are kept. A put is all or nothing: an interrupted one leaves nothing to see."""

    async def put(self, where: StreamId, path: Path) -> None:
        """Store the file; durable and visible on return. The same id again is not written again."""
        ...

    async def info(self, where: StreamId) -> StoredInfo | None: ...

    def read(self, where: StreamId, start: int, length: int) -> AsyncIterator[bytes]:
        """Exactly bytes [start, start + length); raises FileNotFoundError."""
        ...

    async def copy(self, origin: StreamId, target: StreamId) -> None:
        """Raises FileNotFoundError."""
        ...

    async def delete(self, where: StreamId) -> bool:
        """False when there was nothing."""
        ...

    async def close(self) -> None: ...


class Fetched(NamedTuple):
    info: StoredInfo
    body: bytes | None
    """The whole object, when it was small enough."""


@runtime_checkable
class FetchingStore(Protocol):
    """An ObjectStore that can also give a small object in one trip instead of two."""

    async def fetch(self, where: StreamId, most: int) -> Fetched | None:
        """Size and age, and the bytes if there are at most `most`; None when there is no such object."""
        ...


StoreFactory = Callable[[str], Awaitable[ObjectStore]]
"""Opens a store from its URL (`file:///srv/azul`, `memory:`)."""


def _unheard(text: str) -> None:
    """Of a context that no server made."""


@dataclass(frozen=True)
class HookContext:
    """What a hook package may use while it registers."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    services: Mapping[str, Any] = field(default_factory=dict)
    """Live objects of this server that built-ins need (deletions, sources); names are not a public promise."""
    options: Any = None
    """What the operator has set for this package: an instance of its `Options`; None when it declares none."""
    problem: Callable[[str], None] = _unheard
    """Say what went wrong in the background, where no call can fail: `/api/v2/admin/hooks` shows how often, and the
    last text."""


Filters = Iterable[Filter]
Observers = Iterable[Observer]
Enrichers = Iterable[Enricher]
Stores = Mapping[str, StoreFactory]
