from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from dispatcher_sdk.models import InvalidMessage

from dispatcher.api.inference import common_model, infer_model
from dispatcher.errors import BadRequest

JsonDict = dict[str, Any]


def guess(event: Any) -> str:
    return infer_model(msgspec.json.encode(event))


def test_each_model_by_its_shape(binary: Callable[..., JsonDict], status: JsonDict) -> None:
    assert guess(binary()) == "binary"
    assert guess(status) == "status"
    assert guess({"entity": {"name": "p", "version": "1"}}) == "plugin"
    assert guess({"entity": {"original_source": "s", "parent_sha256": "a", "child": {}}}) == "insert"
    assert guess({"action": "requested", "source": {"name": "s", "path": []}, "entity": {"hash": "a"}}) == "download"
    for action in ("submission", "link", "author", "ids"):
        assert guess({"action": action, "entity": {"reason": "r"}}) == "delete"


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"entity": {}},
        {"entity": {"status": "completed"}},
        {"action": "sourced", "source": {}, "entity": {}},
        {"action": "eaten", "source": {"path": []}, "entity": {"sha256": "a"}},
        {"entity": {"name": "p"}, "source": {"name": "s"}},
        {"entity": {"hash": "a"}, "action": "submitted"},
        {"action": "sourced", "source": {"path": []}, "entity": {"parent_sha256": "a"}},
    ],
)
def test_what_is_unclear_says_how_to_make_it_clear(event: JsonDict) -> None:
    with pytest.raises(BadRequest, match=r"add \?model="):
        guess(event)


@pytest.mark.parametrize("event", [[], 1, "x", None, {"entity": []}, {"action": 1, "entity": {}}])
def test_what_is_no_event(event: Any) -> None:
    with pytest.raises(InvalidMessage):
        guess(event)


def test_one_body_has_one_model(binary: Callable[..., JsonDict], status: JsonDict) -> None:
    assert common_model("", msgspec.json.encode(status)) == "status"
    with pytest.raises(BadRequest, match="send them apart"):
        common_model("binary", msgspec.json.encode(status))
