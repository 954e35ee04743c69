"""What each event costs every dispatcher that only reads it: the tail, and asking all filters that say no.

Of two servers on one Kafka the first gets the posts, the second the polls of subscribers that want none of it. About
half
of these belong to the second, whose CPU is shown; it hands out nothing and answers nothing.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.costs import Costs, look
from tests.bench.fleet import Plan
from tests.bench.generator import Generator
from tests.bench.group import forwarded, servers, settle
from tests.bench.logs import Kafka

SETTLE_SECONDS = 3.0
DEADLINE = 120
LOADS = ((100.0, 1), (1_000.0, 10), (5_000.0, 50))
"""Events a second, and in a request."""
FASTEST, FASTEST_BATCH = "post-345", 345
"""The last load is a row of the bench: as many as the first server takes."""

Result = dict[str, Any]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--subscribers", default="20,200,1000,2000", help="numbers with commas between")
    parser.add_argument("--partitions", type=int, default=1, help="of each topic")
    parser.add_argument("--lag-seconds", type=float, default=0.0, help="DISPATCHER_KAFKA_LAG_SECONDS")
    parser.add_argument("--seconds", type=float, default=6.0, help="of posting, and of being idle")


def run(chosen: argparse.Namespace, console: Console) -> list[Result]:
    found: list[Result] = []
    with Kafka() as log:
        for subscribers in map(int, chosen.subscribers.split(",")):
            found += measure(subscribers, chosen, log)
            console.print(f"{subscribers} subscribers: {found[-1]['event_us']:.1f} us an event")
    console.print(table_of(found))
    return found


def measure(subscribers: int, chosen: argparse.Namespace, log: Kafka) -> Iterator[Result]:
    settings = {
        "DISPATCHER_GLOBAL_PARTITION_COUNT": str(chosen.partitions),
        "DISPATCHER_KAFKA_LAG_SECONDS": str(chosen.lag_seconds),
    }
    seconds = chosen.seconds
    with servers(2, log, **settings) as group:
        first, second = group
        plan = Plan([second.address], subscribers, kinds=20, mixed=False, matching=False, posts_to=[first.address])
        with Generator("fleet", json.dumps(asdict(plan))) as fleet:
            settle()
            fleet.ask("fill", events=plan.kinds)
            fleet.ask("join")
            own = subscribers - forwarded(second)
            fleet.ask("stay", deadline=DEADLINE)
            fleet.ask("load", rate=1_000.0, seconds=1.0, batch=20)

            def row(do: Callable[[], Result], batch: int) -> Result:
                before = look([second], log)
                answer = do()
                return {"subscribers": own, "batch": batch, **figures(answer, look([second], log).since(before))}

            fleet.ask("wait", seconds=SETTLE_SECONDS)
            yield row(lambda: fleet.ask("wait", seconds=seconds), 0)
            for rate, batch in LOADS:
                yield row(partial(fleet.ask, "load", rate=rate, seconds=seconds, batch=batch), batch)
            with Generator("load", FASTEST, "127.0.0.1", str(first.port), str(seconds)) as fastest:
                yield row(lambda: fastest.ask("go"), FASTEST_BATCH)


def figures(answer: Result, spent: Costs) -> Result:
    events = int(answer.get("posted") or answer.get("operations") or 0)
    return {
        "rate": events / spent.seconds,
        "cpu": spent.server_cpu / spent.seconds,
        "event_us": spent.server_cpu / events * 1e6 if events else 0.0,
        "broker_cpu": spent.broker_cpu / spent.seconds,
    }


def table_of(found: list[Result]) -> Table:
    table = Table(title="a dispatcher that only reads: its CPU by the subscribers it has and the rate")
    for column in ("subscribers", "events/s", "in a POST", "CPU", "CPU us / event", "broker"):
        table.add_column(column, justify="right")
    for row in found:
        table.add_row(
            str(row["subscribers"]),
            f"{row['rate']:,.0f}",
            str(row["batch"] or "-"),
            f"{row['cpu']:.1%}",
            f"{row['event_us']:,.1f}" if row["batch"] else "-",
            f"{row['broker_cpu']:.1%}",
        )
    return table
