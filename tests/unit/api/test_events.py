"""POST of events over real HTTP."""

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from dispatcher_sdk.models import FailedEvent, SimulatedConsumer

from dispatcher.api.bodies import SMALL
from dispatcher.errors import Unavailable
from dispatcher.eventlog.base import LogUnavailable
from dispatcher.publish.outcome import Outcome

JsonDict = dict[str, Any]
Binary = Callable[..., JsonDict]
POST = "/api/v2/event?model=binary"


async def post(api: Any, body: Any, path: str = POST) -> JsonDict:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with api.http.post(path, data=io.BytesIO(data)) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "application/json"
        reply: JsonDict = await response.json()
        return reply


async def refused(api: Any, body: Any, path: str = POST) -> tuple[int, JsonDict]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with api.http.post(path, data=io.BytesIO(data)) as response:
        answer: tuple[int, JsonDict] = await api.error(response)
        return answer


async def test_one_event_and_a_list(api: Any, binary: Binary) -> None:
    assert await post(api, binary()) == {"total_ok": 1, "total_failures": 0, "failures": []}
    assert await post(api, [binary(), binary()]) == {"total_ok": 2, "total_failures": 0, "failures": []}
    assert await post(api, b" \r\n\t" + json.dumps([binary()]).encode() + b"\n") == {
        "total_ok": 1,
        "total_failures": 0,
        "failures": [],
    }
    assert len(api.publisher.events) == 4


async def test_an_invalid_event_is_a_failure_and_the_others_go_on(api: Any, binary: Binary) -> None:
    reply = await post(api, [binary(), binary(action="eaten")])
    assert (reply["total_ok"], reply["total_failures"]) == (1, 1)
    (failure,) = reply["failures"]
    assert json.loads(failure["event"])["action"] == "eaten"
    assert "eaten" in failure["error"]


async def test_include_ok(api: Any, binary: Binary) -> None:
    reply = await post(api, [binary(), binary()], POST + "&include_ok=true")
    assert [event["entity"]["sha256"] for event in reply["ok"]] == ["a" * 64] * 2
    assert "ok" not in await post(api, binary(), POST + "&include_ok=True")


@pytest.mark.parametrize(
    ("body", "status", "title"),
    [
        (b"", 400, "Empty Request"),
        (b"[]", 422, "PostEvent TransformEvents invalid events"),
        (b"{}", 422, "PostEvent TransformEvents invalid events"),
        (b"nonsense", 422, "PostEvent TransformEvents invalid events"),
        (b"   ", 422, "PostEvent TransformEvents invalid events"),
        (b"[1]", 422, "PostEvent TransformEvents invalid events"),
        (b'{"model_version":6}{"model_version":6}', 422, "PostEvent TransformEvents invalid events"),
        (b"\xff\xfe", 422, "PostEvent TransformEvents invalid events"),
        (b"[ ]", 425, "All events to be published have been filtered out"),
    ],
)
async def test_bodies_without_events(api: Any, body: bytes, status: int, title: str) -> None:
    got, error = await refused(api, body)
    assert (got, error["title"]) == (status, title)
    assert api.publisher.events == []


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": "2024-05-01T10:00:00"},
        {"model_version": 3},
        {"model_version": 7},
        {"model_version": "6"},
        {"source": []},
        {"event_version": 3, "model_version": None},
        {"entity": {"size": -1}},
        {"entity": {"size": 2**70}},
    ],
)
async def test_one_event_that_does_not_decode_refuses_all(api: Any, binary: Binary, change: JsonDict) -> None:
    status, error = await refused(api, [binary(), binary(**change)])
    assert status == 422
    assert error["detail"].startswith("event 1: ")
    assert api.publisher.calls == []


@pytest.mark.parametrize("version", [4, 5])
async def test_older_versions_are_promoted(api: Any, binary: Binary, version: int) -> None:
    await post(api, binary(model_version=version))
    assert api.publisher.events[0].model_version == 6


async def test_unknown_model_is_400(api: Any, binary: Binary) -> None:
    status, error = await refused(api, binary(), "/api/v2/event?model=nonsense")
    assert (status, error["title"]) == (400, "not a registered model type")


async def test_avro_cannot_be_inferred(api: Any) -> None:
    assert (await refused(api, b"\x0c\x00", "/api/v2/event?avro-format=true"))[0] == 400


async def test_readme_dialect_infers_the_model(api: Any, binary: Binary, status: JsonDict) -> None:
    await post(api, binary(), "/api/v2/event")
    await post(api, [status, status], "/api/v2/event?model=&name=x&version=1")
    assert api.publisher.calls == [("binary", 1, True), ("status", 2, True)]
    assert "add ?model=" in (await refused(api, {"a": 1}, "/api/v2/event"))[1]["detail"]
    assert (await refused(api, [binary(), status], "/api/v2/event"))[0] == 400


class TestNothingWentThrough:
    async def verdict(self, api: Any, event: JsonDict, path: str, **outcome: Any) -> tuple[int, JsonDict]:
        api.publisher.answer = Outcome(**outcome)
        return await refused(api, event, path)

    async def test_aged_off(self, api: Any, binary: Binary) -> None:
        status, error = await self.verdict(api, binary(), POST, parsed=1, aged_off=1)
        assert (status, error["error_enum"]) == (425, "ErrorStringEnumAllEventsAgedOffImmediately")
        assert error["title"] == "All events to be published have been filtered out"

    async def test_deleted(self, api: Any, binary: Binary) -> None:
        status, error = await self.verdict(api, binary(), POST, parsed=1, deleted=1)
        assert (status, error["error_enum"]) == (425, "ErrorStringEnumAllEventsFiltered")

    async def test_invalid_says_why(self, api: Any, binary: Binary) -> None:
        status, error = await refused(api, binary(action="eaten"))
        assert (status, error["error_enum"]) == (425, "ErrorStringEnumAllEventsFiltered")
        assert "eaten" in error["detail"]

    async def test_unknown_source(self, api: Any, binary: Binary) -> None:
        failures = [FailedEvent("{}", "source 'x' is not listed")]
        status, error = await self.verdict(api, binary(), POST, parsed=1, refused=1, failures=failures)
        assert (status, error["detail"]) == (400, "source 'x' is not listed")

    async def test_an_aged_status_is_no_fault_of_the_plugin(self, api: Any, status: JsonDict) -> None:
        api.publisher.answer = Outcome(parsed=1, aged_off=1)
        reply = await post(api, status, "/api/v2/event?model=status")
        assert reply == {"total_ok": 1, "total_failures": 0, "failures": []}


@pytest.mark.parametrize("problem", [Unavailable("the log is away"), LogUnavailable("the log is away")])
async def test_the_log_away_is_503(api: Any, binary: Binary, problem: Exception) -> None:
    api.publisher.fail = problem
    status, error = await refused(api, binary())
    assert (status, error["detail"]) == (503, "the log is away")


async def test_pause_comes_after_validation_and_before_publishing(api: Any, binary: Binary) -> None:
    await refused(api, b"rubbish", POST + "&pause_plugins=true")
    await refused(api, binary(action="eaten"), POST + "&pause_plugins=true")
    assert "pause" not in api.publisher.steps
    api.publisher.steps.clear()
    await post(api, binary(), POST + "&pause_plugins=true")
    assert api.publisher.steps == ["pause", "publish"]


async def test_async_ack_unless_sync(start: Any, binary: Binary) -> None:
    api = await start(async_ack=True)
    await post(api, binary())
    await post(api, binary(), POST + "&sync=true")
    assert [wait for _, _, wait in api.publisher.calls] == [False, True]


async def test_a_publish_outlives_its_client(api: Any, binary: Binary) -> None:
    api.publisher.hold = asyncio.Event()
    body = json.dumps(binary()).encode()
    async with api.connection() as (_, writer):
        head = f"POST {POST} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await api.publisher.entered.wait()
    async with api.http.get("/"):  # the server has seen the connection go
        pass
    api.publisher.hold.set()
    await api.publisher.finished.wait()
    assert len(api.publisher.events) == 1


class TestLargeBodies:
    def body(self, binary: Binary, count: int, last: JsonDict | None = None) -> bytes:
        filler = {"filler": "[{" * 500}
        one = json.dumps(binary(entity=binary()["entity"] | {"info": filler})).encode()
        events = [one] * count + ([json.dumps(last).encode()] if last else [])
        data = b"[" + b" ,\n".join(events) + b"]"
        assert len(data) > SMALL
        return data

    async def test_are_published_in_chunks(self, api: Any, binary: Binary) -> None:
        reply = await post(api, self.body(binary, 1500), POST + "&pause_plugins=1")
        assert reply == {"total_ok": 1500, "total_failures": 0, "failures": []}
        assert max(count for _, count, _ in api.publisher.calls) <= 500
        assert len(api.publisher.events) == 1500
        assert api.publisher.steps[:2] == ["pause", "publish"]

    async def test_one_bad_event_at_the_end_publishes_nothing(self, api: Any, binary: Binary) -> None:
        status, error = await refused(api, self.body(binary, 1500, binary(timestamp="never")))
        assert status == 422
        assert error["detail"].startswith("event 1500: ")
        assert api.publisher.calls == []

    async def test_model_is_inferred(self, api: Any, binary: Binary, status: JsonDict) -> None:
        await post(api, self.body(binary, 1500), "/api/v2/event")
        assert {model for model, _, _ in api.publisher.calls} == {"binary"}
        assert (await refused(api, self.body(binary, 1500, status), "/api/v2/event"))[0] == 400

    async def test_failures_of_all_chunks_are_told(self, api: Any, binary: Binary) -> None:
        reply = await post(api, self.body(binary, 1500, binary(action="eaten")), POST + "&include_ok=1")
        assert (reply["total_ok"], reply["total_failures"], len(reply["ok"])) == (1500, 1, 1500)

    async def test_so_many_invalid_events_that_nobody_means_it(self, api: Any) -> None:
        status, error = await refused(api, b"[" + b",".join([b'{"model_version":6}'] * 20_000) + b"]")
        assert (status, error["detail"]) == (422, "more than 10000 events are invalid")
        assert api.publisher.calls == []

    async def test_many_small_events_are_published_in_chunks_too(self, api: Any, status: JsonDict) -> None:
        small = {key: value for key, value in status.items() if key != "entity"} | {"entity": {"name": "p"}}
        reply = await post(api, [small] * 3000, "/api/v2/event?model=plugin")
        assert reply["total_ok"] == 3000
        assert max(count for _, count, _ in api.publisher.calls) == 500

    async def test_the_reply_to_many_failures_is_short(self, api: Any, binary: Binary) -> None:
        body = self.body(binary, 1500).replace(b'"sourced", "flags"', b'"eaten", "flags"')
        good = json.dumps(binary()).encode()
        reply = await post(api, body[:-1] + b"," + good + b"]")
        assert (reply["total_ok"], reply["total_failures"]) == (1, 1500)
        lengths = [len(failure["event"]) for failure in reply["failures"]]
        assert min(lengths[:1000]) > 1000
        assert max(lengths[1200:]) == 200

    async def test_very_many_failures_are_counted_and_not_all_named(self, api: Any, binary: Binary) -> None:
        api.publisher.answer = Outcome(parsed=500, published=1, failures=[FailedEvent("{}", "no")] * 499)
        reply = await post(api, self.body(binary, 15_000))
        assert (reply["total_ok"], reply["total_failures"], len(reply["failures"])) == (15_000, 14_970, 10_000)

    @pytest.mark.parametrize("problem", [Unavailable("the log is away"), LogUnavailable("the log is away")])
    async def test_the_log_goes_away_in_the_middle(self, api: Any, binary: Binary, problem: Exception) -> None:
        api.publisher.fail, api.publisher.fail_after = problem, 2
        reply = await post(api, self.body(binary, 2000, binary(action="eaten")), POST + "&include_ok=1")
        done = len(api.publisher.events)
        assert 0 < done < 2000
        assert (reply["total_ok"], len(reply["ok"]), reply["total_failures"]) == (2000, done, 2001 - done)
        assert "not available" in reply["failures"][0]["error"]
        assert "'eaten' is not one of" in reply["failures"][-1]["error"]
        assert len(api.publisher.calls) == 3, "what comes later is not tried: it would overtake"

    async def test_the_log_away_from_the_start(self, api: Any, binary: Binary) -> None:
        api.publisher.fail = Unavailable("the log is away")
        assert (await refused(api, self.body(binary, 2000)))[0] == 503

    async def test_include_ok_has_a_limit(self, api: Any) -> None:
        body = b"[" + b" " * (33 * 1024 * 1024) + b"]"
        assert (await refused(api, body, POST + "&include_ok=true"))[0] == 413
        assert (await refused(api, body))[0] == 425

    async def test_over_the_limit(self, start: Any, binary: Binary) -> None:
        api = await start(post_max_bytes=SMALL + 1000)
        status, error = await refused(api, self.body(binary, 1500))
        assert (status, error["title"]) == (413, "too large")

    async def test_over_the_limit_without_saying_so(self, start: Any, binary: Binary) -> None:
        api = await start(post_max_bytes=SMALL + 1000)
        data = self.body(binary, 1500)

        async def chunks() -> Any:
            for at in range(0, len(data), 65536):
                yield data[at : at + 65536]

        async with api.http.post(POST, data=chunks()) as response:
            assert (await api.error(response))[0] == 413

    async def test_one_event_beyond_any_limit(self, start: Any, binary: Binary) -> None:
        api = await start(event_max_bytes=100_000)
        big = json.dumps(binary(entity=binary()["entity"] | {"info": "x" * SMALL}))
        assert (await refused(api, big.encode()))[0] == 413
        assert (await refused(api, f"[{json.dumps(binary())},{big}]".encode()))[0] == 413
        assert api.publisher.calls == []

    async def test_nothing_stays_on_disk(self, start: Any, binary: Binary, tmp_path: Any) -> None:
        api = await start(spool_dir=tmp_path)
        await post(api, self.body(binary, 1500))
        assert list(tmp_path.iterdir()) == []

    async def test_no_room_on_disk_is_503(self, start: Any, binary: Binary, tmp_path: Any) -> None:
        api = await start(spool_dir=tmp_path / "missing")
        assert (await refused(api, self.body(binary, 1500)))[0] == 503
        await post(api, binary())


class TestSimulate:
    PATH = "/api/v2/event/simulate"

    async def test_answers_per_consumer(self, api: Any, binary: Binary) -> None:
        assert await post(api, binary(), self.PATH) == {"consumers": []}
        api.delivery.consumers = [SimulatedConsumer("p", "1", True, "FilterConsumerRules-reject_self")]
        assert await post(api, binary(), self.PATH) == {
            "consumers": [
                {
                    "name": "p",
                    "version": "1",
                    "filter_out": True,
                    "filter_out_trigger": "FilterConsumerRules-reject_self",
                }
            ]
        }

    async def test_a_large_event(self, api: Any, binary: Binary) -> None:
        await post(api, binary(entity=binary()["entity"] | {"info": "x" * SMALL}), self.PATH)
        assert len(api.delivery.simulated) == 1

    @pytest.mark.parametrize("body", [b"", b"[]", b"x", b"[{}]", b"{}"])
    async def test_bad_bodies(self, api: Any, body: bytes) -> None:
        status, error = await refused(api, body, self.PATH)
        assert (status, error["title"]) == (422, "Failed to simulate event")
