"""Reads Compose files as far as ours go."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_SECONDS = re.compile(r"(\d+)s")


def load(name: str) -> dict[str, Any]:
    """One file of the checkout, with what it includes."""
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    for other in found.pop("include", ()):
        for part, value in load(other).items():
            if isinstance(value, dict):
                assert not value.keys() & found.get(part, {}).keys(), f"{part} of {other} is overridden"
                found[part] = value | found.get(part, {})
    return found


def environment(service: dict[str, Any]) -> dict[str, str]:
    """As the container sees it. YAML's own true and 1.0 would be surprises: only texts and whole numbers."""
    given = service.get("environment", {})
    assert all(type(value) in (str, int) for value in given.values())
    return {name: str(value) for name, value in given.items()}


def published(service: dict[str, Any]) -> dict[int, tuple[str, int]]:
    """Port of the container → (address, port) of the host."""
    parts = [port.split(":") for port in service.get("ports", ())]
    return {int(inside): (address, int(outside)) for address, outside, inside in parts}


def volumes(service: dict[str, Any]) -> dict[str, str]:
    """Path in the container → named volume."""
    parts = [volume.split(":") for volume in service.get("volumes", ())]
    return {path: name for name, path in parts}


def seconds(duration: str) -> int:
    found = _SECONDS.fullmatch(duration)
    assert found, duration
    return int(found[1])
