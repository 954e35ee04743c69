"""Events as clients send them, in JSON."""

from typing import Any

JsonDict = dict[str, Any]


def binary(sha: str = "a" * 64, source: str = "lab", size: int = 5, **changes: Any) -> JsonDict:
    author = {"name": "tester", "version": "1", "category": "user"}
    node = {"author": author, "action": "sourced", "sha256": sha, "timestamp": "2024-05-01T10:00:00Z"}
    hashes = {"sha512": "b" * 128, "sha256": sha, "sha1": "c" * 40, "md5": "d" * 32}
    stream = {"label": "content", "size": size, "mime": "text/plain", "magic": "ASCII text", **hashes}
    event = {
        "model_version": 6,
        "kafka_key": "placeholder",
        "timestamp": "2024-05-01T10:00:00Z",
        "author": author,
        "source": {"name": source, "path": [node], "timestamp": "2024-05-01T10:00:00Z"},
        "entity": {"sha256": sha, "datastreams": [stream]},
        "action": "sourced",
        "flags": {},
    }
    return event | changes


def status_of(job: JsonDict, status: str = "completed-empty", **entity: Any) -> JsonDict:
    return {
        "model_version": 6,
        "kafka_key": "placeholder",
        "timestamp": "2024-05-01T10:00:01Z",
        "author": {"name": "plug", "version": "1", "category": "plugin"},
        "entity": {"input": job, "status": status, **entity},
    }
