"""A small real HTTP server that speaks the part of the wire contract that plugins use."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

BOUNDARY = "b" * 60


class Hub:
    """Leases queued events, keeps what is posted, and misbehaves on request."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.leased: dict[str, dict[str, Any]] = {}
        self.polls: list[list[tuple[str, str]]] = []
        self.registered: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.batches: list[int] = []
        self.released: list[tuple[str, str]] = []
        self.stored: dict[tuple[str, str, str], bytes] = {}
        self.faults: list[tuple[str, int, dict[str, str]]] = []
        self.invalid: Callable[[dict[str, Any]], str] = lambda status: ""
        self.changed = asyncio.Condition()
        self.url = ""
        self._port = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/api/v2/event/binary/active", self._guarded("fetch", self._fetch))
        app.router.add_post("/api/v2/event", self._guarded("post", self._post))
        app.router.add_post("/api/v2/lease/{token}/release", self._guarded("release", self._release))
        app.router.add_post("/api/v3/stream/{source}/{label}", self._guarded("upload", self._upload))
        app.router.add_get("/api/v3/stream/{source}/{label}/{sha256}", self._guarded("download", self._download))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def submit(self, data: bytes, *, file_format: str = "text/plain", filename: str = "sample") -> str:
        """Store a file and queue its event; its sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.stored["test", "content", sha256] = data
        now = datetime.now(UTC).isoformat()
        author = {"name": "submitter", "version": "1", "category": "user"}
        stream = {**describe(data), "label": "content", "file_format": file_format}
        node = {"author": author, "action": "sourced", "sha256": sha256, "timestamp": now, "filename": filename}
        self.waiting.append(
            {
                "model_version": 6,
                "kafka_key": hashlib.md5(f"{sha256}{len(self.waiting)}".encode()).hexdigest(),
                "timestamp": now,
                "author": author,
                "source": {"name": "test", "path": [node], "timestamp": now, "settings": {"passwords": "a;b"}},
                "entity": {
                    **stream,
                    "features": [{"name": "x", "value": "y", "type": "string"}],
                    "datastreams": [stream],
                },
                "action": "sourced",
                "flags": {},
                "unknown_key": "dropped by every reader",
            }
        )
        return sha256

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something to have happened here."""
        async with self.changed:
            await self.changed.wait_for(true)

    def final(self) -> list[dict[str, Any]]:
        return [status["entity"] for status in self.statuses if status["entity"]["status"] != "heartbeat"]

    async def outcomes(self, count: int) -> list[dict[str, Any]]:
        """The first `count` final statuses, in the order they came."""
        await self.until(lambda: len(self.final()) >= count)
        return self.final()

    def _guarded(self, kind: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        async def guarded(request: web.Request) -> web.StreamResponse:
            for index, (faulty, status, headers) in enumerate(self.faults):
                if faulty == kind:
                    del self.faults[index]
                    error = {"status": str(status), "title": "made to fail", "detail": kind, "error_enum": ""}
                    return web.json_response(error, status=status, headers=headers)
            reply = await handler(request)
            async with self.changed:
                self.changed.notify_all()
            return reply

        return guarded

    async def _fetch(self, request: web.Request) -> web.StreamResponse:
        self.polls.append(list(request.query.items()))
        count, deadline = int(request.query["count"]), int(request.query["deadline"])
        try:
            async with asyncio.timeout(max(deadline, 0.001)), self.changed:
                self.changed.notify_all()
                await self.changed.wait_for(lambda: len(self.waiting) >= count)
        except TimeoutError:
            pass
        events, self.waiting = self.waiting[:count], self.waiting[count:]
        for event in events:
            event["dequeued"] = f"{event['kafka_key']}.{request.query['name']}.{time.time_ns()}"
            self.leased[event["dequeued"]] = event
        info = {"filtered": 0, "fetched": len(events), "ready": True, "paused": False}
        return multipart({"info": info, "events": {"events": events}})

    async def _post(self, request: web.Request) -> web.StreamResponse:
        events = json.loads(await request.read())
        if request.query["model"] == "plugin":
            self.registered += events
            return published(events, [])
        failures = []
        self.batches.append(len(events))
        for event in events:
            wrong = self.invalid(event)
            if wrong:
                failures.append({"event": json.dumps(event), "error": wrong})
                continue
            self.statuses.append(event)
            if event["entity"]["status"] != "heartbeat":
                self.leased.pop(event["entity"]["input"]["dequeued"], None)
        return published(events, failures)

    async def _release(self, request: web.Request) -> web.StreamResponse:
        token = request.match_info["token"]
        self.released.append((token, request.query["after"]))
        self.waiting.append(self.leased.pop(token))
        return web.json_response({})

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        stored = describe(data)
        self.stored[request.match_info["source"], request.match_info["label"], stored["sha256"]] = data
        return web.json_response(
            {"data": {**stored, "label": request.match_info["label"], "file_format": "text/plain"}}
        )

    async def _download(self, request: web.Request) -> web.StreamResponse:
        info = request.match_info
        data = self.stored.get((info["source"], info["label"], info["sha256"]))
        if data is None:
            return web.json_response({"status": "404", "title": "not found", "detail": "not found"}, status=404)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if asked is None:
            return web.Response(body=data, content_type="application/octet-stream")
        start, end = int(asked[1]), int(asked[2]) + 1
        if start >= len(data):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        return web.Response(status=206, body=data[start:end], content_type="application/octet-stream")


def describe(data: bytes) -> dict[str, Any]:
    return {
        "size": len(data),
        **{name: hashlib.new(name, data).hexdigest() for name in ("sha512", "sha256", "sha1", "md5")},
        "mime": "text/plain",
        "magic": "ASCII text",
    }


def multipart(parts: dict[str, Any]) -> web.Response:
    body = b""
    for name, value in parts.items():
        head = f'Content-Disposition: form-data; name="{name}"; filename="{name}.json"'
        body += f"--{BOUNDARY}\r\n{head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
        body += json.dumps(value).encode() + b"\r\n"
    body += f"--{BOUNDARY}--\r\n".encode()
    return web.Response(body=body, headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})


def published(events: list[Any], failures: list[Any]) -> web.Response:
    ok = len(events) - len(failures)
    return web.json_response({"total_ok": ok, "total_failures": len(failures), "failures": failures, "extra": 1})


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    await hub.start()
    yield hub
    await hub.stop()


@pytest.fixture
def write_plugin(tmp_path: Path) -> Callable[[str], str]:
    """Writes a plugin file with the given body of `execute(job)` (or whole text) and gives its path."""

    def write(body: str) -> str:
        if "@plugin.execute" not in body:
            head = "from dispatcher_sdk import *\n"
            head += "plugin = Plugin('tester', version='1', features=[Feature('word', str)])\n"
            indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
            body = f"{head}@plugin.execute\ndef execute(job):\n    data = job.read()\n{indented}"
        path = tmp_path / f"plugin_{len(list(tmp_path.glob('plugin_*.py')))}.py"
        path.write_text(body)
        return str(path)

    return write
