"""One workload after the other, each against a fresh server: rates, latencies, CPU and memory."""

import argparse
import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.generator import Generator
from tests.bench.load import ROWS
from tests.bench.logs import Embedded, Kafka, Log, log_of
from tests.bench.server import Server
from tests.bench.yardsticks import YARDSTICKS

Result = dict[str, Any]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--log", choices=(Embedded.name, Kafka.name, "both"), default=Embedded.name)
    parser.add_argument("--rows", default=",".join(ROWS), help="names with commas between; default: all")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run")
    parser.add_argument("--repeat", type=int, default=3)


def run(chosen: argparse.Namespace, console: Console) -> Result:
    """Log → row → figures. Raises ValueError for a row that there is not."""
    rows = chosen.rows.split(",")
    for name in rows:
        if name not in ROWS:
            raise ValueError(f"no row {name!r}; there are: {', '.join(ROWS)}")
    names = (Embedded.name, Kafka.name) if chosen.log == "both" else (chosen.log,)
    results: dict[str, dict[str, Result]] = {name: {} for name in names}
    with ExitStack() as stack:
        logs = [log_of(name) for name in names]
        for log in logs:
            stack.enter_context(log)
        for row in rows:
            for log, found in measured(row, logs, chosen.seconds, chosen.repeat):
                results[log.name][row] = found
                console.print(f"{row} ({log.name}): {found['rate']:,.1f}/s, {found['server_cpu_us']:,.0f} us CPU")
    for name in names:
        console.print(table_of(name, results[name]))
    if len(names) > 1:
        console.print(comparison(results[Embedded.name], results[Kafka.name]))
    return results


def measured(row: str, logs: list[Log], seconds: float, repeat: int) -> Iterator[tuple[Log, Result]]:
    """Logs take turns, so that a machine whose speed drifts does both the same wrong."""
    runs: list[list[Result]] = [[] for _ in logs]
    for _ in range(repeat):
        for log, found in zip(logs, runs, strict=True):
            found.append(measure(row, seconds, log))
    for log, found in zip(logs, runs, strict=True):
        yield log, median_of(found)


def measure(name: str, seconds: float, log: Log) -> Result:
    """One run of one row: rates from the generator, CPU and memory from the server, and from the broker if any."""
    with Server(**log.fresh()) as server:
        with Generator("load", name, "127.0.0.1", str(server.port), str(seconds)) as generator:
            before = server.cpu(), server.workers_cpu(), log.cpu()
            result = generator.ask("go")
            after = server.cpu(), server.workers_cpu(), log.cpu()
        own, workers, broker = (late - early for early, late in zip(before, after, strict=True))
        operations = max(result["operations"], 1)
        result |= {
            "rate": result["operations"] / result["seconds"],
            "server_cpu_us": own / operations * 1e6,
            "workers_cpu_us": max(workers, 0.0) / operations * 1e6,
            "broker_cpu_us": broker / operations * 1e6,
            "generator_cpu_us": result["generator_cpu"] / operations * 1e6,
            "peak_mb": server.peak_mb(),
        }
    log.forget()
    return result


def median_of(runs: list[Result]) -> Result:
    row: Result = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    rates = [run["rate"] for run in runs]
    return row | {"rate_min": min(rates), "rate_max": max(rates), "runs": len(runs)}


# ---- tables


def table_of(log: str, results: dict[str, Result]) -> Table:
    kafka = log == Kafka.name
    table = Table(title=f"{log} log: medians; CPU is per operation, of the server process")
    table.add_column("row")
    ours = ("rate/s", "spread", "p50 ms", "p99 ms", "CPU us", "workers us", *(("broker us",) if kafka else ()))
    for column in (*ours, "generator us", "peak MB"):
        table.add_column(column, justify="right")
    for column in ("original rate", "original CPU", *(("with brokers",) if kafka else ()), "goal CPU"):
        table.add_column(column, justify="right", style="dim")
    for name, row in results.items():
        table.add_row(
            name,
            f"{row['rate']:,.1f}",
            f"{row['rate_min']:,.0f}-{row['rate_max']:,.0f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            judged(name, row, kafka),
            f"{row['workers_cpu_us']:,.0f}",
            *((f"{row['broker_cpu_us']:,.0f}",) if kafka else ()),
            f"{row['generator_cpu_us']:,.0f}",
            f"{row['peak_mb']:,.0f}",
            *yardstick(name, kafka),
        )
    return table


def comparison(embedded: dict[str, Result], kafka: dict[str, Result]) -> Table:
    table = Table(title="embedded log and Kafka side by side: medians of runs in turn")
    table.add_column("row")
    for column in ("rate/s", "on Kafka", "p50 ms", "on Kafka", "CPU us", "on Kafka", "more us", "broker us"):
        table.add_column(column, justify="right")
    for name, here in embedded.items():
        there = kafka[name]
        more = there["server_cpu_us"] - here["server_cpu_us"]
        table.add_row(
            name,
            *(f"{row['rate']:,.1f}" for row in (here, there)),
            *(f"{row['p50_ms']:.2f}" for row in (here, there)),
            judged(name, here, kafka=False),
            judged(name, there, kafka=True),
            f"{more:+,.0f}",
            f"{there['broker_cpu_us']:,.0f}",
        )
    return table


def judged(name: str, row: Result, kafka: bool) -> str:
    """Server CPU, green where it meets the goal."""
    yard = YARDSTICKS.get(name)
    met = yard is not None and row["server_cpu_us"] + row["workers_cpu_us"] <= yard.goal_us(kafka)
    return f"[{'green' if met else 'yellow'}]{row['server_cpu_us']:,.0f}[/]"


def yardstick(name: str, kafka: bool) -> list[str]:
    yard = YARDSTICKS.get(name)
    if yard is None:
        return []
    brokers = [f"{yard.original_all_us:,.0f}" if yard.original_all_us else "-"] if kafka else []
    return [f"{yard.original_rate:,}", f"{yard.original_cpu_us:,.0f}", *brokers, f"{yard.goal_us(kafka):,.0f}"]
