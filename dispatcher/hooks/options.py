"""Typed options of hook packages: declared as a pydantic model, set by variables or in one YAML text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, get_origin

import yaml
from pydantic import BaseModel, SecretStr, ValidationError

from dispatcher.errors import StartupError
from dispatcher.hooks.checks import Refused

ATTRIBUTE: Final = "Options"
"""Name of the model in a hook package."""
PREFIX: Final = "DISPATCHER_HOOK_"
MASK: Final = "***"


def declared(plugin: object) -> type[BaseModel] | None:
    """The model of a package's options, if it has any. Raises Refused."""
    model = getattr(plugin, ATTRIBUTE, None)
    if model is None:
        return None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise Refused(f"{ATTRIBUTE} must be a pydantic model: write `class {ATTRIBUTE}(BaseModel)`")
    return model


@dataclass(frozen=True)
class GivenOptions:
    """What the operator has set. `variables` are those of the environment that begin with DISPATCHER_HOOK_ and win
    over `tree`: package → option → value."""

    variables: Mapping[str, str] = field(default_factory=dict)
    tree: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @classmethod
    def of(cls, variables: Mapping[str, str], text: str) -> "GivenOptions":
        """`text` is YAML. Raises StartupError."""
        try:
            tree = yaml.safe_load(text) or {}
        except yaml.YAMLError as problem:
            raise StartupError(f"DISPATCHER_HOOKS_OPTIONS is no YAML: {problem}") from None
        if not isinstance(tree, Mapping) or not all(isinstance(options, Mapping) for options in tree.values()):
            raise StartupError("DISPATCHER_HOOKS_OPTIONS: write packages, and below each its options")
        return cls(variables, {str(package): options for package, options in tree.items()})

    def read(self, package: str, packages: Sequence[str], model: type[BaseModel] | None) -> BaseModel | None:
        """The options of one of these packages. Raises Refused with every mistake in it."""
        given = {str(name): value for name, value in self.tree.get(package, {}).items()}
        places = {name: f"option {name}" for name in given}
        for variable, name, value in self._variables_of(package, packages):
            given[name] = _from_text(model, name, value)
            places[name] = variable
        if model is None:
            if given:
                raise Refused(f"it has no options, but {', '.join(places.values())} is set")
            return None
        return _validated(package, model, given, places)

    def strangers(self, packages: Sequence[str]) -> Iterator[str]:
        """What is set for packages that are not there."""
        tokens = [token(package) for package in packages]
        for variable in sorted(self.variables):
            if not any(variable.startswith(f"{PREFIX}{mark}_") for mark in tokens):
                yield f"{variable} is set, and no hook package has such a name"
        for package in sorted(self.tree.keys() - set(packages)):
            yield f"DISPATCHER_HOOKS_OPTIONS has options of {package}, and there is no such hook package"

    def _variables_of(self, package: str, packages: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        """(variable, option, text). Where the name of one package begins like another's, the longer one has it."""
        longest = sorted((token(other) for other in packages), key=len, reverse=True)
        for variable, value in sorted(self.variables.items()):
            owner = next((mark for mark in longest if variable.startswith(f"{PREFIX}{mark}_")), None)
            if owner == token(package):
                yield variable, variable.removeprefix(f"{PREFIX}{owner}_").lower(), value


def token(package: str) -> str:
    """The part of a variable that names a package."""
    return re.sub(r"[^A-Z0-9]", "_", package.upper())


def variable(package: str, option: str) -> str:
    return f"{PREFIX}{token(package)}_{option.upper()}"


def shown(options: BaseModel | None) -> dict[str, Any]:
    """As people may see them: secrets masked."""
    return _masked(options) if options is not None else {}


def _masked(options: BaseModel) -> dict[str, Any]:
    values = {name: getattr(options, name) for name in type(options).model_fields}
    plain = options.model_dump(mode="json")
    return {
        name: (MASK if value.get_secret_value() else "")
        if isinstance(value, SecretStr)
        else _masked(value)
        if isinstance(value, BaseModel)
        else plain[name]
        for name, value in values.items()
    }


def _from_text(model: type[BaseModel] | None, name: str, text: str) -> object:
    """A variable's text is the value itself; where that has parts, it is YAML or JSON."""
    known = None if model is None else model.model_fields.get(name)
    annotation = None if known is None else known.annotation
    kind = get_origin(annotation) or annotation
    if not (isinstance(kind, type) and issubclass(kind, list | tuple | set | frozenset | dict | BaseModel)):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _validated(
    package: str, model: type[BaseModel], given: Mapping[str, object], places: Mapping[str, str]
) -> BaseModel:
    unknown = [name for name in given if name not in model.model_fields]
    problems = [f"{places[name]}: no such option{_did_you_mean(name, model)}" for name in unknown]
    try:
        options = model.model_validate({name: value for name, value in given.items() if name not in unknown})
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            name = str(fault["loc"][0]) if fault["loc"] else ""
            place = places.get(name, variable(package, name) if name else ATTRIBUTE)
            problems.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}")
    if problems:
        raise Refused("; ".join(problems))
    return options


def _did_you_mean(name: str, model: type[BaseModel]) -> str:
    close = get_close_matches(name, model.model_fields, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f"; there are {', '.join(model.model_fields)}"
