"""Run a plugin on bytes or a file, without a server: in tests, in a debugger, from the command line."""

import asyncio
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from dispatcher_sdk.execution import execute, execute_async, prepare
from dispatcher_sdk.job import Job
from dispatcher_sdk.local import describe, sourced_event
from dispatcher_sdk.models import BinaryEvent, StatusEvent
from dispatcher_sdk.models import Feature as WireFeature
from dispatcher_sdk.outcome import ChildFile, Outcome, StreamFile
from dispatcher_sdk.plugin import Plugin
from dispatcher_sdk.results import status_event
from dispatcher_sdk.workspace import JobFolder, remove_tree


class FoundFeature(NamedTuple):
    """One value, as it goes on the wire. `offset` and `size` in bytes."""

    name: str
    value: str
    type: str
    label: str
    offset: int
    size: int


class FoundChild:
    """A file found inside the input."""

    def __init__(self, folder: JobFolder, child: ChildFile) -> None:
        self._folder = folder
        self.sha256 = child.sha256
        self.size = child.size
        self.relationship = child.relationship
        self.filename = child.filename
        self.features = _found(child.features)
        self._file = child.file

    @property
    def data(self) -> bytes:
        with self._folder.open_out(self._file) as file:
            return file.read()


class FoundStream:
    """A further stream of the input."""

    def __init__(self, folder: JobFolder, stream: StreamFile) -> None:
        self._folder = folder
        self.label = stream.label
        self.sha256 = stream.sha256
        self.size = stream.size
        self._file = stream.file

    @property
    def data(self) -> bytes:
        with self._folder.open_out(self._file) as file:
            return file.read()


class PluginResult:
    """What the run gave. Bytes of children and streams stay on disk as long as something refers to this.

    `status` is a status of the wire, or `retry-later`; `error` its title and `message` its text (a traceback for
    error-exception); `exception` what the plugin raised; `event` the whole status that would have been posted.
    """

    def __init__(
        self, folder: JobFolder, outcome: Outcome, event: StatusEvent, exception: BaseException | None
    ) -> None:
        weakref.finalize(folder, remove_tree, folder.root.parent)
        self.status: str = event.entity.status
        self.error: str = event.entity.error
        self.message: str = event.entity.message
        self.runtime: float = outcome.runtime
        self.retry_after: float = outcome.retry_after
        self.exception = exception
        self.features: list[FoundFeature] = _found(outcome.features) if outcome.completed else []
        self.children: list[FoundChild] = [FoundChild(folder, child) for child in outcome.children]
        self.streams: list[FoundStream] = [FoundStream(folder, stream) for stream in outcome.streams]
        self.info: dict[str, Any] = msgspec.json.decode(outcome.info) if outcome.info else {}
        self.event = event

    def values(self, name: str) -> list[str]:
        """All values of one feature, in the order they were added."""
        return [feature.value for feature in self.features if feature.name == name]

    def __repr__(self) -> str:
        found = f"{len(self.features)} features, {len(self.children)} children, {len(self.streams)} streams"
        return f"<PluginResult {self.status}: {found}>" + (f"\n{self.message}" if self.message else "")


def run_plugin(
    plugin: Plugin,
    data: bytes | str | Path,
    *,
    filename: str = "",
    file_format: str = "",
    references: Mapping[str, str] | None = None,
    settings: Mapping[str, str] | None = None,
    event: BinaryEvent | None = None,
    timeout: float | None = None,
) -> PluginResult:
    """Run `plugin` in this process on bytes, or on the file at a path, and collect what it found.

    `file_format` and the rest describe the file as the dispatcher would; `event` replaces them all. What the plugin
    accepts is not asked. `timeout` in seconds holds for async plugins only: nothing can stop a plain function here.
    Raises DefinitionError for an incomplete plugin, OSError for an unreadable file and what `setup` raises; what
    `execute` raises is in the result.
    """
    plugin.check()
    folder = JobFolder(Path(tempfile.mkdtemp(prefix="run-plugin-")) / "job").create()
    try:
        name = _fill(folder, data)
        event = event or sourced_event(
            folder.content,
            filename=filename or name,
            file_format=file_format,
            references=dict(references or {}),
            settings=dict(settings or {}),
        )
        outcome, exception = _run(plugin, event, folder, timeout)
        stored = _described(folder, outcome)
        return PluginResult(folder, outcome, status_event(event, plugin.author, outcome, stored), exception)
    except BaseException:
        remove_tree(folder.root.parent)
        raise


def _fill(folder: JobFolder, data: bytes | str | Path) -> str:
    """Put the input in its place; the name of the file it came from."""
    if isinstance(data, bytes):
        folder.content.write_bytes(data)
        return ""
    shutil.copyfile(data, folder.content)
    return Path(data).name


def _run(
    plugin: Plugin, event: BinaryEvent, folder: JobFolder, timeout: float | None
) -> tuple[Outcome, BaseException | None]:
    if plugin.is_async:
        return _in_own_loop(plugin, event, folder, timeout)
    return execute(plugin, Job(event, folder, plugin.features, plugin.prepare()))


def _in_own_loop(
    plugin: Plugin, event: BinaryEvent, folder: JobFolder, timeout: float | None
) -> tuple[Outcome, BaseException | None]:
    """In a thread of its own, so that it also works where a loop runs already (an async test)."""
    answer: list[tuple[Outcome, BaseException | None] | BaseException] = []

    async def main() -> tuple[Outcome, BaseException | None]:
        job = Job(event, folder, plugin.features, await prepare(plugin))
        return await execute_async(plugin, job, timeout)

    def body() -> None:
        try:
            answer.append(asyncio.run(main()))
        except BaseException as problem:
            answer.append(problem)

    thread = threading.Thread(target=body, name=f"run_plugin {plugin.name}")
    thread.start()
    thread.join()
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


def _described(folder: JobFolder, outcome: Outcome) -> dict[str, Any]:
    stored = {}
    for file in [child.file for child in outcome.children] + [stream.file for stream in outcome.streams]:
        with folder.open_out(file) as opened:
            stored[file] = describe(opened)
    return stored


def _found(features: list[WireFeature]) -> list[FoundFeature]:
    return [FoundFeature(f.name, f.value, f.type, f.label, f.offset, f.size) for f in features]
