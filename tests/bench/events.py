"""Events of the size that the yardsticks were taken with: about 2.9 KB, 4 path nodes, 7 features, 1 stream."""

import hashlib
import json
from typing import Any

NOW = "2026-11-24T05:46:34.123456Z"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def node(index: int, seed: str, action: str) -> dict[str, Any]:
    return {
        "author": {"name": f"plugin{index}", "version": "2026.11", "category": "plugin"},
        "action": action,
        "sha256": sha(f"{seed}{index}"),
        "relationship": {"action": "extracted", "label": "embedded"},
        "timestamp": NOW,
        "file_format": "archive/zip",
        "size": 4096 + index,
        "filename": f"folder/name-{index}.bin",
    }


def binary(seed: str, source: str = "bench", size: int = 48_000) -> dict[str, Any]:
    """One extracted file of `size` bytes, as a plugin reports it."""
    content = {
        "identify_version": 2,
        "label": "content",
        "size": size,
        "sha512": sha(seed) * 2,
        "sha256": sha(seed),
        "sha1": sha(seed)[:40],
        "md5": sha(seed)[:32],
        "ssdeep": "768:" + sha(seed) + ":" + sha(seed)[:30],
        "tlsh": "T1" + sha(seed) + sha(seed)[:6],
        "mime": "application/x-dosexec",
        "magic": "PE32 executable (GUI) Intel 80386, for MS Windows",
        "file_format": "executable/windows/pe32",
        "file_extension": "exe",
    }
    features = [
        {"name": f"feature_{i}", "value": f"some value number {i} of {seed[:8]}", "type": "string"} for i in range(7)
    ]
    return {
        "model_version": 6,
        "kafka_key": "",
        "timestamp": NOW,
        "author": {"name": "plugin3", "version": "2026.11", "category": "plugin"},
        "source": {
            "name": source,
            "references": {"submitter": "somebody", "campaign": "bench"},
            "path": [node(0, seed, "sourced"), *(node(i, seed, "extracted") for i in range(1, 4))],
            "timestamp": NOW,
        },
        "entity": {
            **{k: content[k] for k in ("sha256", "sha512", "sha1", "md5", "size", "mime", "magic", "file_format")},
            "features": features,
            "datastreams": [content],
        },
        "action": "extracted",
        "flags": {},
    }


def encoded(seed: str) -> bytes:
    return json.dumps(binary(seed), separators=(",", ":")).encode()


def completed(event: dict[str, Any], name: str) -> bytes:
    """A completed status with one enriched result, as a plugin posts it."""
    own = {"name": name, "version": "1", "category": "plugin"}
    slim = {**event, "entity": {"sha256": event["entity"]["sha256"]}}
    step = {**event["source"]["path"][-1], "author": own, "action": "enriched"}
    result = {
        **slim,
        "author": own,
        "action": "enriched",
        "source": {**event["source"], "path": [*event["source"]["path"], step]},
        "entity": {**slim["entity"], "features": [{"name": "verdict", "value": "clean", "type": "string"}]},
    }
    result.pop("dequeued", None)
    status = {
        "model_version": 6,
        "timestamp": NOW,
        "author": own,
        "entity": {"input": slim, "status": "completed", "runtime": 0.01, "results": [result]},
    }
    return json.dumps(status, separators=(",", ":")).encode()
