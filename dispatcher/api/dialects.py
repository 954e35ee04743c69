"""What a fetch asks for, from either dialect of its query (wire contract 1.3, 2.2 and 2.3).

The current dialect subscribes with `r-expedite`, `r-live` and `r-historic`. The dialect of the original README has
other names and subscribes by default. Where both are used the current names win.
"""

from dataclasses import dataclass
from typing import Final, Literal

from dispatcher_sdk.models import ACTIONS, MODELS

from dispatcher.api.options import ApiOptions
from dispatcher.api.params import Query, bad_parameter, distinct, quoted
from dispatcher.delivery.gjson import PathError, check_path
from dispatcher.errors import Unprocessable
from dispatcher.hooks.types import StreamWant, Subscription

README_KEYS: Final = frozenset(
    (
        "timeout",
        "ignore-historic",
        "requires-data",
        "filter",
        "f-max-content-size",
        "f-min-content-size",
        "f-allow-event-type",
        "f-deny-event-type",
        "f-self",
        "f-data-type",
    )
)
CURRENT_KEYS: Final = frozenset(
    ("deadline", "deployment_key", "avro-format", "is-task", "d-action", "d-self", "max-security")
)
FLOW_KEYS: Final = frozenset(("r-expedite", "r-live", "r-historic"))

BARE_CONTENT: Final = ("sourced", "extracted")
"""What `r-content` narrows to."""
WITH_CONTENT: Final = ("sourced", "extracted", "augmented")
"""Actions whose events always carry a content stream: what `requires-data` narrows to."""
LONGEST_NAME: Final = 256
SHORTEST_LEASE: Final = 10
LONGEST_LEASE: Final = 86_400
MOST_PATHS: Final = 16

Reply = Literal["json", "multipart"]
REPLY_TYPES: Final[tuple[tuple[str, Reply], ...]] = (
    ("application/json", "json"),
    ("multipart/form-data", "multipart"),
)


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One GET, understood. Times in seconds; `lease_seconds` None = the server's lease time."""

    subscription: Subscription
    count: int
    deadline: float
    lease_seconds: float | None
    reset: bool
    avro: bool
    reply: Reply


def parse_fetch(options: ApiOptions, model: str, raw: str, task: bool, accept: str) -> FetchRequest:
    """Understand one GET: `raw` is its query, `accept` its Accept header. Raises Unprocessable; the first
    fault in the contract's order wins."""
    if model not in MODELS:
        raise bad_parameter("model", f"{quoted(model)} is not one of {', '.join(MODELS)}")
    query = Query(raw)
    current = _is_current(query.keys)
    avro = query.flag("avro-format")
    expedite, live, historic = _flow(query, model, current)
    count = _count(query, options)
    deadline = _deadline(query, options)
    under, over = _sizes(query)
    content, actions, denied = _actions(query, model)
    deny_self = query.flag(_present(query, "d-self", "f-self"))
    reset = query.flag("reset")
    debug = query.flag("debug")
    streams = _streams(query)
    subscription = Subscription(
        name=query.text("name", LONGEST_NAME),
        version=query.text("version", LONGEST_NAME),
        model=model,
        sources=distinct(query.texts("r-source")),
        actions=actions,
        expedite=expedite,
        live=live,
        historic=historic,
        debug=debug,
        task=task,
        deny_actions=denied,
        under_size=under,
        over_size=over,
        require_content=content,
        streams=streams,
        deny_self=deny_self,
        max_security=query.text("max-security"),
        gjson=_paths(query),
        deployment_key=query.text("deployment_key"),
    )
    return FetchRequest(
        subscription=subscription,
        count=count,
        deadline=deadline,
        lease_seconds=_lease(query),
        reset=reset,
        avro=avro,
        reply=_reply(accept, "multipart" if current or avro else "json", avro),
    )


def _is_current(keys: frozenset[str]) -> bool:
    """A bare name and version is the README's dialect, and so is any key that only the README has."""
    if keys & FLOW_KEYS:
        return True
    speaks_current = bool(keys & CURRENT_KEYS) or any(key.startswith("r-") for key in keys)
    return speaks_current and not keys & README_KEYS


def _present(query: Query, current: str, readme: str) -> str:
    """The name under which a setting was sent: the current one wins."""
    return readme if readme in query.keys and current not in query.keys else current


def _flow(query: Query, model: str, current: bool) -> tuple[bool, bool, bool]:
    """(expedite, live, historic)."""
    binary = model == "binary"
    if not current:
        ignore = query.flag("ignore-historic")
        return (True, True, not ignore) if binary else (False, ignore, not ignore)
    expedite = query.flag("r-expedite")
    if expedite and not binary:
        raise bad_parameter("r-expedite", f"model {model} has no expedited events")
    live = query.flag("r-live")
    historic = query.flag("r-historic")
    if not (expedite or live or historic):
        raise Unprocessable("at least one of r-expedite, r-live and r-historic must be true")
    return expedite, live, historic


def _count(query: Query, options: ApiOptions) -> int:
    return min(max(query.number("count", 1), 1), options.fetch_limit)


def _deadline(query: Query, options: ApiOptions) -> float:
    wait = query.number(_present(query, "deadline", "timeout"), options.default_deadline)
    return float(min(max(wait, 0), options.longest_deadline))


def _sizes(query: Query) -> tuple[int, int]:
    """(largest, smallest) content in bytes, 0 = no bound."""
    under_key = _present(query, "r-under-content-size", "f-max-content-size")
    over_key = _present(query, "r-over-content-size", "f-min-content-size")
    under, over = max(query.number(under_key), 0), max(query.number(over_key), 0)
    if under and over > under:
        raise bad_parameter(over_key, f"{over} is more than {under_key} = {under}")
    return under, over


def _actions(query: Query, model: str) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """(content required, actions, denied actions)."""
    content = query.flag("r-content")
    if content and query.keys & {"r-action", "d-action"}:
        raise bad_parameter("r-content", "cannot be combined with r-action or d-action")
    allowed = _action_list(query, _present(query, "r-action", "f-allow-event-type"))
    denied = _action_list(query, _present(query, "d-action", "f-deny-event-type"))
    if content:
        return True, BARE_CONTENT, denied
    if query.flag("requires-data"):
        return True, _with_content(allowed, model), denied
    return False, allowed, denied


def _action_list(query: Query, key: str) -> tuple[str, ...]:
    values = query.texts(key)
    if key[0] == "f":
        pieces = (piece.strip() for value in values for piece in value.split(","))
        values = tuple(piece.removeprefix("binary_") for piece in pieces if piece)
    for value in values:
        if value not in ACTIONS:
            raise bad_parameter(key, f"{quoted(value)} is not one of {', '.join(ACTIONS)}")
    return distinct(values)


def _with_content(allowed: tuple[str, ...], model: str) -> tuple[str, ...]:
    """Narrow to actions that have content. Where none is left the content rule itself rejects everything."""
    if not allowed:
        return WITH_CONTENT if model == "binary" else ()
    return tuple(action for action in allowed if action in WITH_CONTENT) or allowed


def _streams(query: Query) -> tuple[StreamWant, ...]:
    """`label[,format-prefix...]`; of a repeated label the last one counts."""
    wants: dict[str, tuple[str, ...]] = {}
    for value in query.texts(_present(query, "r-streams", "f-data-type")):
        label, *formats = [piece for piece in value.split(",") if piece] or [""]
        if label:
            wants[label] = tuple(formats)
    return tuple(StreamWant(label, formats) for label, formats in wants.items())


def _paths(query: Query) -> tuple[str, ...]:
    paths = distinct(query.texts("filter"))
    if len(paths) > MOST_PATHS:
        raise bad_parameter("filter", f"more than {MOST_PATHS} of them")
    for path in paths:
        try:
            check_path(path)
        except PathError as problem:
            raise bad_parameter("filter", f"{quoted(path)} is not a gjson path: {problem}") from None
    return paths


def _lease(query: Query) -> float | None:
    """Our own: a client that sends heartbeats asks for a short lease, so that its death is noticed soon."""
    if not query.text("lease"):
        return None
    seconds = query.number("lease")
    if not SHORTEST_LEASE <= seconds <= LONGEST_LEASE:
        raise bad_parameter("lease", f"must be {SHORTEST_LEASE} to {LONGEST_LEASE} seconds")
    return float(seconds)


def _reply(accept: str, default: Reply, avro: bool) -> Reply:
    """An explicit Accept overrides the dialect; of two the first. Avro has no place inside JSON."""
    if not accept or avro:
        return default
    wanted = accept.lower()
    found = [(wanted.find(name), reply) for name, reply in REPLY_TYPES if name in wanted]
    return min(found)[1] if found else default
