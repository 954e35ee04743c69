"""What partitions of Kafka cost: CPU while nothing happens, latency and CPU at a steady rate, by settings of the tail.

One plugin reads one topic of so many partitions and waits for one event at a time. Latency is from the begin of a POST
(sync, one event) to the reply with the event. `DISPATCHER_KAFKA_FETCH_MIN_BYTES` and `_WAIT_MS` differ.
"""

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.costs import look
from tests.bench.fleet import Plan
from tests.bench.generator import Generator
from tests.bench.logs import Kafka
from tests.bench.server import Server

SETTLE_SECONDS = 3.0
DEADLINE = 60
FETCHES = (("1", "100"), ("64Ki", "100"), ("64Ki", "500"))
"""Bytes and milliseconds."""

Result = dict[str, Any]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--partitions", default="1,300,2000", help="numbers with commas between")
    parser.add_argument("--rate", type=float, default=200.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of posting, and of being idle")


def run(chosen: argparse.Namespace, console: Console) -> list[Result]:
    found = []
    with Kafka() as log:
        for partitions in map(int, chosen.partitions.split(",")):
            settings = log.fresh()
            log.create("bench", partitions)
            for least, wait in FETCHES:
                found.append({"partitions": partitions, **measure(least, wait, settings, chosen, log)})
                console.print(f"{partitions} partitions, {least} bytes, {wait} ms: {found[-1]['idle_cpu']:.1%} idle")
            log.forget()
    console.print(table_of(found))
    return found


def measure(least: str, wait: str, settings: dict[str, str], chosen: argparse.Namespace, log: Kafka) -> Result:
    fetches = {"DISPATCHER_KAFKA_FETCH_MIN_BYTES": least, "DISPATCHER_KAFKA_FETCH_WAIT_MS": wait}
    with Server(**settings, **fetches) as server:
        plan = Plan([server.address], 1, kinds=1, count=1, mixed=False)
        with Generator("fleet", json.dumps(asdict(plan))) as fleet:
            fleet.ask("join")
            fleet.ask("stay", deadline=DEADLINE)
            fleet.ask("load", rate=chosen.rate, seconds=1.0, batch=1)
            fleet.ask("wait", seconds=SETTLE_SECONDS)
            before = look([server], log)
            fleet.ask("wait", seconds=chosen.seconds)
            idle = look([server], log).since(before)
            before = look([server], log)
            load = fleet.ask("load", rate=chosen.rate, seconds=chosen.seconds, batch=1)
            live = look([server], log).since(before)
    return {
        "min_bytes": least,
        "wait_ms": wait,
        "idle_cpu": idle.server_cpu / idle.seconds,
        "idle_broker_cpu": idle.broker_cpu / idle.seconds,
        "rate": load["posted"] / load["posting_seconds"],
        "p50_ms": load["p50_ms"],
        "p99_ms": load["p99_ms"],
        "cpu": live.server_cpu / live.seconds,
        "broker_cpu": live.broker_cpu / live.seconds,
    }


def table_of(found: list[Result]) -> Table:
    table = Table(title="partitions: CPU of server and broker, and latency")
    for column in (
        "partitions",
        "min bytes",
        "wait ms",
        "idle CPU",
        "idle broker",
        "events/s",
        "p50 ms",
        "p99 ms",
        "CPU",
        "broker",
    ):
        table.add_column(column, justify="right")
    for row in found:
        table.add_row(
            str(row["partitions"]),
            row["min_bytes"],
            row["wait_ms"],
            f"{row['idle_cpu']:.1%}",
            f"{row['idle_broker_cpu']:.1%}",
            f"{row['rate']:,.0f}",
            f"{row['p50_ms']:,.1f}",
            f"{row['p99_ms']:,.1f}",
            f"{row['cpu']:.0%}",
            f"{row['broker_cpu']:.0%}",
        )
    return table
