"""The cheapest HTTP/1.1 client that is still correct for our server: the generator must cost less than the server."""

import asyncio
import json
from typing import Any, Self


class Connection:
    """One keep-alive connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host.encode()

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        reader, writer = await asyncio.open_connection(host, port, limit=2**24)
        return cls(reader, writer, f"{host}:{port}")

    async def request(self, method: str, path: str, body: bytes = b"", accept: str = "*/*") -> tuple[int, bytes]:
        head = b"%s %s HTTP/1.1\r\nHost: %s\r\nAccept: %s\r\nContent-Length: %d\r\n\r\n" % (
            method.encode(),
            path.encode(),
            self._host,
            accept.encode(),
            len(body),
        )
        self._writer.write(head + body if len(body) < 65_536 else head)
        if len(body) >= 65_536:
            self._writer.write(body)
            await self._writer.drain()
        return await self._reply()

    async def _reply(self) -> tuple[int, bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at >= 0:
            length = int(lower[at + 15 : lower.index(b"\r\n", at)])
            return status, await self._reader.readexactly(length)
        if b"transfer-encoding: chunked" not in lower:
            return status, b""
        pieces = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            pieces.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readuntil(b"\r\n")
        return status, b"".join(pieces)

    async def json(self, path: str) -> Any:
        status, body = await self.request("GET", path, accept="application/json")
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body[:200]!r}")
        return json.loads(body)

    def close(self) -> None:
        self._writer.close()
