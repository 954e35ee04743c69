"""Wire contract 3.3: each rule broken once, in words that say what to change."""

import json
from typing import Any

import pytest
from dispatcher_sdk.models import ACTIONS, DOWNLOAD_ACTIONS, LABELS, decode, problem

NODE = {"sha256": "a", "action": "extracted", "author": {"name": "p"}}
CONTENT = {"label": "content", "sha256": "a"}
TEXT = {"label": "text", "sha256": "b"}


def told(model: str, **members: Any) -> str | None:
    event = {"model_version": 6, "author": {"name": "p"}} | members
    return problem(decode(model, json.dumps(event).encode()))


def binary(action: str = "extracted", streams: Any = (CONTENT,), path: Any = (NODE,), **source: Any) -> dict[str, Any]:
    return {
        "action": action,
        "source": {"name": "s", "path": list(path), **source},
        "entity": {"datastreams": list(streams)},
    }


STREAMS = {"enriched": (), "mapped": (TEXT,), "augmented": (CONTENT, TEXT)}


@pytest.mark.parametrize("action", ACTIONS)
def test_valid_binary_events(action: str) -> None:
    assert told("binary", **binary(action, STREAMS.get(action, (CONTENT,)))) is None


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (binary() | {"author": {"name": ""}}, "author.name is empty"),
        (binary(""), "action ''"),
        (binary("guessed"), "action 'guessed'"),
        (binary(path=()), "source.path is empty"),
        (binary(name=""), "source.name is empty"),
        (binary(path=(NODE | {"sha256": ""},)), "source.path[0].sha256"),
        (binary(path=(NODE, NODE | {"action": "x"})), "source.path[1].action 'x'"),
        (binary(path=(NODE | {"author": {}},)), "source.path[0].author.name"),
        (binary(path=(NODE | {"action": "enriched"}, NODE)), "source.path[0] is enriched"),
        (binary(streams=(CONTENT, {"label": "secret"})), "datastreams[1].label 'secret'"),
        (binary("enriched"), "enriched event carries no datastreams"),
        (binary("mapped"), "no content stream"),
        (binary("sourced", (TEXT,)), "a sourced event needs a content stream"),
        (binary("extracted", ()), "an extracted event needs a content stream"),
        (binary("augmented", (TEXT,)), "an augmented event needs a content stream"),
        (binary("augmented", (CONTENT, CONTENT)), "a stream besides content"),
    ],
)
def test_broken_binary_events(members: dict[str, Any], words: str) -> None:
    assert words in (told("binary", **members) or "")


def test_every_label_is_known() -> None:
    assert len(LABELS) == 16
    assert told("binary", **binary(streams=[CONTENT, *({"label": label} for label in LABELS)])) is None


def status(**entity: Any) -> dict[str, Any]:
    return {"entity": {"input": {"dequeued": "token.1"}, "status": "anything", **entity}}


def test_statuses_are_judged_by_token_and_results_only() -> None:
    good, bad = {"author": {"name": "p"}, **binary()}, {"author": {"name": "p"}, **binary("guessed")}
    assert told("status", **status(results=[good])) is None
    assert "entity.results[1]: action" in (told("status", **status(results=[good, bad])) or "")
    assert "entity.results[0].author.name" in (told("status", **status(results=[binary()])) or "")
    assert "entity.input.dequeued is empty" in (told("status", **status(input={})) or "")


@pytest.mark.parametrize("action", DOWNLOAD_ACTIONS)
def test_downloads_may_have_an_empty_path(action: str) -> None:
    assert told("download", action=action, source={"name": "s"}) is None


def test_broken_downloads() -> None:
    assert "action 'x'" in (told("download", action="x", source={"name": "s"}) or "")
    assert "source.name is empty" in (told("download", action="requested") or "")
    assert "source.path[0].sha256" in (
        told("download", action="failed", source={"name": "s", "path": [{"action": "sourced"}]}) or ""
    )


def test_inserts() -> None:
    entity = {"parent_sha256": "a", "child": {"datastreams": [CONTENT]}, "child_history": NODE}
    assert told("insert", entity=entity) is None
    assert "parent_sha256" in (told("insert", entity=entity | {"parent_sha256": ""}) or "")
    assert "child_history.sha256" in (told("insert", entity=entity | {"child_history": NODE | {"sha256": ""}}) or "")
    assert "child_history.action" in (told("insert", entity=entity | {"child_history": NODE | {"action": ""}}) or "")
    assert "child_history.author.name" in (
        told("insert", entity=entity | {"child_history": NODE | {"author": {}}}) or ""
    )
    assert "label 'x'" in (told("insert", entity=entity | {"child": {"datastreams": [{"label": "x"}]}}) or "")


def test_the_action_of_an_insert_s_history_is_judged_when_the_child_is_made() -> None:
    entity = {"parent_sha256": "a", "child_history": NODE | {"action": "guessed"}}
    assert told("insert", entity=entity) is None


@pytest.mark.parametrize("model", ["delete", "plugin", "retrohunt"])
def test_other_models_need_only_an_author(model: str) -> None:
    assert told(model, action="anything") is None
    assert "author.name is empty" in (told(model, author={}) or "")
