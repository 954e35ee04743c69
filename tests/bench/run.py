"""`make bench`: every workload against a fresh server; prints a table and writes JSON.

python tests/bench/run.py [--rows a,b] [--seconds 5] [--repeat 3] [--out .bench/result.json]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from load import ROWS
from rich.console import Console
from rich.table import Table
from server import Server
from yardsticks import YARDSTICKS

HERE = Path(__file__).parent


def measure(name: str, seconds: float) -> dict[str, Any]:
    """One run of one row: rates from the generator, CPU and memory from the server."""
    with Server() as server:
        generator = subprocess.Popen(
            [sys.executable, HERE / "load.py", name, "127.0.0.1", str(server.port), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert generator.stdin is not None
        assert generator.stdout is not None
        if generator.stdout.readline().strip() != "READY":
            raise RuntimeError(f"{name}: the load generator failed before it began")
        cpu, workers = server.cpu(), server.workers_cpu()
        generator.stdin.write("go\n")
        generator.stdin.flush()
        result: dict[str, Any] = json.loads(generator.stdout.readline())
        cpu, workers = server.cpu() - cpu, server.workers_cpu() - workers
        generator.wait()
        operations = max(result["operations"], 1)
        result |= {
            "rate": result["operations"] / result["seconds"],
            "server_cpu_us": cpu / operations * 1e6,
            "workers_cpu_us": max(workers, 0.0) / operations * 1e6,
            "generator_cpu_us": result["generator_cpu"] / operations * 1e6,
            "peak_mb": server.peak_mb(),
        }
        return result


def median_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    rates = [run["rate"] for run in runs]
    return row | {"rate_min": min(rates), "rate_max": max(rates), "runs": len(runs)}


def table_of(results: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="dispatcher bench: medians; CPU is per operation, of the server process")
    for column in ("row", "rate/s", "spread", "p50 ms", "p99 ms", "CPU us", "workers us", "generator us", "peak MB"):
        table.add_column(column, justify="left" if column == "row" else "right")
    for column in ("original rate", "original CPU", "goal CPU"):
        table.add_column(column, justify="right", style="dim")
    for name, row in results.items():
        yard = YARDSTICKS.get(name)
        total = row["server_cpu_us"] + row["workers_cpu_us"]
        met = "green" if yard and total <= yard.goal_cpu_us else "yellow"
        table.add_row(
            name,
            f"{row['rate']:,.1f}",
            f"{row['rate_min']:,.0f}-{row['rate_max']:,.0f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"[{met}]{row['server_cpu_us']:,.0f}[/]",
            f"{row['workers_cpu_us']:,.0f}",
            f"{row['generator_cpu_us']:,.0f}",
            f"{row['peak_mb']:,.0f}",
            *((f"{yard.original_rate:,}", f"{yard.original_cpu_us:,.0f}", f"{yard.goal_cpu_us:,.0f}") if yard else ()),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma-separated names")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(".bench/result.json"))
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 180)
    results: dict[str, dict[str, Any]] = {}
    for name in options.rows.split(","):
        if name not in ROWS:
            parser.error(f"no row {name!r}; there are: {', '.join(ROWS)}")
        results[name] = median_of([measure(name, options.seconds) for _ in range(options.repeat)])
        console.print(f"{name}: {results[name]['rate']:,.1f}/s, {results[name]['server_cpu_us']:,.0f} us CPU")
    console.print(table_of(results))
    load = os.getloadavg()
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load[0]:.1f}"
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"load": load, "rows": results}, indent=1))
    console.print(f"written to {options.out}")


if __name__ == "__main__":
    main()
