"""A process between servers and their broker that counts bytes by kind of request, as Kafka frames them.

`python -m tests.bench.wiretap BROKER_PORT` prints its own port, then the counts so far for each line on stdin. A frame
is its length in four bytes and so many more; a request names its kind in the next two, and replies come in order. What
is counted are whole frames as they went over the wire, packed as they were.
"""

import asyncio
import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
PIECE = 1 << 18
KINDS = {0: "produce", 1: "fetch", 2: "offsets", 3: "metadata", 8: "commit", 12: "heartbeat"}

Counts = dict[str, dict[str, int]]
"""Kind of request → `requests`, `sent` and `received`: frames and bytes, as the client sees them."""


class Frames:
    """Watches one direction of a connection; `begin` is told a frame's bytes and its first two after the length."""

    def __init__(self, begin: Callable[[int, int], None]) -> None:
        self._begin = begin
        self._left = 0
        self._head = b""

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._left:
                passed = min(self._left, len(data) - at)
                self._left -= passed
                at += passed
                continue
            taken = data[at : at + 6 - len(self._head)]
            self._head += taken
            at += len(taken)
            if len(self._head) == 6:
                length = int.from_bytes(self._head[:4], "big")
                self._begin(length + 4, int.from_bytes(self._head[4:], "big"))
                self._left = length - 2
                self._head = b""


class Tally:
    def __init__(self) -> None:
        self.counts: Counts = {}

    def connection(self) -> tuple[Frames, Frames]:
        """For what goes to the broker, and for what comes back."""
        asked: deque[str] = deque()

        def request(size: int, kind: int) -> None:
            name = KINDS.get(kind, "others")
            asked.append(name)
            entry = self.counts.setdefault(name, {"requests": 0, "sent": 0, "received": 0})
            entry["requests"] += 1
            entry["sent"] += size

        def reply(size: int, _: int) -> None:
            self.counts[asked.popleft()]["received"] += size

        return Frames(request), Frames(reply)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frames: Frames) -> None:
    try:
        while data := await reader.read(PIECE):
            frames.feed(data)
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(broker_port: int) -> None:
    tally = Tally()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection(HOST, broker_port, limit=PIECE)
        except OSError:
            writer.close()
            return
        requests, replies = tally.connection()
        await asyncio.gather(pump(reader, forth, requests), pump(back, writer, replies))

    async with await asyncio.start_server(connected, HOST, 0, limit=PIECE) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(tally.counts), flush=True)
        server.close()


class Wiretap:
    """`with Wiretap(broker_port) as tap:` servers speak to `tap.port`."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.bench.wiretap", str(self._broker_port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._ask, self._answers = self._process.stdin, self._process.stdout
        self.port = int(self._answers.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._ask.close()
        self._answers.close()

    def counts(self) -> Counts:
        self._ask.write("\n")
        self._ask.flush()
        counts: Counts = json.loads(self._answers.readline())
        return counts


def growth(before: Counts, after: Counts) -> Counts:
    """What came to pass between two looks."""
    none = {"requests": 0, "sent": 0, "received": 0}
    return {
        kind: {name: value - before.get(kind, none)[name] for name, value in entry.items()}
        for kind, entry in after.items()
    }


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
