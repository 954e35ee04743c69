"""What the original in Go does on the same kind of machine, and our goal (the project's performance notes).

CPU is server CPU per operation in microseconds; rates are operations per second.
"""

from typing import NamedTuple


class Yardstick(NamedTuple):
    original_rate: float
    original_cpu_us: float
    goal_cpu_us: float


YARDSTICKS: dict[str, Yardstick] = {
    "post-1": Yardstick(14_400, 73, 90),
    "post-1-sync": Yardstick(9_850, 98, 90),
    "post-345": Yardstick(53_500, 31, 30),
    "post-345-sync": Yardstick(6_740, 112, 30),
    "fetch-1000": Yardstick(34_400, 28, 5),
    "jobs-1": Yardstick(1_330, 630, 350),
    "jobs-8": Yardstick(3_480, 303, 250),
    "jobs-count-50": Yardstick(7_920, 138, 110),
    "upload-10KB": Yardstick(587, 2_500, 2_000),
    "upload-1MB": Yardstick(39, 47_000, 28_000),
    "upload-100MB": Yardstick(0.27, 3_700_000, 2_000_000),
}
