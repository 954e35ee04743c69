"""What a run found, for people (a table) and for programs (a line of JSON). Values come from hostile files."""

from typing import Final

import msgspec

from dispatcher_sdk.testing import FoundFeature, PluginResult
from dispatcher_sdk.text import printable

_ROWS: Final = 50
"""Of each kind in a table; --json has all."""
_CELL: Final = 100


def as_table(name: str, result: PluginResult) -> str:
    """Several lines; safe to print on a terminal."""
    lines = [f"{printable(name, 500)}: {result.status} in {result.runtime:.3f} s"]
    lines += _section("features", ["name", "value", "type", "at"], [_feature_row(f) for f in result.features])
    children = [
        [
            child.sha256[:16],
            str(child.size),
            child.filename,
            ", ".join(f"{k}={v}" for k, v in child.relationship.items()),
        ]
        for child in result.children
    ]
    lines += _section("children", ["sha256", "size", "filename", "relationship"], children)
    streams = [[stream.label, str(stream.size), stream.sha256[:16]] for stream in result.streams]
    lines += _section("streams", ["label", "size", "sha256"], streams)
    if result.info:
        lines += ["  info", f"    {printable(msgspec.json.encode(result.info).decode(), 2000)}"]
    if result.message:
        lines += ["  message", *(f"    {printable(line, 500)}" for line in result.message.splitlines())]
    return "\n".join(lines)


def as_line(name: str, result: PluginResult) -> str:
    """One JSON object."""
    found = {
        "file": name.encode("utf-8", "backslashreplace").decode(),
        "status": result.status,
        "error": result.error,
        "message": result.message,
        "runtime": result.runtime,
        "features": [feature._asdict() for feature in result.features],
        "children": [
            {
                "sha256": child.sha256,
                "size": child.size,
                "filename": child.filename,
                "relationship": child.relationship,
                "features": [feature._asdict() for feature in child.features],
            }
            for child in result.children
        ],
        "streams": [{"label": stream.label, "size": stream.size, "sha256": stream.sha256} for stream in result.streams],
        "info": result.info,
    }
    return msgspec.json.encode(found).decode()


def _feature_row(feature: FoundFeature) -> list[str]:
    place = [
        f"{feature.offset:#x}" if feature.offset else "",
        f"+{feature.size}" if feature.size else "",
        feature.label,
    ]
    return [feature.name, feature.value, feature.type, " ".join(part for part in place if part)]


def _section(title: str, head: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    shown = [[printable(cell, _CELL) for cell in row] for row in rows[:_ROWS]]
    widths = [max(len(row[column]) for row in [head, *shown]) for column in range(len(head))]
    lines = [f"  {title} ({len(rows)})"]
    for row in [head, *shown]:
        lines.append("    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if len(rows) > _ROWS:
        lines.append(f"    … and {len(rows) - _ROWS} more (--json shows all)")
    return lines
