"""An upload, from its first byte to its answer."""

import asyncio
from collections.abc import AsyncIterator

from dispatcher_sdk.models import LABELS, Datastream

from dispatcher.errors import BadRequest, DispatcherError
from dispatcher.hooks.types import ObjectStore, StreamId, Upload
from dispatcher.streams.enriching import Enriching
from dispatcher.streams.hashing import ALGORITHMS
from dispatcher.streams.locks import KeyedLocks
from dispatcher.streams.receive import Received
from dispatcher.streams.spool import Spool


class Ingest:
    """Spool to disk while hashing, then store and identify side by side. An upload that fails or is broken off
    leaves nothing."""

    def __init__(self, store: ObjectStore, spool: Spool, enriching: Enriching, locks: KeyedLocks) -> None:
        self._store = store
        self._spool = spool
        self._enriching = enriching
        self._locks = locks

    async def upload(
        self, source: str, label: str, pieces: AsyncIterator[bytes], *, skip_identify: bool, expected_sha256: str
    ) -> Datastream:
        """Raises BadRequest and DispatcherError with the titles of wire contract 1.6, and whatever `pieces` raises."""
        expected = expected_sha256.lower()
        if skip_identify and not expected:
            raise BadRequest(title="must supply sha256 when skipping identify")
        async with Received(self._spool.fresh(), ("sha256",) if skip_identify else ALGORITHMS) as file:
            await _receive(file, pieces)
            data = _described(file, label)
            _check(data, expected)
            upload = Upload(source, label, file.path, data)
            if skip_identify:
                await self._put(upload)
                return data
            return (await self._stored_and_identified(upload)).data

    async def _stored_and_identified(self, upload: Upload) -> Upload:
        storing = asyncio.create_task(self._put(upload))
        try:
            await self._enriching.identify(upload.path, upload.data)
        finally:
            # Even when the caller is gone: the store still reads the spool file.
            await storing
        return await self._enriching.add(upload)

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
