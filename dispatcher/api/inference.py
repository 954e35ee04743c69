"""Which model is this event? The original README's dialect does not say, so its shape has to.

The rules are those of the wire contract, section 10. Exactly one must hold.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from dispatcher_sdk.models import ACTIONS, DOWNLOAD_ACTIONS, decode_as
from msgspec import UNSET, Raw, Struct, UnsetType

from dispatcher.errors import BadRequest

DELETE_ACTIONS: Final = ("submission", "link", "author", "ids")


class _Entity(Struct):
    status: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    parent_sha256: Raw | UnsetType = UNSET
    hash: Raw | UnsetType = UNSET
    name: Raw | UnsetType = UNSET


class _Source(Struct):
    path: Raw | UnsetType = UNSET


class _Sketch(Struct):
    """The few members that tell models apart."""

    entity: _Entity = msgspec.field(default_factory=_Entity)
    source: _Source | None = None
    action: str = ""


_RULES: Final[Mapping[str, Callable[[_Sketch], bool]]] = {
    "status": lambda it: it.entity.status is not UNSET and it.entity.input is not UNSET,
    "insert": lambda it: it.entity.parent_sha256 is not UNSET,
    "download": lambda it: it.entity.hash is not UNSET and it.action in DOWNLOAD_ACTIONS,
    "binary": lambda it: it.source is not None and it.source.path is not UNSET and it.action in ACTIONS,
    "delete": lambda it: it.action in DELETE_ACTIONS,
    "plugin": lambda it: it.entity.name is not UNSET and it.source is None,
}


def infer_model(raw: bytes | Raw) -> str:
    """Raises BadRequest when no rule or more than one holds, InvalidMessage when this is no JSON object."""
    sketch = decode_as(_Sketch, raw)
    models = [model for model, holds in _RULES.items() if holds(sketch)]
    if len(models) == 1:
        return models[0]
    found = f"it could be {' or '.join(models)}" if models else "nothing in it says so"
    raise BadRequest(f"cannot tell the model of an event ({found}): add ?model=", title="not a registered model type")


def common_model(known: str, raw: bytes | Raw) -> str:
    """The model of `raw`, which must be `known` unless that is empty. Raises as `infer_model`."""
    model = infer_model(raw)
    if known and model != known:
        raise BadRequest(
            f"one body holds events of {known} and of {model}: send them apart", title="not a registered model type"
        )
    return model
