"""What an author writes, and what is refused with the cure before it reaches production."""

import base64
import os
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from dispatcher_sdk import (
    URI,
    DefinitionError,
    Feature,
    InputError,
    Job,
    NetworkError,
    Plugin,
    RetryLater,
    run_plugin,
)
from dispatcher_sdk.models import BinaryEvent, StatusEvent, decode_as, encode, problem
from hypothesis import given
from hypothesis import strategies as st


def plugin_of(execute: Callable[[Job], Any], **options: Any) -> Plugin:
    features = [
        Feature("text", str),
        Feature("number", int),
        Feature("ratio", float),
        Feature("raw", bytes),
        Feature("moment", datetime),
        Feature("place", Path),
        Feature("link", URI),
    ]
    plugin = Plugin("tester", version="1.0", features=features, **options)
    plugin.execute(execute)
    return plugin


def adding(name: str, value: Any, **where: Any) -> Plugin:
    return plugin_of(lambda job: job.add_feature(name, value, **where))


@pytest.mark.parametrize(
    ("name", "value", "wire", "kind"),
    [
        ("text", "käse", "käse", "string"),
        ("number", -(2**70), str(-(2**70)), "integer"),
        ("ratio", 1, "1.0", "float"),
        ("ratio", float("inf"), "inf", "float"),
        ("raw", b"abacus\x00", "YWJhY3VzAA==", "binary"),
        ("raw", memoryview(b"test"), "dGVzdA==", "binary"),
        (
            "moment",
            datetime(2000, 1, 1, 2, tzinfo=timezone(timedelta(hours=1))),
            "2000-01-01T01:00:00+00:00",
            "datetime",
        ),
        ("place", PureWindowsPath("C:/a/b"), "C:\\a\\b", "filepath"),
        ("place", "/private/files", "/private/files", "filepath"),
        ("link", URI("http://a.example"), "http://a.example", "uri"),
        ("text", "lone \udc80 surrogate", "lone \\udc80 surrogate", "string"),
    ],
)
def test_values_are_written_as_every_reader_of_the_wire_expects(name: str, value: Any, wire: str, kind: str) -> None:
    result = run_plugin(adding(name, value), b"x")
    assert [(f.name, f.value, f.type) for f in result.features] == [(name, wire, kind)]
    assert result.status == "completed"


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("text", b"bytes", "decode bytes"),
        ("text", 5, "str(value)"),
        ("number", True, "int(value)"),
        ("number", "5", "int(value)"),
        pytest.param("number", 1 << 20_000, "hex(value)", id="huge"),
        ("ratio", "1.5", "float(value)"),
        pytest.param("ratio", 10**400, "declare it as int", id="past float"),
        ("raw", "text", "value.encode()"),
        ("moment", "2000-01-01", "datetime"),
        ("moment", datetime(2000, 1, 1), "tzinfo=UTC"),
        ("moment", datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "years 1 to 9999"),
        ("place", b"/x", "PurePath"),
        ("link", 5, "str"),
        ("txet", "x", "add Feature('txet', str"),
    ],
)
def test_a_mistyped_feature_fails_with_the_cure(name: str, value: Any, cure: str) -> None:
    result = run_plugin(adding(name, value), b"x")
    assert result.status == "error-output"
    assert cure in result.message
    assert not result.features


@pytest.mark.parametrize("where", [{"offset": -1}, {"size": 1.5}, {"offset": True}, {"offset": 2**63}])
def test_places_are_bytes_of_the_file(where: dict[str, Any]) -> None:
    result = run_plugin(adding("text", "x", **where), b"x")
    assert result.status == "error-output"
    assert next(iter(where)) in result.message


def not_a_function(job: Job) -> None: ...


def generator(job: Job) -> Any:
    yield job


@pytest.mark.parametrize(
    ("make", "cure"),
    [
        (lambda: Plugin("bad name", version="1"), "plugin name"),
        (lambda: Plugin("x", version=""), "version"),
        (lambda: Plugin("x", version="1", timeout=0), "timeout"),
        (lambda: Plugin("x", version="1", accepts="text/*"), "accepts=['text/*']"),
        (lambda: Plugin("x", version="1", accepts=["te*xt"]), "prefixes"),
        (lambda: Plugin("x", version="1", accepts=["a,b"]), "prefixes"),
        (lambda: Plugin("x", version="1", accepts=[""]), "prefixes"),
        (lambda: Plugin("x", version="1", actions=["made"]), "sourced"),
        (lambda: Plugin("x", version="1", actions="sourced"), "actions=['sourced']"),
        (lambda: Plugin("x", version="1", min_size=10, max_size=5), "0 <= min <= max"),
        (lambda: Plugin("x", version="1", features=[Feature("a", str), Feature("a", int)]), "twice"),
        (lambda: Plugin("x", version="1", features=["a"]), "Feature('name'"),  # type: ignore[list-item]
        (lambda: Feature("9lives", str), "a letter"),
        (lambda: Feature("a", dict), "use str, int"),
        (lambda: plugin_of(lambda: None), "def execute(job)"),  # type: ignore[arg-type,misc]
        (lambda: plugin_of(lambda job, more: None), "def execute(job)"),  # type: ignore[arg-type,misc]
        (lambda: plugin_of(generator), "must not yield"),
        (lambda: plugin_of(not_a_function).execute(not_a_function), "two @plugin.execute"),
        (lambda: run_plugin(Plugin("x", version="1"), b"x"), "@plugin.execute"),
        (lambda: plugin_of(not_a_function).setup(lambda needed: needed), "def setup()"),
    ],
)
def test_a_wrong_declaration_is_refused_with_the_cure(make: Callable[[], Any], cure: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        make()
    assert cure in str(refused.value)


def test_an_async_setup_needs_an_async_execute() -> None:
    plugin = plugin_of(not_a_function)

    @plugin.setup
    async def setup() -> None: ...

    with pytest.raises(DefinitionError, match="both"):
        run_plugin(plugin, b"x")


def test_the_query_of_a_subscription() -> None:
    plugin = plugin_of(not_a_function, accepts=["text/*", "a/b"], actions=["augmented"], min_size=5, max_size=9)
    query = plugin.subscription.query()
    assert ("r-streams", "content,text/,a/b") in query
    assert [value for key, value in query if key == "r-action"] == ["augmented"]
    assert "r-content" not in dict(query), "the server refuses it together with r-action"
    assert dict(query)["r-over-content-size"] == "5"
    assert dict(query)["d-self"] == "true"
    everything = plugin_of(not_a_function, accepts=["*", "text/*"], include_self=True).subscription.query()
    assert dict(everything)["r-streams"] == "content"
    assert "d-self" not in dict(everything)


def test_the_job_shows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sample.bin"
    path.write_bytes(b"0123456789")
    seen: dict[str, Any] = {}

    def look(job: Job) -> None:
        with job.open() as file:
            file.seek(-3, os.SEEK_END)
            seen.update(end=file.read(), all=job.read(), path=job.path().read_bytes())
        seen.update(size=job.size, name=job.filename, format=job.file_format, depth=job.depth)
        seen.update(settings=job.settings, references=job.references, event=job.event, sha256=job.sha256)
        (job.folder / "mine").write_text("x")
        seen["folder"] = job.folder

    result = run_plugin(plugin_of(look), path, file_format="a/b", settings={"k": "v"}, references={"r": "s"})
    assert result.status == "completed-empty"
    assert seen["end"] == b"789"
    assert seen["all"] == seen["path"] == b"0123456789"
    assert (seen["size"], seen["name"], seen["format"], seen["depth"]) == (10, "sample.bin", "a/b", 1)
    assert (seen["settings"], seen["references"]) == ({"k": "v"}, {"r": "s"})
    assert isinstance(seen["event"], BinaryEvent)
    assert seen["sha256"] == "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
    folder = seen["folder"]
    del result
    assert not folder.exists(), "the folder goes with the result"


def test_children_streams_and_info_are_collected(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.write_bytes(b"from a file")

    def split(job: Job) -> None:
        job.add_child(inner, relationship={"how": "cut"}, filename="../x").add_feature("text", "of the child")
        job.add_child(b"bytes", relationship={"how": "cut"})
        job.add_child(b"bytes", relationship={"how": "found again"})
        job.add_stream("text", b"as text")
        job.add_info({"a": 1})
        job.add_info({"b": [None, {"c": 2.5}]})

    result = run_plugin(plugin_of(split), b"x")
    assert [(child.data, child.filename) for child in result.children] == [(b"from a file", "../x"), (b"bytes", "")]
    assert [f.value for f in result.children[0].features] == ["of the child"]
    assert [(stream.label, stream.data) for stream in result.streams] == [("text", b"as text")]
    assert result.info == {"a": 1, "b": [None, {"c": 2.5}]}
    assert result.status == "completed"
    results = result.event.entity.results
    assert [event.action for event in results] == ["augmented", "extracted", "extracted"]
    assert problem(result.event) is None


@pytest.mark.parametrize(
    ("act", "cure"),
    [
        (lambda job: job.add_child(b"x", relationship={}), "relationship"),
        (lambda job: job.add_child(b"x", relationship={"n": 1}), "str(value)"),
        (lambda job: job.add_child("/does/not/exist", relationship={"a": "b"}), "/does/not/exist"),
        (lambda job: job.add_child(5, relationship={"a": "b"}), "bytes or a path"),
        (lambda job: job.add_stream("content", b"x"), "screenshot"),
        (lambda job: job.add_stream("txt", b"x"), "'txt'"),
        (lambda job: job.add_info([1]), "wrap it"),
        (lambda job: job.add_info({"x": {1, object()}}), "JSON"),
        (lambda job: job.add_info({"x": "y" * 1_000_000}), "add_stream"),
    ],
)
def test_a_result_that_cannot_be_published_fails_with_the_cure(act: Callable[[Job], None], cure: str) -> None:
    result = run_plugin(plugin_of(act), b"input")
    assert result.status == "error-output"
    assert cure in result.message


def test_what_is_past_a_bound_is_left_out_and_said() -> None:
    def flood(job: Job) -> None:
        for number in range(1_005):
            job.add_child(b"%d" % number, relationship={"n": str(number)})
        job.add_child(b"", relationship={"n": "empty"})
        job.add_child(job.read(), relationship={"n": "itself"})
        job.add_feature("text", "x" * 5_000)
        job.add_feature("number", 1)

    result = run_plugin(plugin_of(flood), b"input")
    assert result.status == "completed-with-errors"
    assert len(encode(result.event)) <= 2 * 1024 * 1024
    assert len(result.children) == 1_000
    for said in ("1000 children", "empty", "equal their parent", "4000 characters"):
        assert said in result.message
    assert [f.name for f in result.features] == ["number"]
    assert problem(result.event) is None


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (InputError("half a file"), "error-input"),
        (NetworkError("no route"), "error-network"),
        (ValueError("boom"), "error-exception"),
        (MemoryError(), "error-out-of-memory"),
        (RetryLater("busy", after=7), "retry-later"),
        (SystemExit(0), "error-exception"),
    ],
)
def test_an_exception_becomes_the_status_it_means(raised: BaseException, status: str) -> None:
    def fail(job: Job) -> None:
        job.add_feature("text", "lost with the job")
        raise raised

    result = run_plugin(plugin_of(fail), b"x")
    assert result.status == status
    assert result.exception is raised
    assert not result.features
    assert not result.event.entity.results
    assert result.retry_after == (7 if status == "retry-later" else 0)


def test_opting_out_gives_the_reason() -> None:
    result = run_plugin(plugin_of(lambda job: job.opt_out("not a picture")), b"x")
    assert (result.status, result.message) == ("opt-out", "not a picture")


async def test_async_plugins_run_the_same_even_inside_a_loop() -> None:
    plugin = Plugin("waiter", version="1", features=[Feature("text", str)])

    @plugin.setup
    async def setup() -> str:
        return "state"

    @plugin.execute
    async def execute(job: Job) -> None:
        job.add_feature("text", job.state)

    assert run_plugin(plugin, b"x").values("text") == ["state"]


def test_an_enriched_input_gives_a_valid_path() -> None:
    event = run_plugin(adding("text", "x"), b"x").event.entity.results[0]
    event.dequeued = "token"
    result = run_plugin(
        plugin_of(lambda job: (job.add_feature("text", "y"), job.add_stream("text", b"z"), None)[-1]), b"x", event=event
    )
    assert problem(result.event) is None
    assert [node.action for node in result.event.entity.results[0].source.path] == ["sourced", "augmented"]


@given(
    st.text(max_size=50),
    st.binary(max_size=50),
    st.datetimes(timezones=st.just(UTC)),
    st.floats(),
    st.integers(),
    st.data(),
)
def test_every_value_of_a_declared_type_is_published_validly(
    text: str, raw: bytes, moment: datetime, ratio: float, number: int, data: st.DataObject
) -> None:
    label = data.draw(st.text(alphabet=string.printable + "\ud800é", max_size=9))

    def add(job: Job) -> None:
        for name, value in (("text", text), ("raw", raw), ("moment", moment), ("ratio", ratio), ("number", number)):
            job.add_feature(name, value, label=label)
        job.add_child(raw + b"1", relationship={text + "k": label}, filename=text)

    result = run_plugin(plugin_of(add), b"input")
    assert result.status == "completed", result
    posted = decode_as(StatusEvent, encode(result.event))
    assert problem(posted) is None
    assert base64.b64decode(result.values("raw")[0]) == raw
