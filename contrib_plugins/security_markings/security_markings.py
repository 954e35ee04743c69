"""A hook package: which subscriber may see which security marking. It takes the place of FilterSecurity."""

import logging
from typing import Final

from pydantic import BaseModel, Field, model_validator
from security_schemes import Scheme, UnknownMarking

from dispatcher.hooks import Header, HookContext, Subscription, hookimpl

log = logging.getLogger(__name__)

MODELS: Final = ("binary", "download")
MOST_TOLD: Final = 100


class Options(BaseModel):
    ladders: list[list[str | list[str]] | dict[str, int]] = Field(
        [[["TLP:CLEAR", "TLP:WHITE"], "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"]],
        description="Each from its lowest level to its highest (a list within has one rank), or label: rank",
    )
    caveats: list[str] = Field([], description="Labels of which a subscriber needs every one that is in a marking")
    groups: list[str] = Field([], description="Groups of which a subscriber needs one, if a marking names any")
    groups_prefix: str = Field("REL:", min_length=1, description="What groups are written behind, as in REL:AUS,NZL")
    default_max_security: str = Field("", description="What subscribers see that do not say; empty = everything")
    unmarked: str = Field("", description="Marking that events without one are taken to have; empty = all may see them")

    @model_validator(mode="after")
    def _makes_sense(self) -> "Options":
        scheme = self.scheme()
        for name in ("default_max_security", "unmarked"):
            if marking := getattr(self, name):
                try:
                    scheme.read(marking)
                except UnknownMarking as unknown:
                    raise ValueError(f"{name}: {unknown}") from None
        return self

    def scheme(self) -> Scheme:
        return Scheme(self.ladders, self.caveats, self.groups, self.groups_prefix)


class SecurityMarkings:
    """Says no to whatever it does not understand, once aloud in the log."""

    name = "FilterSecurity"

    def __init__(self, scheme: Scheme, default: str = "", unmarked: str = "") -> None:
        self._scheme = scheme
        self._default = default
        self._unmarked = unmarked
        self._told: set[str] = set()

    def reject(self, header: Header, subscription: Subscription) -> str | None:
        limit = subscription.max_security or self._default
        marking = header.security or self._unmarked
        if not limit or not marking or subscription.model not in MODELS:
            return None
        try:
            return None if self._scheme.may_see(limit, marking) else "max_security"
        except UnknownMarking as unknown:
            self._tell(f"max-security {limit[:100]!r} and marking {marking[:100]!r}: {unknown}")
            return "max_security"

    def _tell(self, problem: str) -> None:
        """Markings come from outside: what is said of them is bounded."""
        if problem not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(problem)
            log.warning("nobody sees this: %s", problem, extra={"action": "filter", "filter": self.name})


@hookimpl
def register_filters(context: HookContext) -> list[SecurityMarkings]:
    options: Options = context.options
    return [SecurityMarkings(options.scheme(), options.default_max_security, options.unmarked)]
