"""What one more dispatcher costs and saves: one load on one Kafka shared by 1, 2 and 3; and a poll that is forwarded.

Clients take turns with the servers, so with n of them all but one in n polls are forwarded. Every process reads the
whole stream once (`read per byte`, from the wire); what it costs to hand events out is divided.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.costs import look
from tests.bench.fleet import Plan
from tests.bench.generator import Generator
from tests.bench.group import forwarded, owner_of, servers, settle
from tests.bench.logs import Kafka
from tests.bench.server import Server

POLLS = {1: 600, 50: 100}
"""By the number of events in a reply."""

Result = dict[str, Any]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dispatchers", default="1,2,3", help="numbers with commas between")
    parser.add_argument("--subscribers", default="0,60", help="numbers with commas between")
    parser.add_argument("--rate", type=float, default=400.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of posting")


def run(chosen: argparse.Namespace, console: Console) -> Result:
    loads: list[Result] = []
    polls: list[Result] = []
    with Kafka(tapped=True) as log:
        for count in POLLS:
            polls += forwarding(count, log)
        for subscribers in map(int, chosen.subscribers.split(",")):
            for count in map(int, chosen.dispatchers.split(",")):
                loads.append(under_load(count, subscribers, chosen, log))
                console.print(f"{count} with {subscribers}: {loads[-1]['event_us']:,.0f} us CPU an event, all together")
    console.print(table_of_loads(loads))
    console.print(table_of_polls(polls))
    return {"loads": loads, "polls": polls}


def under_load(count: int, subscribers: int, chosen: argparse.Namespace, log: Kafka) -> Result:
    with servers(count, log) as group:
        plan = Plan([server.address for server in group], subscribers, kinds=20)
        with Generator("fleet", json.dumps(asdict(plan))) as fleet:
            settle()
            fleet.ask("fill", events=plan.kinds * 20)
            fleet.ask("join")
            fleet.ask("stay", deadline=1)
            fleet.ask("load", rate=chosen.rate, seconds=2.0, batch=20)
            passed, before = sum(map(forwarded, group)), look(group, log)
            load = fleet.ask("load", rate=chosen.rate, seconds=chosen.seconds, batch=20)
            live, passed = look(group, log).since(before), sum(map(forwarded, group)) - passed
    return {
        "dispatchers": count,
        "subscribers": subscribers,
        "rate": load["posted"] / load["posting_seconds"],
        "deliveries": load["delivered"] / load["seconds"],
        "forwarded": passed / load["seconds"],
        "event_us": live.server_cpu / load["posted"] * 1e6,
        "busiest_us": max(live.each_cpu) / load["posted"] * 1e6,
        "broker_us": live.broker_cpu / load["posted"] * 1e6,
        "read_per_byte": live.bytes("fetch", "received") / live.bytes("produce", "sent"),
    }


def forwarding(count: int, log: Kafka) -> Iterable[Result]:
    """The same poll to the server that serves the subscriber, and to another one."""
    with servers(2, log) as group:
        plan = Plan([server.address for server in group], 1, kinds=1, count=count, mixed=False)
        with Generator("fleet", json.dumps(asdict(plan))) as fleet:
            settle()
            fleet.ask("fill", events=1)
            fleet.ask("join")
            owner = owner_of(0, group, fleet)
            other = next(server for server in group if server is not owner)
            fleet.ask("fill", events=POLLS[count] * count * 3)
            for server, way in ((owner, "its own server"), (other, "another one"), (owner, "its own again")):
                yield {"count": count, "way": way, **one_way(server, POLLS[count], group, fleet, log)}


def one_way(server: Server, polls: int, group: list[Server], fleet: Generator, log: Kafka) -> Result:
    before = look(group, log)
    answer = fleet.ask("poll_from", number=0, server=server.address, polls=polls)
    spent = look(group, log).since(before)
    return {
        "events": answer["events"] / answer["polls"],
        "poll_us": spent.server_cpu / answer["polls"] * 1e6,
        "poll_ms": answer["seconds"] / answer["polls"] * 1e3,
    }


def table_of_loads(found: list[Result]) -> Table:
    table = Table(title="dispatchers on one Kafka, at a steady rate")
    for column in (
        "dispatchers",
        "plugins",
        "events/s",
        "sent/s",
        "forwarded polls/s",
        "CPU us / event, all",
        "of the busiest",
        "broker us / event",
        "read per byte",
    ):
        table.add_column(column, justify="right")
    for row in found:
        table.add_row(
            str(row["dispatchers"]),
            str(row["subscribers"]),
            f"{row['rate']:,.0f}",
            f"{row['deliveries']:,.0f}",
            f"{row['forwarded']:,.0f}",
            f"{row['event_us']:,.0f}",
            f"{row['busiest_us']:,.0f}",
            f"{row['broker_us']:,.0f}",
            f"{row['read_per_byte']:.2f}",
        )
    return table


def table_of_polls(found: list[Result]) -> Table:
    table = Table(title="a poll that finds events at once, and the same forwarded")
    table.add_column("events a reply", justify="right")
    table.add_column("asked")
    table.add_column("CPU us / poll, both servers", justify="right")
    table.add_column("ms / poll", justify="right")
    for row in found:
        table.add_row(f"{row['events']:.0f}", row["way"], f"{row['poll_us']:,.0f}", f"{row['poll_ms']:.2f}")
    return table
