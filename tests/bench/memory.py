"""What subscribers cost that do nothing: memory of those that are only known, and memory and CPU of those that wait.

Registered are plugins that asked once and went away; waiting are those in a long poll. Each reads one topic and has a
place in each of its partitions. Resident memory of the server process.
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
from tests.bench.logs import Embedded, Kafka, Log, log_of
from tests.bench.server import Server

SETTLE_SECONDS = 5.0
DEADLINE = 60

Result = dict[str, Any]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", choices=(Embedded.name, Kafka.name), default=Kafka.name)
    parser.add_argument("--subscribers", default="100,500,1000", help="numbers with commas between")
    parser.add_argument("--partitions", default="1,64", help="of each topic; numbers with commas between")
    parser.add_argument("--seconds", type=float, default=10.0, help="of being idle")


def run(chosen: argparse.Namespace, console: Console) -> list[Result]:
    found = []
    with log_of(chosen.log) as log:
        for partitions in map(int, chosen.partitions.split(",")):
            for subscribers in map(int, chosen.subscribers.split(",")):
                found.append(measure(subscribers, partitions, chosen.seconds, log))
                console.print(f"{partitions} partitions, {subscribers} subscribers: {found[-1]['waiting_mb']:,.0f} MB")
    console.print(table_of(found))
    return found


def measure(subscribers: int, partitions: int, seconds: float, log: Log) -> Result:
    settings = log.fresh() | {"DISPATCHER_GLOBAL_PARTITION_COUNT": str(partitions)}
    with Server(**settings) as server:
        plan = Plan([server.address], subscribers, kinds=20, mixed=False, one_topic=True)
        with Generator("fleet", json.dumps(asdict(plan))) as fleet:
            fleet.ask("fill", events=plan.kinds)  # the topic is there
            fleet.ask("wait", seconds=SETTLE_SECONDS)
            empty = server.memory_mb()
            fleet.ask("join")
            fleet.ask("wait", seconds=SETTLE_SECONDS)
            registered = server.memory_mb()
            fleet.ask("stay", deadline=DEADLINE)
            fleet.ask("wait", seconds=SETTLE_SECONDS)
            waiting, before = server.memory_mb(), look([server], log)
            fleet.ask("wait", seconds=seconds)
            idle = look([server], log).since(before)
    log.forget()
    return {
        "subscribers": subscribers,
        "partitions": partitions,
        "empty_mb": empty,
        "registered_mb": registered,
        "waiting_mb": waiting,
        "registered_per_100": (registered - empty) / subscribers * 100,
        "waiting_per_100": (waiting - empty) / subscribers * 100,
        "idle_cpu": idle.server_cpu / idle.seconds,
        "idle_broker_cpu": idle.broker_cpu / idle.seconds,
    }


def table_of(found: list[Result]) -> Table:
    table = Table(title="subscribers that do nothing: memory of the server, and its CPU while they wait")
    for column in (
        "partitions",
        "subscribers",
        "MB with none",
        "MB registered",
        "MB waiting",
        "registered: MB per 100",
        "waiting: MB per 100",
        "idle CPU",
        "idle broker",
    ):
        table.add_column(column, justify="right")
    for row in found:
        table.add_row(
            str(row["partitions"]),
            str(row["subscribers"]),
            f"{row['empty_mb']:,.0f}",
            f"{row['registered_mb']:,.0f}",
            f"{row['waiting_mb']:,.0f}",
            f"{row['registered_per_100']:,.2f}",
            f"{row['waiting_per_100']:,.2f}",
            f"{row['idle_cpu']:.1%}",
            f"{row['idle_broker_cpu']:.1%}",
        )
    return table
