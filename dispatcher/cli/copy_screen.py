"""What `dispatcher reprocess` shows: bars on a terminal, plain lines elsewhere, and a table of the end."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from dispatcher.cli.console import is_live
from dispatcher.cli.text import count, printable
from dispatcher.reprocess.tally import Counts, Tally, TopicTally

LINE_SECONDS: Final = 10.0
"""Between two lines that only say how far it is, where there is no terminal."""
BARS: Final = 12
"""Topics that have a bar at the same time."""
WORDS: Final = {
    "copied": "copied",
    "deleted": "deleted",
    "aged_off": "aged off",
    "forgotten": "tombstones",
    "signals": "signals",
    "set_aside": "not copied",
    "expired": "offsets gone",
}
"""Heading of each figure."""


def plan_table(tally: Tally) -> Table:
    """What there is to do. Offsets, as nobody knows the number of records before they are read."""
    table = Table("topic", box=None, header_style="bold", pad_edge=False)
    for title in ("offsets", "done before", "to do"):
        table.add_column(title, justify="right")
    for name, topic in tally.topics.items():
        if topic.total:
            table.add_row(printable(name), *(f"{figure:,}" for figure in (topic.total, topic.before, topic.left)))
    return table


def result_table(tally: Tally) -> Table:
    """What became of the records of each topic, earlier runs included."""
    figures = [name for name in WORDS if name == "copied" or getattr(tally.sum(), name)]
    table = Table("topic", box=None, header_style="bold", pad_edge=False)
    for name in figures:
        table.add_column(WORDS[name], justify="right")
    for name, topic in tally.topics.items():
        if topic.total:
            table.add_row(printable(name), *(f"{getattr(topic.counts, figure):,}" for figure in figures))
    table.add_row("all", *(f"{getattr(tally.sum(), figure):,}" for figure in figures), style="bold")
    return table


def in_words(counts: Counts) -> str:
    """`1,200 copied, 3 deleted`."""
    found = [f"{getattr(counts, name):,} {word}" for name, word in WORDS.items() if getattr(counts, name)]
    return ", ".join(found) or "nothing to copy"


class Screen:
    """Use as `with`. Call `show` again and again; it draws what is new."""

    def __init__(
        self, out: Console, tally: Tally, *, live: bool | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._tally = tally
        self._clock = clock
        self._bars = _bars(out) if (is_live() if live is None else live) else None
        self._tasks: dict[str, TaskID] = {}
        self._told = {name for name, topic in tally.topics.items() if not topic.left}
        self._waiting_for = ""
        self._began = self._said = clock()
        self._already = self._sums()[0]
        if self._bars is not None:
            self._all = self._bars.add_task("all topics", total=None, rate="")

    def __enter__(self) -> Self:
        (self._bars or nullcontext()).__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.__exit__(kind, error, trace)

    def show(self) -> None:
        self._tell_of_waiting()
        for name, topic in self._tally.topics.items():
            if topic.left:
                self._told.discard(name)
                self._draw(name, topic)
            elif name not in self._told:
                self._told.add(name)
                self._hide(name)
                self._say(f"{name}: {in_words(topic.counts)}")
        self._draw_all()
        if self._bars is None and self._clock() - self._said >= LINE_SECONDS:
            self._say(self.summary())

    def summary(self) -> str:
        """How far it is, and how fast it goes."""
        passed, total = self._sums()
        return f"{passed:,} of {total:,} offsets, {self._rate()}"

    def _sums(self) -> tuple[int, int]:
        topics = self._tally.topics.values()
        return sum(topic.passed for topic in topics), sum(topic.total for topic in topics)

    def _rate(self) -> str:
        seconds = max(self._clock() - self._began, 0.001)
        return f"{(self._sums()[0] - self._already) / seconds:,.0f}/s"

    def _tell_of_waiting(self) -> None:
        why = self._tally.waiting_for
        if why and why != self._waiting_for:
            self._say(f"waiting: {why}")
        self._waiting_for = why

    def _say(self, line: str) -> None:
        self._said = self._clock()
        self._out.print(printable(line), markup=False)

    def _draw(self, name: str, topic: TopicTally) -> None:
        if self._bars is None or topic.passed == topic.before:
            return
        if name not in self._tasks and len(self._tasks) < BARS:
            self._tasks[name] = self._bars.add_task(printable(name), completed=topic.passed, rate="")
        if name in self._tasks:
            self._bars.update(self._tasks[name], completed=topic.passed, total=topic.total)

    def _draw_all(self) -> None:
        if self._bars is not None:
            passed, total = self._sums()
            self._bars.update(self._all, completed=passed, total=total, rate=self._rate())

    def _hide(self, name: str) -> None:
        if self._bars is not None and name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))


def _bars(out: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
        console=out,
    )


def not_copied(tally: Tally, where: str) -> list[str]:
    """Lines about what could not be copied: how many, where it is now, and the first of each topic."""
    left = tally.sum().set_aside
    if not left:
        return []
    lines = [f"{count(left, 'record')} could not be copied and {'is' if left == 1 else 'are'} kept in {where}"]
    for topic in tally.topics.values():
        lines += [
            f"  {misfit.place[0]}, partition {misfit.place[1]}, offset {misfit.offset}: {misfit.reason}"
            for misfit in topic.misfits
        ]
        more = topic.counts.set_aside - len(topic.misfits)
        if topic.misfits and more > 0:
            lines.append(f"  … and {more:,} more of this topic")
    return [printable(line) for line in lines]
