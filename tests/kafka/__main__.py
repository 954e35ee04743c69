"""`python -m tests.kafka start [BROKERS]` and `stop`: a broker that stays until it is stopped."""

import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

from tests.kafka.broker import STOP_SECONDS, KafkaBroker, free_ports
from tests.kafka.jars import Unavailable, cache_dir, jars

USUAL_PORT = 9092


def main(arguments: list[str]) -> int:
    folder = cache_dir() / "kafka-run"
    if arguments[:1] == ["start"]:
        return start(folder, int(arguments[1]) if len(arguments) > 1 else 1)
    if arguments == ["stop"]:
        return stop(folder)
    print(__doc__)
    return 2


def start(folder: Path, brokers: int) -> int:
    state = folder / "state"
    if running(folder):
        print(f"Kafka already runs on {state.read_text().splitlines()[0]}")
        return 0
    try:
        found = jars()
    except Unavailable as why:
        print(why)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    broker = KafkaBroker(folder, found, brokers=brokers, port=usual_port())
    try:
        broker.start(detached=True)
    except BaseException:
        broker.kill9()
        raise
    state.write_text("\n".join([broker.endpoint, *map(str, broker.pids)]))
    print(f"Kafka is ready on {broker.endpoint}\nDISPATCHER_KAFKA_ENDPOINT={broker.endpoint}")
    return 0


def stop(folder: Path) -> int:
    """End the brokers and remove their data."""
    pids = running(folder)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while (pids := running(folder)) and time.monotonic() < deadline:
            time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)
    print("Kafka is stopped and its data is gone")
    return 0


def running(folder: Path) -> list[int]:
    """Process ids of our brokers that are alive: never a stranger who has an old number."""
    state = folder / "state"
    numbers = state.read_text().split()[1:] if state.exists() else []
    return [int(number) for number in numbers if str(folder) in _command(int(number))]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def usual_port() -> int:
    """Kafka's own port when it is free."""
    with socket.socket() as probe:
        return free_ports(1)[0] if probe.connect_ex(("127.0.0.1", USUAL_PORT)) == 0 else USUAL_PORT


sys.exit(main(sys.argv[1:]))
