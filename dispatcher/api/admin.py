"""What an operator asks of a running server."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from aiohttp import web

from dispatcher.api.replies import json_reply, to_json


class Package(Protocol):
    """One hook package: see hooks.packages."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def hooks(self) -> Sequence[str]: ...
    @property
    def objects(self) -> Sequence[str]: ...
    @property
    def replaces(self) -> Sequence[str]: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def disabled(self) -> bool: ...
    @property
    def error(self) -> str: ...


class Account(Protocol):
    """What one object has cost: see hooks.guarded."""

    @property
    def calls(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def errors(self) -> int: ...
    @property
    def last_error(self) -> str: ...


class Hooks(Protocol):
    @property
    def packages(self) -> Iterable[Package]: ...
    @property
    def accounts(self) -> Mapping[str, Mapping[str, Account]]: ...
    @property
    def background(self) -> Mapping[str, Account]: ...


class AdminRoutes:
    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/v2/admin/hooks", self.hooks, allow_head=False)]

    async def hooks(self, _: web.Request) -> web.Response:
        """Every hook package, what it registered, and what that has cost since the start."""
        return json_reply(to_json({"packages": [self._package(package) for package in self._hooks.packages]}))

    def _package(self, package: Package) -> dict[str, Any]:
        accounts = self._hooks.accounts.get(package.name, {})
        background = self._hooks.background.get(package.name)
        return {
            "name": package.name,
            "version": package.version,
            "origin": package.origin,
            "disabled": package.disabled,
            "error": package.error,
            "hooks": list(package.hooks),
            "options": dict(package.options),
            "problems": background.errors if background else 0,
            "last_problem": background.last_error if background else "",
            "objects": [_object(thing, package, accounts.get(thing)) for thing in package.objects],
        }


def _object(thing: str, package: Package, account: Account | None) -> dict[str, Any]:
    """Those of the server itself, and what runs in workers, have no account: metrics say what they do."""
    shown: dict[str, Any] = {"object": thing, "in_place_of_builtin": thing in package.replaces}
    if account is not None:
        shown |= {
            "calls": account.calls,
            "seconds": round(account.seconds, 6),
            "errors": account.errors,
            "last_error": account.last_error,
        }
    return shown
