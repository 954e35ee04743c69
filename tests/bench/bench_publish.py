"""What one event costs between its decoding and the log: `python tests/bench/bench_publish.py`.

CPU microseconds per event, medians of rounds; the log only counts, so that its own cost stays out.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dispatcher_sdk.models import AnyEvent, decode, encode

from dispatcher.avro import encode_bulk, iter_bulk
from dispatcher.eventlog.base import Append, TopicSpec
from dispatcher.eventlog.topics import TopicNames
from dispatcher.metrics import Metrics
from dispatcher.publish.children import Inserts
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.publisher import Publisher
from dispatcher.publish.sources import Sources
from dispatcher.publish.topics import TopicPlan

ROUNDS = 9


class CountingLog:
    def __init__(self) -> None:
        self._topics: dict[str, int] = {}

    async def append(self, items: Sequence[Append]) -> list[Exception | None]:
        return [None] * len(items)

    def topics(self) -> Mapping[str, int]:
        return self._topics

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        self._topics |= {spec.name: spec.partitions for spec in specs}


def author(name: str) -> dict[str, str]:
    return {"name": name, "version": "2021.02.14", "category": "plugin"}


def binary() -> dict[str, Any]:
    """An extracted event of 2.9 KB: 4 path nodes, 7 features, 1 stream."""
    path = [
        {
            "author": author(f"Plugin{i}"),
            "action": "sourced" if i == 0 else "extracted",
            "sha256": f"{i}" * 64,
            "timestamp": f"2021-02-0{i + 1}T12:12:21Z",
            "relationship": {"offset": "0x1000", "method": "overlay"},
            "file_format": "executable/windows/pe32",
            "size": 4096,
            "filename": f"sample-{i}.exe",
        }
        for i in range(4)
    ]
    hashes = {"sha512": "a" * 128, "sha256": "3" * 64, "sha1": "b" * 40, "md5": "c" * 32, "ssdeep": "24:" + "x" * 60}
    kind = {"mime": "application/x-dosexec", "magic": "PE32 executable (GUI) Intel 80386, for MS Windows"}
    features = [{"name": f"feature_{i}", "value": "some value " * 3, "type": "string"} for i in range(7)]
    return {
        "model_version": 6,
        "kafka_key": "placeholder",
        "timestamp": "2021-02-14T12:12:21.123456Z",
        "author": author("Plugin3"),
        "action": "extracted",
        "flags": {},
        "source": {
            "name": "samples",
            "references": {f"reference_{i}": "some value" for i in range(4)},
            "path": path,
            "timestamp": "2021-02-06T16:43:23Z",
        },
        "entity": hashes
        | kind
        | {"size": 4096, "features": features, "datastreams": [hashes | kind | {"label": "content", "size": 4096}]},
    }


def status() -> dict[str, Any]:
    return {
        "model_version": 6,
        "kafka_key": "",
        "timestamp": "2021-02-14T12:12:21Z",
        "author": author("Plugin3"),
        "entity": {
            "input": binary() | {"dequeued": "key.Plugin3.2021.02.14.1613304741"},
            "status": "completed",
            "runtime": 1.5,
            "results": [binary()],
        },
    }


def publisher() -> Publisher:
    async def copy_stream(*_: str) -> None: ...

    names, sources = TopicNames("bench"), Sources()
    return Publisher(
        log=CountingLog(),  # type: ignore[arg-type]
        names=names,
        plan=TopicPlan(names, sources),
        sources=sources,
        deletions=Deletions(),
        inserts=Inserts(),
        copy_stream=copy_stream,
        enrichers=(),
        metrics=Metrics(),
        message_max_bytes=3 << 20,
        clock=time.time,
    )


async def measure(make: Callable[[], dict[str, Any]], model: str, batch: int, events: int) -> float:
    raw = encode(make())
    target = publisher()
    await target.start()
    rounds = []
    for _ in range(ROUNDS):
        spent = 0.0
        for _ in range(events // batch):
            some: list[AnyEvent] = [decode(model, raw) for _ in range(batch)]
            began = time.process_time()
            await target.publish(model, some)
            spent += time.process_time() - began
        rounds.append(spent / events * 1e6)
    await target.close()
    return statistics.median(rounds)


def measure_avro(make: Callable[[], dict[str, Any]], model: str, events: int = 500) -> tuple[float, float]:
    """Writing and reading, CPU microseconds per event."""
    some = [decode(model, encode(make())) for _ in range(events)]
    written, read = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        body = encode_bulk(model, some)
        middle = time.process_time()
        for _event in iter_bulk(model, body):
            pass
        written.append((middle - began) / events * 1e6)
        read.append((time.process_time() - middle) / events * 1e6)
    return statistics.median(written), statistics.median(read)


async def main() -> None:
    print(f"event: {len(encode(binary()))} bytes")
    for name, make, model, batch, events in (
        ("binary, 1 a request", binary, "binary", 1, 2000),
        ("binary, 345 a request", binary, "binary", 345, 2070),
        ("status with 1 result, 1 a request", status, "status", 1, 1000),
    ):
        print(f"{name:36} {await measure(make, model, batch, events):7.1f} us/event")
    for name, make, model in (("binary", binary, "binary"), ("status with 1 result", status, "status")):
        writing, reading = measure_avro(make, model)
        print(f"{'Avro, ' + name:36} {writing:7.1f} us/event written, {reading:.1f} read")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
