"""gjson paths over events, evaluated in Python.

The paths come from clients and the events from malware, so neither may crash or stall the server: the
native gjson libraries do both (exponential wildcards, recursion that overflows the stack). Here a path is
parsed completely before it is used, wildcards are matched in one pass, and every evaluation has a budget.
"""

from dispatcher.delivery.gjson.brackets import PathError
from dispatcher.delivery.gjson.parse import LONGEST_PATH, MOST_NESTED, Path, check_path, parse_path
from dispatcher.delivery.gjson.steps import BUDGET, MISSING, Meter, TooMuchWork

__all__ = [
    "BUDGET",
    "LONGEST_PATH",
    "MISSING",
    "MOST_NESTED",
    "Meter",
    "Path",
    "PathError",
    "TooMuchWork",
    "check_path",
    "parse_path",
]
