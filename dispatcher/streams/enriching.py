"""From stored bytes to what an upload answers: worker enrichers, then upload enrichers, each isolated."""

import asyncio
import copy
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec
from dispatcher_sdk.models import Datastream

from dispatcher.hooks.types import Upload, UploadEnricher, WorkerEnricher
from dispatcher.metrics import Metrics
from dispatcher.streams import taxonomy
from dispatcher.streams.frames import Fields, Info
from dispatcher.streams.workers import Failure, Findings, WorkerPool

log = logging.getLogger(__name__)

PARALLEL_BYTES = 8 << 20
"""From this size on, independent enrichers share the workers; below, handing over costs more than it saves."""
UPLOAD_ENRICHER_SECONDS = 10.0
MAX_MAGICS = 500


class Enriching:
    """Fills the descriptive fields of a Datastream. Never fails an upload: what goes wrong costs fields, is
    counted and logged."""

    def __init__(
        self,
        pool: WorkerPool,
        worker_enrichers: Sequence[WorkerEnricher],
        upload_enrichers: Sequence[UploadEnricher],
        metrics: Metrics,
    ) -> None:
        self._pool = pool
        self._workers = list(worker_enrichers)
        self._chains = _chains(self._workers)
        self._uploads = list(upload_enrichers)
        self._metrics = metrics
        self._magics: set[tuple[str, str]] = set()

    async def identify(self, path: Path, data: Datastream) -> dict[str, Info]:
        """Set the fields that worker enrichers find; gives what they say besides, by enricher."""
        known: Fields = {"size": data.size, "label": data.label, "sha256": data.sha256}
        known |= {"md5": data.md5, "sha1": data.sha1, "sha512": data.sha512}
        chains = self._chains if data.size >= PARALLEL_BYTES else [self._workers]
        info: dict[str, Info] = {}
        for findings in await asyncio.gather(*(self._pool.run(path, known, chain) for chain in chains)):
            self._take(findings, data)
            info |= findings.info
        if data.file_format == taxonomy.UNKNOWN:
            self._metrics.identify_fail.labels(*self._bounded(data.mime, data.magic)).inc()
        return info

    async def add(self, upload: Upload) -> Upload:
        """Run the upload enrichers; one that raises leaves the data as it was before it."""
        for enricher in self._uploads:
            draft = upload._replace(data=copy.copy(upload.data))
            try:
                async with asyncio.timeout(UPLOAD_ENRICHER_SECONDS):
                    await enricher.enrich(draft)
                # What it set goes out on a strict wire: of the right types or not at all.
                msgspec.convert(msgspec.to_builtins(draft.data), Datastream)
            except Exception:
                self._metrics.produce_error.labels(enricher.name).inc()
                log.exception("upload enricher failed", extra={"action": "enrich", "enricher": enricher.name})
            else:
                upload = draft
        return upload

    def _take(self, findings: Findings, data: Datastream) -> None:
        for name, value in findings.fields.items():
            setattr(data, name, value)
        for failure in findings.failures:
            self._count(failure, data.sha256)

    def _count(self, failure: Failure, sha256: str) -> None:
        self._metrics.parser_failures.labels(failure.enricher, failure.cause).inc()
        log.warning(
            "no fields from enricher %s: %s",
            failure.enricher,
            failure.detail,
            extra={"action": "enrich", "enricher": failure.enricher, "cause": failure.cause, "sha256": sha256},
        )

    def _bounded(self, mime: str, magic: str) -> tuple[str, str]:
        """Labels of a metric live for ever and these hold words out of hostile files: keep a limited number."""
        pair = (mime[:60], magic[:60])
        if pair not in self._magics and len(self._magics) >= MAX_MAGICS:
            return ("other", "other")
        self._magics.add(pair)
        return pair


def _chains(enrichers: Sequence[WorkerEnricher]) -> list[list[WorkerEnricher]]:
    """Those that build on each other in one chain, every independent one in a chain of its own."""
    joint = [each for each in enrichers if not each.independent]
    return [*([joint] if joint else []), *([each] for each in enrichers if each.independent)]
