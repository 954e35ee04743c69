"""A hook package: the entropy of uploads, in the upload's answer and in the first events about them."""

from collections import OrderedDict

import msgspec
from dispatcher_sdk.models import AnyEvent, BinaryEvent
from pydantic import BaseModel, Field

from dispatcher.hooks import HookContext, Upload, WorkerEnricher, hookimpl

AnyJson = msgspec.Raw | msgspec.UnsetType
KEY = "entropy"
"""The name in `info`, of uploads and of events; the shape is that of the original's entropy plugin and a verdict."""


class Options(BaseModel):
    events: bool = Field(True, description="Whether events about an uploaded file get its profile, too")
    remember: int = Field(20_000, gt=0, description="Profiles that wait for such an event, about 1 KiB each")


class Profiles:
    """JSON of profiles by sha256; the oldest go when there are too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def put(self, sha256: str, profile: bytes) -> None:
        self._known[sha256] = profile
        self._known.move_to_end(sha256)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def get(self, sha256: str) -> bytes | None:
        return self._known.get(sha256)


class KeepProfile:
    """Notes what the worker has found."""

    name = "entropy-uploads"

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    async def enrich(self, upload: Upload) -> None:
        if profile := upload.info.get(KEY):
            self._profiles.put(upload.data.sha256, msgspec.json.encode(profile))


class AddProfile:
    """Puts it into `entity.info` of events that bring a file. What a client says itself stays."""

    name = "entropy-events"

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles

    async def enrich(self, event: AnyEvent) -> None:
        if not isinstance(event, BinaryEvent) or event.action not in ("sourced", "extracted"):
            return
        if profile := self._profiles.get(event.entity.sha256):
            event.entity.info = with_profile(event.entity.info, profile)


def with_profile(info: AnyJson, profile: bytes) -> AnyJson:
    """The same JSON and the profile; unchanged when it has one already, or is no object."""
    try:
        members = {} if info is msgspec.UNSET else msgspec.json.decode(info, type=dict[str, msgspec.Raw] | None) or {}
    except msgspec.ValidationError:
        return info
    if KEY in members:
        return info
    return msgspec.Raw(msgspec.json.encode({**members, KEY: msgspec.Raw(profile)}))


@hookimpl
def register_enrichers(context: HookContext) -> list[object]:
    options: Options = context.options
    worker = WorkerEnricher(KEY, "entropy_blocks:profile", timeout=5.0, independent=True)
    if not options.events:
        return [worker]
    profiles = Profiles(options.remember)
    return [worker, KeepProfile(profiles), AddProfile(profiles)]
