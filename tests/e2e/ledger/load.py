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

_PATIENCE = 240
"""Seconds that one submission may take: it waits for servers that are away."""

MEMBERS = 4


class Load:
    """`submit(source, folder, *options)` starts a submission.

    `samples` tells what was submitted and what is in the archives.
    """

    def __init__(self, submit: Callable[..., Running], folder: Path, seed: int, texts: int = 24) -> None:
        self.samples = Samples(folder)
        self.files = texts + 1
        """Of a wave."""
        self.slow: set[str] = set()
        """SHA-256 of files that readers take their time for."""
        self.slow_files = 1
        """Of a wave."""
        self._submit = submit
        self._random = random.Random(f"files of {seed}")
        self._texts = texts
        self._waves = 0
        self._over = False

    def jobs(self, readers: int) -> int:
        """Final statuses of a wave: a text has a URL, and readers want everything."""
        return self._texts + MEMBERS + 1 + readers * (self.files + MEMBERS)

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
        if await submit.ended(_PATIENCE):  # nobody answered for a minute: its user says it again
            submit = self._submit(source, folder, "--again")
        assert await submit.ended(_PATIENCE) == 0, submit.said()
        said = summary(submit)
        assert said["submitted"] + said.get("already", 0) == len(shas), submit.said()
        self.samples.sha256s |= shas

    def _fill(self, folder: Path) -> None:
        for number in range(self._texts):
            path, slow = folder / f"{number}.txt", number < self.slow_files
            path.write_text(f"{'Take your time. ' * slow}{self._text()}")
            self.slow |= {sha256_of(path)} if slow else set()
        path = folder / "some.zip"
        members = [self._text() for _ in range(MEMBERS)]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, text in enumerate(members):
                archive.writestr(f"{number}.txt", text)
        self.samples.members[sha256_of(path)] = [hashlib.sha256(text.encode()).hexdigest() for text in members]

    def _text(self) -> str:
        page = self._random.getrandbits(64)
        return f"See http://example.com/{page:x} for more,\nor ask whoever wrote this.\n" * self._random.randrange(
            1, 40
        )
