"""What one job has found so far: checked when it is added, bounded, kept on disk where it is bytes."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from dispatcher_sdk import limits
from dispatcher_sdk.errors import OutputError
from dispatcher_sdk.features import Feature
from dispatcher_sdk.models import LABELS
from dispatcher_sdk.models import Feature as FoundFeature
from dispatcher_sdk.outcome import ChildFile, StreamFile
from dispatcher_sdk.text import clean

_CHUNK: Final = limits.MIB
_OFFSETS: Final = 2**63

Data = bytes | bytearray | memoryview | str | os.PathLike[str]
"""Bytes, or the path of a file that is copied."""


class Findings:
    """Collects the results of a job. Mistakes raise OutputError; what is past a bound is left out and noted."""

    def __init__(self, declared: Mapping[str, Feature], out: Path, input_sha256: str) -> None:
        self._declared = declared
        self._out = out
        self._input_sha256 = input_sha256
        self._seen: set[tuple[str, str, str, str, int, int]] = set()
        self._children: dict[str, ChildFile] = {}
        self._files = 0
        self._bytes = 0
        self._feature_bytes = 0
        self._left_out: dict[str, int] = {}
        self._problems: list[str] = []
        self.features: list[FoundFeature] = []
        self.streams: list[StreamFile] = []
        self.info: dict[str, Any] = {}

    @property
    def children(self) -> list[ChildFile]:
        return list(self._children.values())

    @property
    def problems(self) -> list[str]:
        """Everything that keeps the job from being wholly completed, in words."""
        return self._problems + [f"{what} (left out: {count})" for what, count in self._left_out.items()]

    @property
    def empty(self) -> bool:
        return not (self.features or self._children or self.streams or self.info)

    def add_problem(self, text: str) -> None:
        if len(self._problems) < limits.PROBLEMS:
            self._problems.append(clean(text, limits.TEXT_CHARACTERS))
        else:
            self._leave_out(f"more than {limits.PROBLEMS} problems")

    def add_feature(
        self, name: str, value: Any, *, label: str, offset: int, size: int, child: ChildFile | None = None
    ) -> None:
        """Of the input, or of a child. The same finding twice counts once."""
        declared = self._declared.get(name)
        if declared is None:
            raise OutputError(self._undeclared(name, value))
        text = declared.encode(value)
        _check_span(name, offset, size)
        if len(text) > limits.FEATURE_CHARACTERS:
            return self._leave_out(f"values of feature {name!r} longer than {limits.FEATURE_CHARACTERS} characters")
        text = clean(text, 2 * limits.FEATURE_CHARACTERS)
        label = clean(label, limits.TEXT_CHARACTERS)
        key = (child.sha256 if child else "", name, text, label, offset, size)
        if key in self._seen:
            return None
        if len(self._seen) >= limits.FEATURES:
            return self._leave_out(f"more than {limits.FEATURES} features")
        found = FoundFeature(name=name, value=text, type=declared.wire_type, label=label, offset=offset, size=size)
        length = len(msgspec.json.encode(found)) + 1
        if self._feature_bytes + length > limits.FEATURE_BYTES:
            return self._leave_out(f"features past {limits.FEATURE_BYTES} bytes together")
        self._seen.add(key)
        self._feature_bytes += length
        (child.features if child else self.features).append(found)

    def add_child(self, data: Data, *, relationship: Mapping[str, str], filename: str, language: str) -> ChildFile:
        """A child; the same bytes twice are one child. One that is left out is returned all the same."""
        checked = _check_relationship(relationship)
        file, sha256, size = self._store(data)
        child = ChildFile(file, sha256, size, checked, clean(filename, limits.TEXT_CHARACTERS), language, [])
        known = self._children.get(sha256)
        if known is not None:
            self._drop(file, size)
            return known
        reason = self._refusal(child)
        if reason:
            self._drop(file, size)
            self._leave_out(reason)
        else:
            self._children[sha256] = child
        return child

    def add_stream(self, label: str, data: Data, *, language: str) -> None:
        if label not in LABELS or label == "content":
            known = ", ".join(sorted(LABELS - {"content"}))
            raise OutputError(f"a stream cannot have the label {label!r}: use one of {known}")
        file, sha256, size = self._store(data)
        known_already = any(stream.sha256 == sha256 and stream.label == label for stream in self.streams)
        if known_already or len(self.streams) >= limits.STREAMS or self._full or not size:
            self._drop(file, size)
            if not known_already:
                self._leave_out("streams that are empty or past the bounds of one job")
            return
        self.streams.append(StreamFile(file, sha256, size, label, language))

    def add_info(self, info: Mapping[str, Any]) -> None:
        """Merge into the info object. Raises OutputError when it is not JSON or too large."""
        if not isinstance(info, Mapping):
            raise OutputError(f"info must be a dict, not {type(info).__name__}: wrap it, as {{'result': …}}")
        merged = {**self.info, **info}
        if len(info_json(merged)) > limits.INFO_BYTES:
            raise OutputError(
                f"info is larger than {limits.INFO_BYTES} bytes: put it in a stream, job.add_stream('report', …)"
            )
        self.info = merged

    def _refusal(self, child: ChildFile) -> str:
        if child.size == 0:
            return "children that are empty"
        if child.sha256 == self._input_sha256:
            return "children that equal their parent"
        if len(self._children) >= limits.CHILDREN:
            return f"more than {limits.CHILDREN} children"
        return f"children past {limits.OUTPUT_BYTES} bytes together" if self._full else ""

    @property
    def _full(self) -> bool:
        return self._bytes > limits.OUTPUT_BYTES

    def _leave_out(self, what: str) -> None:
        self._left_out[what] = self._left_out.get(what, 0) + 1

    def _undeclared(self, name: str, value: Any) -> str:
        names = ", ".join(sorted(self._declared)) or "none"
        return (
            f"feature {clean(str(name), 200)!r} is not declared (declared: {names}): "
            f"add Feature({clean(str(name), 200)!r}, {type(value).__name__}, '…') to the plugin's features"
        )

    def _store(self, data: Data) -> tuple[str, str, int]:
        """(name in the out folder, sha256, size in bytes). What passes the bound is cut and later dropped."""
        name = str(self._files)
        self._files += 1
        target = self._out / name
        if isinstance(data, bytes | bytearray | memoryview):
            sha256, size = hashlib.sha256(data).hexdigest(), memoryview(data).nbytes
            if self._bytes + size <= limits.OUTPUT_BYTES:
                target.write_bytes(data)
        elif isinstance(data, str | os.PathLike):
            sha256, size = _copy(Path(data), target, limits.OUTPUT_BYTES - self._bytes)
        else:
            raise OutputError(f"data must be bytes or a path, not {type(data).__name__}: encode text with .encode()")
        self._bytes += size
        return name, sha256, size

    def _drop(self, file: str, size: int) -> None:
        self._bytes -= size
        (self._out / file).unlink(missing_ok=True)


def info_json(info: Mapping[str, Any]) -> bytes:
    """The info object as JSON. Raises OutputError."""
    try:
        raw = msgspec.json.encode(info)
        msgspec.json.decode(raw)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as problem:
        raise OutputError(
            f"info cannot be written as JSON ({problem}): use dict, list, str, int, float, bool and None"
        ) from None
    return raw


def _check_span(name: str, offset: int, size: int) -> None:
    for role, number in (("offset", offset), ("size", size)):
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < _OFFSETS:
            raise OutputError(f"feature {name!r} was given {role}={number!r}: give bytes as an int of 0 or more")


def _check_relationship(relationship: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(relationship, Mapping) or not relationship:
        raise OutputError("relationship must say how the child was found, such as {'action': 'unzipped'}")
    for key, value in relationship.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise OutputError(f"relationship has {key!r}: {value!r}, and both must be str: use str(value)")
    return {
        clean(key, limits.TEXT_CHARACTERS): clean(value, limits.TEXT_CHARACTERS)
        for key, value in list(relationship.items())[:50]
    }


def _copy(path: Path, target: Path, most: int) -> tuple[str, int]:
    """Copy while hashing; stops one chunk past `most` bytes."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as source, target.open("wb") as copy:
            while size <= most and (chunk := source.read(_CHUNK)):
                digest.update(chunk)
                copy.write(chunk)
                size += len(chunk)
    except OSError as problem:
        raise OutputError(f"the file {str(path)!r} cannot be read: {problem.strerror or problem}") from problem
    return digest.hexdigest(), size
