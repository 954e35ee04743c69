"""What the original in Go does on the same kind of machine, and our goal (the project's performance notes).

CPU is server CPU per operation in microseconds; rates are operations per second. The original ran on Kafka, Redis and
S3, whose CPU is in `original_all_us` beside its own. Our goal is for the embedded log; on Kafka an event may cost
KAFKA_US more.
"""

from typing import NamedTuple

KAFKA_US = 30.0


class Yardstick(NamedTuple):
    original_rate: float
    original_cpu_us: float
    goal_cpu_us: float
    original_all_us: float | None = None
    on_log: bool = True
    """Whether an operation has to do with the log at all."""

    def goal_us(self, kafka: bool) -> float:
        return self.goal_cpu_us + (KAFKA_US if kafka and self.on_log else 0.0)


YARDSTICKS: dict[str, Yardstick] = {
    "post-1": Yardstick(14_400, 73, 90, 91),
    "post-1-sync": Yardstick(9_850, 98, 90, 128),
    "post-345": Yardstick(53_500, 31, 30, 34),
    "post-345-sync": Yardstick(6_740, 112, 30, 190),
    "fetch-1000": Yardstick(34_400, 28, 5, 31),
    "fetch-1000-by-4": Yardstick(58_900, 22, 5, 25),
    "latency-200": Yardstick(200, 1_750, 400, 2_680),
    "jobs-1": Yardstick(1_330, 630, 350, 990),
    "jobs-8": Yardstick(3_480, 303, 250, 453),
    "jobs-count-50": Yardstick(7_920, 138, 110, 203),
    "upload-10KB": Yardstick(587, 2_500, 2_000, None, False),
    "upload-1MB": Yardstick(39, 47_000, 28_000, None, False),
    "upload-100MB": Yardstick(0.27, 3_700_000, 2_000_000, None, False),
}
