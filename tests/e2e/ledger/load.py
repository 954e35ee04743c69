"""Work that does not end before the faults do: one `dispatcher submit` after the other, each with files of its own."""

import asyncio
import hashlib
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.e2e.ledger.lab import summary
from tests.e2e.ledger.processes import Running
from tests.e2e.ledger.samples import Samples, sha256_of

_PATIENCE = 150
"""Seconds that one submission may take: it waits for servers that are away."""


class Load:
    """`submit(source, folder)` starts a submission. `samples` tells what was submitted and what is in the archives."""

    def __init__(self, submit: Callable[[str, Path], Running], folder: Path, seed: int, files: int = 24) -> None:
        self.samples = Samples(folder)
        self._submit = submit
        self._random = random.Random(f"files of {seed}")
        self._files = files
        self._waves = 0
        self._over = False

    async def run(self, *sources: str) -> None:
        """Wave after wave until `end`, from one source after the other."""
        while not self._over:
            await self.wave(sources[self._waves % len(sources)])

    def end(self) -> None:
        self._over = True

    async def wave(self, source: str) -> None:
        """Texts and an archive of texts. Raises AssertionError when not all of them were taken."""
        self._waves += 1
        folder = self.samples.folder / f"{self._waves:04d}"
        folder.mkdir(parents=True)
        await asyncio.to_thread(self._fill, folder)
        shas = {sha256_of(path) for path in folder.iterdir()}
        submit = self._submit(source, folder)
        code = await submit.ended(_PATIENCE)
        assert code == 0, f"submit ended with {code}:\n{submit.said()}"
        said = summary(submit)
        assert said["submitted"] + said.get("already", 0) == len(shas), submit.said()
        self.samples.sha256s |= shas

    def _fill(self, folder: Path) -> None:
        for number in range(self._files):
            (folder / f"{number}.txt").write_text(self._text())
        path = folder / "some.zip"
        members = [self._text() for _ in range(4)]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, text in enumerate(members):
                archive.writestr(f"{number}.txt", text)
        self.samples.members[sha256_of(path)] = [hashlib.sha256(text.encode()).hexdigest() for text in members]

    def _text(self) -> str:
        page = self._random.getrandbits(64)
        return f"See http://example.com/{page:x} for more,\nor ask whoever wrote this.\n" * self._random.randrange(
            1, 40
        )
