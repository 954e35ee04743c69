"""A hook package: chosen plugins are spared the files that are known to be good."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from allow_list_keeper import Keeper
from pydantic import BaseModel, Field, model_validator

from dispatcher.hooks import EventView, HookContext, Subscription, hookimpl


class Options(BaseModel):
    files: list[Path] = Field([], description="Lists of sha256 hashes, one a line, and folders of such lists")
    plugins: list[str] = Field([], description="Names of the plugins that are spared, with * and ?")
    folder: Path | None = Field(None, description="Where the sorted list is kept; `allow_list` in the data folder")
    check_seconds: float = Field(10.0, gt=0, allow_inf_nan=False, description="How often to look for changed files")

    @model_validator(mode="after")
    def _together(self) -> "Options":
        if bool(self.files) != bool(self.plugins):
            raise ValueError("files and plugins belong together: which hashes, and who is spared them")
        return self


class _Entity(msgspec.Struct):
    sha256: str = ""


class _Event(msgspec.Struct):
    """All that is read of an event."""

    entity: _Entity = msgspec.field(default_factory=_Entity)


_decode = msgspec.json.Decoder(_Event).decode


class AllowList:
    """Clients see how many events they were spared as `AllowList-known_good`."""

    name = "AllowList"

    def __init__(self, keeper: Keeper, plugins: Sequence[str]) -> None:
        self.keeper = keeper
        self._spares = lru_cache(4096)(lambda name: any(fnmatchcase(name, glob) for glob in plugins))

    async def __aenter__(self) -> Self:
        await self.keeper.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.keeper.close()

    def applies(self, subscription: Subscription) -> bool:
        return bool(self.keeper.known) and subscription.model == "binary" and self._spares(subscription.name)

    async def reject(self, view: EventView, subscription: Subscription) -> str | None:
        known = self.keeper.known
        digest = digest_of(view.value)
        return "known_good" if known is not None and digest is not None and digest in known else None


def digest_of(value: bytes) -> bytes | None:
    """The sha256 of an event's file; None where there is none. An event that cannot be read is not ours to judge."""
    try:
        digest = bytes.fromhex(_decode(value).entity.sha256)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None
    return digest if len(digest) == 32 else None


@hookimpl
def register_filters(context: HookContext) -> list[AllowList]:
    options: Options = context.options
    if not options.files:
        return []
    folder = options.folder or Path(context.settings["data_dir"], "allow_list")
    return [AllowList(Keeper(options.files, folder, options.check_seconds, context.problem), options.plugins)]
