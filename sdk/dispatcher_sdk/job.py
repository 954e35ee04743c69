"""One file to look at, and the place to put what is found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from dispatcher_sdk.errors import InputError, OptOut
from dispatcher_sdk.features import Feature
from dispatcher_sdk.findings import Data, Findings
from dispatcher_sdk.models import BinaryEvent
from dispatcher_sdk.outcome import ChildFile
from dispatcher_sdk.workspace import JobFolder


class Child:
    """A file found inside the input. Other plugins will look at it; features that are known already can be added."""

    def __init__(self, findings: Findings, child: ChildFile) -> None:
        self._findings = findings
        self._child = child

    @property
    def sha256(self) -> str:
        return self._child.sha256

    @property
    def size(self) -> int:
        """In bytes."""
        return self._child.size

    def add_feature(self, name: str, value: Any, *, label: str = "", offset: int = 0, size: int = 0) -> None:
        """As `Job.add_feature`, on the child."""
        self._findings.add_feature(name, value, label=label, offset=offset, size=size, child=self._child)


class Job:
    """What `execute` is given. Valid until it returns; its folder is removed afterwards."""

    def __init__(
        self, event: BinaryEvent, folder: JobFolder, features: Mapping[str, Feature], state: Any = None
    ) -> None:
        self.event = event
        """The whole event as it came from the dispatcher."""
        self.state = state
        """What `@plugin.setup` returned."""
        self._folder = folder
        self.findings = Findings(features, folder.out, event.entity.sha256)
        """Everything added so far."""

    @property
    def sha256(self) -> str:
        return self.event.entity.sha256

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        content = self._folder.content
        return content.stat().st_size if content.exists() else self.event.entity.size

    @property
    def file_format(self) -> str:
        """As the dispatcher identified it, such as `archive/zip`; empty when it did not."""
        return self.event.entity.file_format

    @property
    def filename(self) -> str:
        """What the file was called where it came from. Hostile text: never use it as a path."""
        path = self.event.source.path
        return path[-1].filename if path else ""

    @property
    def depth(self) -> int:
        """Steps from the submitted file: 1 for that file itself, 2 for a child of it."""
        return len(self.event.source.path)

    @property
    def settings(self) -> Mapping[str, str]:
        """Of the source, such as passwords."""
        return self.event.source.settings

    @property
    def references(self) -> Mapping[str, str]:
        """What the submitter said about the file."""
        return self.event.source.references

    @property
    def folder(self) -> Path:
        """A private folder for temporary files; `tempfile` uses it too. Removed after the job."""
        return self._folder.scratch

    def read(self) -> bytes:
        """The whole file. Raises InputError when the event comes without one."""
        return self.path().read_bytes()

    def path(self) -> Path:
        """The file, as a local one. Raises InputError when the event comes without one."""
        if not self._folder.content.exists():
            raise InputError("this event comes without the bytes of a file: accept only events with a content stream")
        return self._folder.content

    def open(self) -> BinaryIO:
        """The file, seekable, to be read piece by piece."""
        return self.path().open("rb")

    def add_feature(self, name: str, value: Any, *, label: str = "", offset: int = 0, size: int = 0) -> None:
        """Add one value of a declared feature; `offset` and `size` in bytes of the input.

        The same value at the same place counts once. Raises OutputError for a feature that is not declared or
        a value of another type than declared.
        """
        self.findings.add_feature(name, value, label=label, offset=offset, size=size)

    def add_child(
        self, data: Data, *, relationship: Mapping[str, str], filename: str = "", language: str = ""
    ) -> Child:
        """Add a file that was found inside this one: bytes, or the path of a file (it is copied).

        `relationship` says how it was found, such as {"encoding": "base64"}. The same bytes twice are one child.
        An empty child, or one equal to the input, is left out and the status says so. Raises OutputError.
        """
        child = self.findings.add_child(data, relationship=relationship, filename=filename, language=language)
        return Child(self.findings, child)

    def add_stream(self, label: str, data: Data, *, language: str = "") -> None:
        """Add a further stream of this file, such as `text`, `report` or `screenshot`. Raises OutputError."""
        self.findings.add_stream(label, data, language=language)

    def add_info(self, info: Mapping[str, Any]) -> None:
        """Merge JSON into the info object of this file. Raises OutputError."""
        self.findings.add_info(info)

    def add_problem(self, text: str) -> None:
        """Note what could not be done: the job then ends as completed-with-errors and keeps its results."""
        self.findings.add_problem(text)

    def opt_out(self, reason: str) -> NoReturn:
        """End the job: this file is not for this plugin."""
        raise OptOut(reason)
