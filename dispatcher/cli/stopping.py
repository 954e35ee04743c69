"""Ctrl-C and SIGTERM as an event that a command can wait for."""

import asyncio
import signal
from typing import Final

STOP: Final = (signal.SIGINT, signal.SIGTERM)


def stop_event() -> asyncio.Event:
    """Set by the first signal; from then on a signal does what it does to any program."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        stopped.set()
        for number in STOP:
            loop.remove_signal_handler(number)

    for number in STOP:
        loop.add_signal_handler(number, stop)
    return stopped
