"""One run of the demo against a running server: submit, look on, know when it is over."""

import asyncio
import time
from pathlib import Path

from rich.console import Console

from dispatcher.cli.client import Client
from dispatcher.cli.console import Failure
from dispatcher.cli.demo.library import archive, library
from dispatcher.cli.demo.onlooker import news
from dispatcher.cli.demo.processes import Processes
from dispatcher.cli.demo.screen import Screen, table
from dispatcher.cli.demo.tally import Tally
from dispatcher.cli.files import Found, find
from dispatcher.cli.submission import Outcome, Submission
from dispatcher.cli.submit import summary
from dispatcher.cli.watch import scrape

SOURCE = "demo"
ARCHIVED = 40
"""Modules in the archive that is submitted beside the files."""
QUIET_SECONDS = 2.0
"""Over when no job is unfinished and nothing was posted for so long."""


class Run:
    """What comes in and what plugins say of it, side by side."""

    def __init__(self, client: Client, processes: Processes, out: Console, plugins: int) -> None:
        self._client = client
        self._processes = processes
        self._out = out
        self._plugins = plugins
        self._over = 0
        self._problems: list[str] = []
        self._submission = Submission(client, SOURCE, self._report, again=True, workers=4)
        self._tally = Tally(self._submission.when)

    async def run(self, most: int, folder: Path) -> None:
        """Submit up to `most` files and return when the plugins are through. `folder` is for what is made up."""
        files = [*await asyncio.to_thread(lambda: list(library(most))), *find([archive(folder, ARCHIVED)])]
        await news(self._client, 0)
        began = time.monotonic()
        with Screen(self._out, len(files)) as screen:
            submitting = asyncio.create_task(self._submission.run(files))
            try:
                await self._look_on(screen, submitting)
            finally:
                submitting.cancel()
        self._conclude(submitting.result(), time.monotonic() - began)

    async def _look_on(self, screen: Screen, submitting: "asyncio.Task[Outcome]") -> None:
        last_news = time.monotonic()
        while True:
            self._processes.check()
            events = await news(self._client, 1)
            self._tally.add(events)
            screen.show(self._over, self._tally)
            now = time.monotonic()
            if events or not submitting.done():
                last_news = now
            elif now - last_news > QUIET_SECONDS and await self._is_over():
                return

    async def _is_over(self) -> bool:
        if len(self._tally.plugins) < self._plugins:
            return False
        numbers = await scrape(self._client)
        return all(numbers.of(plugin).unfinished <= 0 for plugin in self._tally.plugins)

    def _report(self, found: Found, problem: str) -> None:
        self._over += 1
        if problem:
            self._problems.append(f"{found.name}: {problem}")

    def _conclude(self, outcome: Outcome, seconds: float) -> None:
        for problem in self._problems[:5]:
            self._out.print(f"*{problem}", markup=False)
        jobs = self._tally.jobs
        self._out.print(f"\n{summary(outcome)}; {jobs:,} jobs in {seconds:.0f} s ({jobs / seconds:,.0f} a second)")
        self._out.print(table(self._tally))
        if outcome.failed and not outcome.submitted:
            raise Failure("no file could be submitted")
