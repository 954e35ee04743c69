"""What a copy shows while it runs and when it has ended."""

from io import StringIO

from rich.console import Console

from dispatcher.cli.copy_screen import Screen, in_words, not_copied, plan_table, result_table
from dispatcher.reprocess.tally import Counts, Misfit, Tally


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def tally() -> Tally:
    made = Tally()
    for name, total, passed in (("azul.o.a", 1000, 200), ("azul.o.b", 10, 0), ("azul.o.empty", 0, 0)):
        topic = made.of(name)
        topic.total, topic.before, topic.passed = total, passed, passed
    return made


def console(*, live: bool = False) -> Console:
    return Console(file=StringIO(), width=100, force_terminal=live)


def said(out: Console) -> str:
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


def test_plain_lines_tell_of_ended_topics_of_waiting_and_now_and_then_of_progress() -> None:
    clock, out, shown = Clock(), console(), tally()
    with Screen(out, shown, live=False, clock=clock) as screen:
        shown.waiting_for = "Kafka: no\x1b[2J broker"
        screen.show()
        screen.show()
        assert said(out).splitlines() == ["waiting: Kafka: no\\x1b[2J broker"]
        shown.waiting_for = ""
        shown.of("azul.o.b").passed = 10
        shown.of("azul.o.b").counts = Counts(copied=9, deleted=1)
        screen.show()
        assert said(out).splitlines()[1:] == ["azul.o.b: 9 copied, 1 deleted"]
        clock.now += 10
        screen.show()
        screen.show()
        assert said(out).splitlines()[2:] == ["210 of 1,010 offsets, 1/s"]


def test_a_terminal_has_a_bar_for_each_topic_that_moves() -> None:
    clock, out, shown = Clock(), console(live=True), tally()
    with Screen(out, shown, live=True, clock=clock) as screen:
        screen.show()
        clock.now += 2
        shown.of("azul.o.a").passed = 600
        screen.show()
    drawn = said(out)
    assert "azul.o.a" in drawn
    assert "600/1000" in drawn
    assert "200/s" in drawn
    assert "azul.o.b" not in drawn


def test_tables_leave_out_what_is_empty() -> None:
    shown, out = tally(), console()
    shown.of("azul.o.a").counts = Counts(copied=990, aged_off=10)
    out.print(plan_table(shown))
    out.print(result_table(shown))
    lines = [line.split() for line in said(out).splitlines()]
    assert lines == [
        ["topic", "offsets", "done", "before", "to", "do"],
        ["azul.o.a", "1,000", "200", "800"],
        ["azul.o.b", "10", "0", "10"],
        ["topic", "copied", "aged", "off"],
        ["azul.o.a", "990", "10"],
        ["azul.o.b", "0", "0"],
        ["all", "990", "10"],
    ]


def test_what_was_not_copied_is_told_with_examples() -> None:
    shown = tally()
    assert not_copied(shown, "azul.n.system.deadletter") == []
    topic = shown.of("azul.o.a")
    topic.counts = Counts(set_aside=7)
    topic.met([Misfit(("azul.o.a", 2), offset, "bad\n") for offset in range(7)])
    assert not_copied(shown, "azul.n.system.deadletter") == [
        "7 records could not be copied and are kept in azul.n.system.deadletter",
        *(f"  azul.o.a, partition 2, offset {offset}: bad\\n" for offset in range(5)),
        "  … and 2 more of this topic",
    ]


def test_words() -> None:
    assert in_words(Counts()) == "nothing to copy"
    assert in_words(Counts(copied=1200, signals=1)) == "1,200 copied, 1 signals"
