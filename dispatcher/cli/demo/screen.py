"""What the demo shows: a live table on a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dispatcher.cli.console import is_live
from dispatcher.cli.demo.tally import Tally, Work


class Screen:
    """Use as `with`. `show` as often as you like; it draws only what is new."""

    def __init__(self, out: Console, files: int) -> None:
        self._out = out
        self._files = files
        self._live = Live(console=out, auto_refresh=False) if is_live() else None
        self._last_line = ""

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, over: int, tally: Tally) -> None:
        """`over` of the files are with the server; `tally` is what plugins said so far."""
        if self._live:
            self._live.update(self._picture(over, tally), refresh=True)
        elif (line := self._line(over, tally)) != self._last_line:
            self._last_line = line
            self._out.print(line, markup=False)

    def _line(self, over: int, tally: Tally) -> str:
        parts = [f"{over}/{self._files} files"]
        for name, work in sorted(tally.plugins.items()):
            parts.append(f"{name}: {work.jobs} jobs, {work.features} features, {work.children} children")
        return "; ".join(parts)

    def _picture(self, over: int, tally: Tally) -> RenderableType:
        head = Table.grid(padding=(0, 1))
        head.add_row("submitting", ProgressBar(self._files, over, width=40), f"{over}/{self._files} files")
        return Group(head, table(tally), *(Text(line, "dim", overflow="ellipsis") for line in tally.findings))


def table(tally: Tally) -> Table:
    """One row for each plugin."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    made.add_column("plugin")
    for title in ("jobs", "completed", "opted out", "failed", "features", "children"):
        made.add_column(title, justify="right")
    for name, work in sorted(tally.plugins.items()):
        made.add_row(name, *(f"{figure:,}" for figure in _figures(work)))
    return made


def _figures(work: Work) -> tuple[int, ...]:
    return work.jobs, work.completed, work.opted_out, work.failed, work.features, work.children
