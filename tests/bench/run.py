"""`make bench`: measures real servers on this machine, prints tables and writes JSON.

Without a name of a measurement: `rows`. Kafka means a real broker that this starts and stops (Java and Maven needed).
"""

import argparse
import json
import os
import platform
import signal
import sys
from pathlib import Path
from types import ModuleType

from rich.console import Console

from tests.bench import dispatchers, failover, flat, memory, partitions, rows, tail
from tests.kafka.jars import Unavailable

MEASUREMENTS: dict[str, ModuleType] = {
    "rows": rows,
    "flat": flat,
    "memory": memory,
    "partitions": partitions,
    "tail": tail,
    "dispatchers": dispatchers,
    "failover": failover,
}


def parser_of() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    chosen = parser.add_subparsers(dest="what", required=True)
    for name, module in MEASUREMENTS.items():
        about = (module.__doc__ or "").strip()
        one = chosen.add_parser(name, help=about.splitlines()[0], description=about)
        module.options(one)
        one.add_argument("--out", type=Path, default=Path(f".bench/{name}.json"), help="where the figures go as JSON")
    return parser


def named(arguments: list[str]) -> list[str]:
    """`rows` when only its options were given."""
    asks = any(argument in MEASUREMENTS or argument in ("-h", "--help") for argument in arguments[:1])
    return arguments if asks else ["rows", *arguments]


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that what we started is ended
    parser = parser_of()
    chosen = parser.parse_args(named(sys.argv[1:]))
    console = Console(width=None if sys.stdout.isatty() else 180)
    before = os.getloadavg()[0]
    try:
        results = MEASUREMENTS[chosen.what].run(chosen, console)
    except (ValueError, Unavailable) as problem:
        parser.error(str(problem))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = before, os.getloadavg()[0]
    console.print(f"{machine}, load {load[0]:.1f} before and {load[1]:.1f} after")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({"machine": machine, "load": load, chosen.what: results}, indent=1))
    console.print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
