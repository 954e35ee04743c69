"""How long events wait when a dispatcher dies, stops or comes, while they are posted to another one all the time.

All clients use one server. A second one, which shares the subscribers with it, is killed, is stopped, or starts. The
time is the longest from a POST to the reply with the event, over all subscribers and events.
"""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.fleet import Plan
from tests.bench.generator import Generator
from tests.bench.group import servers, settle
from tests.bench.logs import Kafka
from tests.bench.server import Server

SUBSCRIBERS = 20
RATE = 20.0
BEFORE_SECONDS = 1.0
AFTER_SECONDS = 8.0

Happening = Callable[[Server | None, dict[str, str], ExitStack], None]
"""To the second server, if there is one; these are its settings."""


def killed(second: Server | None, _: dict[str, str], __: ExitStack) -> None:
    assert second is not None
    second.kill9()


def stopped(second: Server | None, _: dict[str, str], __: ExitStack) -> None:
    assert second is not None
    second.stop()


def started(_: Server | None, settings: dict[str, str], stack: ExitStack) -> None:
    stack.enter_context(Server(**settings))


HAPPENINGS: dict[str, tuple[int, Happening]] = {
    "one is killed": (2, killed),
    "one is stopped": (2, stopped),
    "one more starts": (1, started),
}
"""Servers there are before."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", default="6,10", help="DISPATCHER_KAFKA_SESSION_SECONDS, with commas between")
    parser.add_argument("--repeat", type=int, default=3)


def run(chosen: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    found = []
    with Kafka() as log:
        for session in chosen.sessions.split(","):
            for what, (count, happening) in HAPPENINGS.items():
                waits = sorted(longest_wait(session, count, happening, log) for _ in range(chosen.repeat))
                found.append({"session": session, "what": what, "seconds": waits})
                console.print(f"session {session} s, {what}: {', '.join(f'{wait:.2f}' for wait in waits)} s")
    console.print(table_of(found))
    return found


def longest_wait(session: str, count: int, happening: Happening, log: Kafka) -> float:
    """Seconds."""
    with servers(count, log, DISPATCHER_KAFKA_SESSION_SECONDS=session) as group, ExitStack() as stack:
        plan = Plan([group[0].address], SUBSCRIBERS, kinds=1, count=1, mixed=False)
        with Generator("fleet", json.dumps(asdict(plan))) as fleet:
            settle()
            fleet.ask("fill", events=1)
            fleet.ask("join")
            fleet.ask("stay", deadline=5)
            fleet.ask("load", rate=RATE, seconds=1.0, batch=1)
            fleet.begin("load", rate=RATE, seconds=BEFORE_SECONDS + AFTER_SECONDS, batch=1)
            time.sleep(BEFORE_SECONDS)
            happening(group[1] if count > 1 else None, group[0].settings, stack)
            return float(fleet.answer()["longest_ms"]) / 1e3


def table_of(found: list[dict[str, Any]]) -> Table:
    table = Table(title="longest time from a POST to the reply with the event while a dispatcher goes or comes")
    for column in ("session seconds", "what happens", "least s", "median s", "most s"):
        table.add_column(column, justify="right")
    for row in found:
        waits = row["seconds"]
        median = waits[len(waits) // 2]
        table.add_row(row["session"], row["what"], *(f"{wait:.2f}" for wait in (waits[0], median, waits[-1])))
    return table
