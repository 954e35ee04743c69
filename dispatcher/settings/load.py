"""From environment variables to `Settings`: every problem of all variables is told at once."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from dispatcher.errors import StartupError
from dispatcher.settings import original
from dispatcher.settings.table import PREFIX, Settings, about, env_name

_SERVICE_LINK = re.compile(r"DISPATCHER_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""What Kubernetes sets in every pod beside a service called `dispatcher`; not ours, and no mistake."""

HOOK_PREFIX = "DISPATCHER_HOOK_"
"""Variables of hook packages, which say themselves what they mean."""

_CLIENTS = "DISPATCHER_URL"
"""Where clients on the same machine find a server: theirs, not the server's."""


class Loaded(NamedTuple):
    settings: Settings
    origins: Mapping[str, str]
    """Attribute → the environment variable it came from; what is not here has its default."""
    warnings: tuple[str, ...]
    """One line for each variable that has no effect."""


class _Given(NamedTuple):
    variable: str
    """As it is written in the environment."""
    name: str
    """`DISPATCHER_…`, or a key of the original in lower case with dots."""
    value: str


def load(environ: Mapping[str, str]) -> Loaded:
    """Read the variables. An empty one counts as not set. Raises StartupError with one line for each mistake."""
    homes = _homes()
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    warnings: list[str] = []
    problems: list[str] = []
    for given in _given(environ):
        attribute = homes.get(given.name)
        if attribute is None:
            _explain(given, homes, warnings, problems)
        elif attribute in origins:
            warnings.append(f"{given.variable} has no effect: {origins[attribute]} says the same and comes first")
        else:
            origins[attribute] = given.variable
            _convert(given, attribute, values, problems)
    settings = _validated(values, origins, problems)
    hooks = {name: value for name, value in environ.items() if name.startswith(HOOK_PREFIX) and value}
    return Loaded(settings.with_hook_variables(hooks), origins, tuple(warnings))


def _given(environ: Mapping[str, str]) -> Iterator[_Given]:
    """The variables that are meant for us, strongest spelling first: DISPATCHER_, then DP__, then DP. (and BED)."""
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and environ[variable] and not _belongs_to_others(variable):
            yield _Given(variable, variable, environ[variable])
    for mark in ("__", "."):
        for head, root in (("DP", ""), ("BED", "bed.")):
            for variable in sorted(environ):
                if variable.startswith(head + mark) and environ[variable]:
                    key = variable.removeprefix(head + mark).replace(mark, ".").lower()
                    yield _Given(variable, root + key, environ[variable])


def _belongs_to_others(variable: str) -> bool:
    return variable == _CLIENTS or variable.startswith(HOOK_PREFIX) or _SERVICE_LINK.fullmatch(variable) is not None


def _homes() -> dict[str, str]:
    """Every name that means something → the attribute it sets; a setting's own name comes before its others."""
    own = {env_name(attribute): attribute for attribute in Settings.model_fields}
    return {name: attribute for attribute in Settings.model_fields for name in about(attribute).also} | own


def _explain(given: _Given, homes: Mapping[str, str], warnings: list[str], problems: list[str]) -> None:
    if reason := original.refusal(given.name, given.value):
        problems.append(f"{given.variable} is set, but {reason}; unset it to start")
    elif reason := original.no_effect(given.name):
        warnings.append(f"{given.variable} has no effect: {reason}")
    elif given.name.startswith(PREFIX):
        problems.append(f"{given.variable} is not a setting{_did_you_mean(given.name, homes)}")
    elif not given.name.startswith("bed."):
        warnings.append(f"{given.variable} has no effect: nothing is known under this name")


def _did_you_mean(name: str, homes: Mapping[str, str]) -> str:
    ours = [known for known in homes if known.startswith(PREFIX)]
    close = difflib.get_close_matches(name, ours, n=1, cutoff=0.75)
    return f": did you mean {close[0]}?" if close else "; `dispatcher settings` prints all of them"


def _convert(given: _Given, attribute: str, values: dict[str, str], problems: list[str]) -> None:
    try:
        values[attribute] = original.CONVERTED.get(given.name, str)(given.value)
    except ValueError as error:
        problems.append(f"{given.variable}: {error}")


def _validated(values: Mapping[str, Any], origins: Mapping[str, str], problems: list[str]) -> Settings:
    try:
        settings = Settings(**values)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            attribute = str(fault["loc"][0])
            problems.append(f"{origins[attribute]}: {fault['msg'].removeprefix('Value error, ')}")
    if problems:
        raise StartupError("\n".join(problems))
    return settings
