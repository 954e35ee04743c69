"""Which versions of the dispatcher a hook package is made for."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from dispatcher.hooks.checks import Refused

DISTRIBUTION: Final = "azul-dispatcher"
ATTRIBUTE: Final = "requires_dispatcher"
"""What a single file says, as in `requires_dispatcher = ">=0.1,<1"`."""


def of_distribution(requirements: Iterable[str]) -> str:
    """The range that a distribution's dependencies name; empty when they do not."""
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) == DISTRIBUTION:
            return str(requirement.specifier)
    return ""


def check(needs: str, plugin: object, ours: str = "") -> None:
    """Raises Refused when this dispatcher (`ours`: its version) is none of those that the package wants."""
    ours = ours or version(DISTRIBUTION)
    for said in (needs, getattr(plugin, ATTRIBUTE, "")):
        try:
            fits = SpecifierSet(said).contains(ours, prereleases=True)
        except (InvalidSpecifier, AttributeError, TypeError):
            raise Refused(f"{ATTRIBUTE} = {said!r} is no range of versions: write '>=0.1,<1'") from None
        if not fits:
            raise Refused(f"it is made for versions {said} of the dispatcher, and this is {ours}")
