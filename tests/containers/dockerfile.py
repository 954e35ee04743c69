"""Reads a Dockerfile as far as ours goes: stages, the instructions of each, what a stage inherits."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_CONTINUED = re.compile(r"\\\n")
_COMMENT = re.compile(r"^\s*#.*\n", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


class Instruction(NamedTuple):
    name: str
    value: str

    @property
    def flags(self) -> dict[str, str]:
        """`--from=build` as {"from": "build"}."""
        words = [word for word in self.value.split() if word.startswith("--")]
        return {name: value for name, _, value in (word[2:].partition("=") for word in words)}

    @property
    def words(self) -> list[str]:
        """What is not a flag; the members of a JSON list."""
        if self.value.startswith("["):
            words: list[str] = json.loads(self.value)
            return words
        return [word for word in shlex.split(self.value) if not word.startswith("--")]

    @property
    def is_exec(self) -> bool:
        """No shell between Docker and the program, so that signals arrive."""
        return self.value.startswith("[")


class Stage(NamedTuple):
    name: str
    base: str
    """An image, or an earlier stage."""
    own: list[Instruction]


class Dockerfile:
    def __init__(self, path: Path) -> None:
        self.stages: dict[str, Stage] = {}
        for instruction in _instructions(path.read_text()):
            if instruction.name == "FROM":
                base, _, name = instruction.words
                self.stages[name] = Stage(name, base, [])
            else:
                next(reversed(self.stages.values())).own.append(instruction)

    @property
    def images(self) -> list[str]:
        """What is not built here."""
        return [stage.base for stage in self.stages.values() if stage.base not in self.stages]

    def all(self, target: str, name: str) -> list[Instruction]:
        """These instructions of a stage and of everything below it, the lowest first."""
        return [instruction for instruction in self._whole(target) if instruction.name == name]

    def last(self, target: str, name: str) -> Instruction:
        return self.all(target, name)[-1]

    def environment(self, target: str) -> dict[str, str]:
        environ = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
        for instruction in self.all(target, "ENV"):
            given = dict(word.split("=", 1) for word in instruction.words)
            environ |= {name: _expanded(value, environ) for name, value in given.items()}
        return environ

    def _whole(self, target: str) -> list[Instruction]:
        stage = self.stages[target]
        below = self._whole(stage.base) if stage.base in self.stages else []
        return below + stage.own


def _expanded(text: str, environ: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda variable: environ[variable[1]], text)


def _instructions(text: str) -> Iterator[Instruction]:
    for line in _CONTINUED.sub(" ", _COMMENT.sub("", text)).splitlines():
        if line.strip():
            name, _, value = line.strip().partition(" ")
            if name == "HEALTHCHECK":
                yield Instruction("HEALTHCHECK", value.partition("CMD")[2].strip())
            else:
                yield Instruction(name.upper(), value.strip())
