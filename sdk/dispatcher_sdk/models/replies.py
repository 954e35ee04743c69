"""What the server answers: strict readers reject a null or an extra key, so shapes are exact."""

from msgspec import Struct, field

from dispatcher_sdk.models.shapes import Datastream, Shape


class FetchInfo(Shape):
    """The `info` part of a fetch. `filters` counts rejected events per filter since the last reply."""

    filtered: int = field(default_factory=int)
    fetched: int = field(default_factory=int)
    ready: bool = field(default_factory=bool)
    paused: bool = field(default_factory=bool)
    consumers_not_ready: str = ""
    filters: dict[str, int] = {}


class FailedEvent(Struct):
    """An event that was not published: its JSON as text, and why."""

    event: str
    error: str


class PublishReply(Shape):
    """Answer to POST /api/v2/event. `ok` holds JSON events only when the request asked for them."""

    total_ok: int = field(default_factory=int)
    total_failures: int = field(default_factory=int)
    failures: list[FailedEvent] = field(default_factory=lambda: [])
    ok: list[dict[str, object]] = []


class ErrorReply(Shape):
    """Every error. `status` is a string on this wire."""

    status: str = ""
    title: str = ""
    detail: str = ""
    error_enum: str = field(default_factory=lambda: "ErrorStringEnumUnset")


class SimulatedConsumer(Struct):
    """Would this subscriber be given the event? `filter_out_trigger` names the filter that says no."""

    name: str
    version: str
    filter_out: bool
    filter_out_trigger: str


class SimulateReply(Struct):
    consumers: list[SimulatedConsumer]


class UploadReply(Struct, omit_defaults=True):
    """`info`: what the server found besides, by the name of what found it; left out when there is nothing."""

    data: Datastream
    info: dict[str, dict[str, object]] = {}


class DeleteReply(Struct):
    deleted: bool
