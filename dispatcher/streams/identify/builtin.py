"""The enrichers that every upload gets, each in a worker process."""

import importlib.util
from typing import NamedTuple

from dispatcher.hooks.types import WorkerEnricher

PARSERS = "dispatcher.streams.parsers"


class _Optional(NamedTuple):
    """An enricher whose library may be missing."""

    enricher: WorkerEnricher
    library: str
    hint: str


_OPTIONAL = (
    _Optional(
        WorkerEnricher("scripts", f"{PARSERS}.scripts:refine", timeout=6.0),
        "yara",
        "yara: pip install yara-python; without it scripts are not told apart from plain text",
    ),
    _Optional(
        WorkerEnricher("ssdeep", f"{PARSERS}.fuzzy:ssdeep", timeout=10.0, independent=True),
        "ssdeep",
        "ssdeep: pip install ssdeep-wheel",
    ),
    _Optional(
        WorkerEnricher("tlsh", f"{PARSERS}.fuzzy:tlsh", timeout=10.0, independent=True),
        "tlsh",
        "tlsh: pip install 'azul-dispatcher[tlsh]' needs a C++ compiler",
    ),
)


def builtin_enrichers() -> list[WorkerEnricher]:
    """In order: later ones see what earlier ones found. Those whose library is missing are left out."""
    present = [optional.enricher for optional in _OPTIONAL if _installed(optional.library)]
    return [WorkerEnricher("identify", f"{PARSERS}.identify:identify", timeout=6.0), *present]


def missing_parsers() -> list[str]:
    """One line for each parser that is not installed, saying how to get it."""
    return [optional.hint for optional in _OPTIONAL if not _installed(optional.library)]


def _installed(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
