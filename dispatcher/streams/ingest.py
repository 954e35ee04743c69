"""An upload, from its first byte to its answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from dispatcher_sdk.models import LABELS, Datastream, UploadReply

from dispatcher.errors import BadRequest, DispatcherError
from dispatcher.hooks.types import ObjectStore, StreamId, Upload
from dispatcher.streams.enriching import Enriching
from dispatcher.streams.hashing import ALGORITHMS
from dispatcher.streams.locks import KeyedLocks
from dispatcher.streams.receive import Crowd, Received
from dispatcher.streams.spool import Spool


class Ingest:
    """Spool to disk while hashing, then store and identify side by side. An upload that fails or is broken off
    leaves nothing; one that has arrived completely is finished even if its sender does not wait."""

    def __init__(self, store: ObjectStore, spool: Spool, enriching: Enriching, locks: KeyedLocks) -> None:
        self._store = store
        self._spool = spool
        self._enriching = enriching
        self._locks = locks
        self._crowd = Crowd()
        self._finishing: set[asyncio.Task[UploadReply]] = set()

    async def close(self) -> None:
        """Wait for uploads that have arrived."""
        await asyncio.gather(*self._finishing, return_exceptions=True)

    async def upload(
        self, source: str, label: str, pieces: AsyncIterator[bytes], *, skip_identify: bool, expected_sha256: str
    ) -> UploadReply:
        """Raises BadRequest and DispatcherError with the titles of wire contract 1.6, and whatever `pieces` raises."""
        expected = expected_sha256.lower()
        if skip_identify and not expected:
            raise BadRequest(title="must supply sha256 when skipping identify")
        async with AsyncExitStack() as spooled:
            file = Received(self._spool.fresh(), ("sha256",) if skip_identify else ALGORITHMS, self._crowd)
            await spooled.enter_async_context(file)
            await _receive(file, pieces)
            upload = Upload(source, label, file.path, _described(file, label))
            _check(upload.data, expected)
            finishing = asyncio.create_task(self._finish(upload, skip_identify, spooled.pop_all()))
        self._finishing.add(finishing)
        finishing.add_done_callback(self._finishing.discard)
        return await asyncio.shield(finishing)

    async def _finish(self, upload: Upload, skip_identify: bool, spooled: AsyncExitStack) -> UploadReply:
        async with spooled:
            if not skip_identify:
                return await self._stored_and_identified(upload)
            await self._put(upload)
            return UploadReply(upload.data)

    async def _stored_and_identified(self, upload: Upload) -> UploadReply:
        storing = asyncio.create_task(self._put(upload))
        try:
            info = await self._enriching.identify(upload.path, upload.data)
        finally:
            # The store reads the spool file: that must not go away under it.
            await storing
        upload = await self._enriching.add(upload._replace(info=info))
        return UploadReply(upload.data, info)

    async def _put(self, upload: Upload) -> None:
        where = StreamId(upload.source, upload.label, upload.data.sha256)
        async with self._locks(where):
            await self._store.put(where, upload.path)


async def _receive(file: Received, pieces: AsyncIterator[bytes]) -> None:
    try:
        await file.take(pieces)
    except ConnectionError:  # an OSError too, but the sender's
        raise
    except OSError as error:
        raise DispatcherError(
            f"cannot write to the spool folder: {error.strerror}", title="filebuffering error"
        ) from error


def _described(file: Received, label: str) -> Datastream:
    data = Datastream(label=label if label in LABELS else "content", size=file.size)
    for algorithm, digest in file.digests().items():
        setattr(data, algorithm, digest)
    return data


def _check(data: Datastream, expected_sha256: str) -> None:
    if not data.size:
        raise BadRequest(title="no content in request body")
    if expected_sha256 and data.sha256 != expected_sha256:
        detail = f"the body has sha256 {data.sha256}, expected {expected_sha256[:64]}"
        raise BadRequest(detail, title="sha256 mismatch")
