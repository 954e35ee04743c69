"""Settings as people may see them: values in short form, passwords masked."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from dispatcher.settings.load import Loaded
from dispatcher.settings.sizes import parse_size, show_size
from dispatcher.settings.table import Settings, about, env_name

_SECRETS = re.compile(r"(?<=//)[^/@]*(?=@)|(?<=[?&])[^#]*")


class Row(NamedTuple):
    name: str
    value: str
    source: str
    """`default`, or the environment variable that set it."""
    text: str


def rows(loaded: Loaded) -> Iterator[Row]:
    """One row for each setting, in the order of the table."""
    for attribute in Settings.model_fields:
        value = getattr(loaded.settings, attribute)
        source = loaded.origins.get(attribute, "default")
        yield Row(env_name(attribute), show(attribute, value), source, about(attribute).text)


def show(attribute: str, value: object) -> str:
    """A value as it could be written into the environment, except for what must not be seen."""
    if about(attribute).secret:
        return "***" if value else ""
    if isinstance(value, bool):
        return str(value).lower()
    if _is_size(attribute) and isinstance(value, int):
        return show_size(value)
    if isinstance(value, tuple):
        return ",".join(value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return _SECRETS.sub("***", text) if about(attribute).hides else text


def kind(attribute: str) -> str:
    """The type of a setting in one or two words."""
    if _is_size(attribute):
        return "size"
    annotation = Settings.model_fields[attribute].annotation
    if annotation == tuple[str, ...]:
        return "names"
    choices = getattr(annotation, "__args__", ())
    if choices:
        return " or ".join(str(choice) for choice in choices)
    names = {"str": "text", "int": "number", "float": "number", "bool": "true or false", "Path": "folder"}
    return names[getattr(annotation, "__name__", "")]


def _is_size(attribute: str) -> bool:
    return any(getattr(entry, "func", None) is parse_size for entry in Settings.model_fields[attribute].metadata)
