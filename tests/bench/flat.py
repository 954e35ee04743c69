"""Bytes read from the log per byte written, and CPU per event, with more and more subscribers.

Each number of subscribers gets a fresh server. Some read passively, most take jobs and answer with a status, one of ten
reads what is older first; each wants one kind of event of so many. On Kafka a process between server and broker counts
the frames of each kind of request: `wire` is bytes of fetch replies over bytes of produce requests, packed as they are,
with everything that an idle tail asks meanwhile; `values` is the same by the server's own metrics, unpacked.
"""

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.costs import Costs, look
from tests.bench.fleet import Plan
from tests.bench.generator import Generator
from tests.bench.logs import Embedded, Kafka, Log
from tests.bench.server import Server

SETTLE_SECONDS = 2.0
IDLE_DEADLINE = 60
FLAT_WITHIN = 0.2

Result = dict[str, Any]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", choices=(Embedded.name, Kafka.name), default=Kafka.name)
    parser.add_argument("--subscribers", default="1,10,100,200", help="numbers with commas between")
    parser.add_argument("--kinds", type=int, default=20, help="each subscriber wants one event in so many")
    parser.add_argument("--rate", type=float, default=400.0, help="events a second")
    parser.add_argument("--batch", type=int, default=20, help="events in a request")
    parser.add_argument("--seconds", type=float, default=10.0, help="of posting, and of being idle")
    parser.add_argument("--backlog", type=int, default=20_000, help="older events")
    parser.add_argument("--in-turn", action="store_true", help="readers of older events begin one after the other")


def run(chosen: argparse.Namespace, console: Console) -> Result:
    """Number of subscribers → figures."""
    found: dict[str, Result] = {}
    with Kafka(tapped=True) if chosen.log == Kafka.name else Embedded() as log:
        for number in map(int, chosen.subscribers.split(",")):
            found[str(number)] = measure(number, chosen, log)
            console.print(f"{number} subscribers: {brief(found[str(number)])}")
    console.print(table_of(found))
    console.print(verdict(found, "wire_live" if chosen.log == Kafka.name else "values_live"))
    return found


def measure(subscribers: int, chosen: argparse.Namespace, log: Log) -> Result:
    with Server(**log.fresh()) as server:
        plan = Plan([server.address], subscribers, chosen.kinds, in_turn=chosen.in_turn)
        with Generator("fleet", json.dumps(asdict(plan))) as fleet:

            def during(do: str, **how: Any) -> tuple[Result, Costs]:
                before = look([server], log)
                answer = fleet.ask(do, **how)
                return answer, look([server], log).since(before)

            _, filling = during("fill", events=chosen.backlog)
            before = look([server], log)
            fleet.ask("join")  # who only asks does read on for a moment, too
            fleet.ask("catch_up")
            older = look([server], log).since(before)
            fleet.ask("stay", deadline=IDLE_DEADLINE)
            fleet.ask("wait", seconds=SETTLE_SECONDS)
            _, idle = during("wait", seconds=chosen.seconds)
            fleet.ask("stay", deadline=1)
            fleet.ask("load", rate=chosen.rate, seconds=1.0, batch=chosen.batch)
            load, live = during("load", rate=chosen.rate, seconds=chosen.seconds, batch=chosen.batch)
        peak = server.peak_mb()
    log.forget()
    return figures(load, filling, older, idle, live) | {"peak_mb": peak}


def figures(load: Result, filling: Costs, older: Costs, idle: Costs, live: Costs) -> Result:
    return {
        "rate": load["posted"] / load["posting_seconds"],
        "deliveries": load["delivered"] / load["seconds"],
        "delivered_per_event": load["delivered"] / load["posted"],
        "wire_live": ratio(live.bytes("fetch", "received"), live.bytes("produce", "sent")),
        "values_live": ratio(live.tail + live.ranged, live.appended),
        "wire_older": ratio(older.bytes("fetch", "received"), filling.bytes("produce", "sent")),
        "values_older": ratio(older.tail + older.ranged, filling.appended),
        "idle_bytes": sum(entry["sent"] + entry["received"] for entry in idle.wire.values()) / idle.seconds,
        "idle_requests": sum(entry["requests"] for entry in idle.wire.values()) / idle.seconds,
        "idle_cpu": idle.server_cpu / idle.seconds,
        "idle_broker_cpu": idle.broker_cpu / idle.seconds,
        "event_us": live.server_cpu / load["posted"] * 1e6,
        "delivery_us": live.server_cpu / load["delivered"] * 1e6,
        "broker_us": live.broker_cpu / load["posted"] * 1e6,
        "cpu": live.server_cpu / live.seconds,
        "wire": live.wire,
        "wire_idle": idle.wire,
    }


def ratio(read: float, written: float) -> float:
    return read / written if written else 0.0


def brief(row: Result) -> str:
    return f"{row['rate']:,.0f} events/s, {row['event_us']:,.0f} us CPU an event, {row['wire_live']:.2f} read per byte"


def verdict(found: dict[str, Result], key: str) -> str:
    values = [row[key] for row in found.values()]
    spread = max(values) / min(values) - 1 if min(values) else 0.0
    said = "flat" if spread <= FLAT_WITHIN else "NOT flat"
    return (
        f"{said}: between the least and the most bytes read per byte written lie {spread:.0%} (goal: {FLAT_WITHIN:.0%})"
    )


def table_of(found: dict[str, Result]) -> Table:
    table = Table(title="traffic and CPU by the number of subscribers")
    table.add_column("plugins", justify="right")
    for column in (
        "events/s",
        "sent/s",
        "wire live",
        "values live",
        "wire older",
        "values older",
        "CPU us / event",
        "CPU us / sent",
        "broker us / event",
        "idle KB/s",
        "idle req/s",
        "idle CPU",
        "idle broker",
        "peak MB",
    ):
        table.add_column(column, justify="right")
    for number, row in found.items():
        table.add_row(
            number,
            f"{row['rate']:,.0f}",
            f"{row['deliveries']:,.0f}",
            f"{row['wire_live']:.2f}",
            f"{row['values_live']:.2f}",
            f"{row['wire_older']:.2f}",
            f"{row['values_older']:.2f}",
            f"{row['event_us']:,.0f}",
            f"{row['delivery_us']:,.0f}",
            f"{row['broker_us']:,.0f}",
            f"{row['idle_bytes'] / 1e3:,.1f}",
            f"{row['idle_requests']:,.0f}",
            f"{row['idle_cpu']:.1%}",
            f"{row['idle_broker_cpu']:.1%}",
            f"{row['peak_mb']:,.0f}",
        )
    return table
