"""YAML documents that operators write: read with pydantic, refused with the line and the key that are wrong."""

from collections.abc import Sequence
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from dispatcher.errors import StartupError

T = TypeVar("T")
Location = Sequence[str | int]


def read_document(text: str, kind: TypeAdapter[T], setting: str) -> T:
    """The document as `kind`. Raises StartupError naming the setting, the line and the key."""
    root = _compose(text, setting)
    if root is None:
        raise StartupError(f"{setting} is empty: leave the variable out instead")
    try:
        return kind.validate_python(_construct(root, setting))
    except ValidationError as problem:
        raise StartupError(_explain(problem, root, setting)) from None


def _compose(text: str, setting: str) -> yaml.Node | None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_doubles(root, setting)
    except yaml.MarkedYAMLError as problem:
        line = f" line {problem.problem_mark.line + 1}" if problem.problem_mark else ""
        raise StartupError(f"{setting}{line}: not YAML: {problem.problem or problem.context}") from None
    except (yaml.YAMLError, RecursionError) as problem:
        raise StartupError(f"{setting}: not YAML: {problem}") from None
    return root


def _construct(root: yaml.Node, setting: str) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(root)
    except (yaml.YAMLError, ValueError) as problem:
        raise StartupError(f"{setting}: {problem}") from None
    finally:
        loader.dispose()


def _refuse_doubles(node: yaml.Node | None, setting: str) -> None:
    """YAML keeps the last of two equal keys; an operator who wrote both wants to know."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise StartupError(f"{setting} line {key.start_mark.line + 1}: key {key.value!r} is given twice")
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
            _refuse_doubles(value, setting)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_doubles(item, setting)


def _explain(problem: ValidationError, root: yaml.Node, setting: str) -> str:
    """Every mistake on a line of its own, in the order of the document."""
    found = sorted(
        (_line(root, error["loc"]), ".".join(map(str, error["loc"])) or "the document", _words(error["msg"]))
        for error in problem.errors(include_url=False)
    )
    return "\n".join(f"{setting} line {line}: {key}: {words}" for line, key, words in found)


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")


def _line(node: yaml.Node, location: Location) -> int:
    """The line (from 1) of the deepest part of `location` that the document has."""
    line = node.start_mark.line
    for step in location:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(step)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        else:
            break
    return line + 1
