"""What records of the status topic mean for delivery: jobs that end, leases that go on or back, pauses."""

from collections.abc import Callable

import msgspec

from dispatcher.delivery.jobs import Jobs
from dispatcher.delivery.pause import Pause
from dispatcher.delivery.signals import PAUSED, RELEASED
from dispatcher.eventlog.base import Record
from dispatcher.hooks.header import unpack


class Statuses:
    """Obeying a record twice, or once more later, changes nothing."""

    def __init__(self, jobs: Jobs, pause: Pause, clock: Callable[[], float]) -> None:
        self._jobs = jobs
        self._pause = pause
        self._clock = clock

    def obey(self, record: Record) -> None:
        if record.tag is None:
            return
        try:
            header = unpack(record.tag)
        except msgspec.MsgspecError:
            return
        if record.value is not None:
            when = min(record.timestamp_ms / 1000, self._clock())  # times in the log never go back, clocks do
            self._jobs.on_status(header.token, header.status, when)
        elif header.status == RELEASED:
            self._jobs.on_release(header.token, header.source_time / 1e6)
        elif header.status == PAUSED:
            self._pause.begin(header.source_time / 1e6)
