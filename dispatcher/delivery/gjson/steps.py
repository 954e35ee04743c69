"""The steps of a path, each from one JSON value to the next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from dispatcher.delivery.gjson.glob import Glob

BUDGET: Final = 200_000
"""Steps that the filters of one subscriber may take over one event: about a tenth of a second."""


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What a path gives that leads nowhere; None is JSON's null."""


class TooMuchWork(Exception):
    """A path needs more steps over this event than any filter may take."""


class Meter:
    """Counts down the steps of one evaluation."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._left = budget

    def spend(self, steps: int) -> None:
        """Raises TooMuchWork."""
        self._left -= steps
        if self._left < 0:
            raise TooMuchWork(TooMuchWork.__doc__)


class Step(Protocol):
    def apply(self, value: Any, meter: Meter) -> Any: ...


Steps = tuple[Step, ...]


def run(steps: Steps, value: Any, meter: Meter) -> Any:
    """The value at the end of the steps, or MISSING. Raises TooMuchWork."""
    meter.spend(len(steps) + 1)
    for step in steps:
        value = step.apply(value, meter)
        if value is MISSING:
            break
    return value


@dataclass(frozen=True)
class Key:
    """A member of an object, or an element of an array when it is a number."""

    name: str
    index: int | None

    def apply(self, value: Any, meter: Meter) -> Any:
        if isinstance(value, dict):
            return value.get(self.name, MISSING)
        if isinstance(value, list) and self.index is not None and self.index < len(value):
            return value[self.index]
        return MISSING


@dataclass(frozen=True)
class KeyLike:
    """The first member whose name matches the wildcards."""

    glob: Glob

    def apply(self, value: Any, meter: Meter) -> Any:
        if not isinstance(value, dict):
            return MISSING
        for name, member in value.items():
            meter.spend(1 + self.glob.cost(name))
            if self.glob.matches(name):
                return member
        return MISSING


class Count:
    """`#` at the end: how many elements."""

    def apply(self, value: Any, meter: Meter) -> Any:
        return len(value) if isinstance(value, list) else MISSING


@dataclass(frozen=True)
class Each:
    """`#.rest`, `#(query)#` and `#(query)#.rest`: what `rest` finds in each element that matches."""

    rest: Steps
    matches: Callable[[Any, Meter], bool] | None = None

    def apply(self, value: Any, meter: Meter) -> Any:
        if not isinstance(value, list):
            return MISSING
        chosen = value if self.matches is None else [item for item in value if self.matches(item, meter)]
        found = [run(self.rest, item, meter) for item in chosen]
        return [item for item in found if item is not MISSING]


@dataclass(frozen=True)
class First:
    """`#(query)`: the first element that matches."""

    matches: Callable[[Any, Meter], bool]

    def apply(self, value: Any, meter: Meter) -> Any:
        if not isinstance(value, list):
            return MISSING
        return next((item for item in value if self.matches(item, meter)), MISSING)


@dataclass(frozen=True)
class Modify:
    """`@name:argument`."""

    change: Callable[[Any, Meter], Any]

    def apply(self, value: Any, meter: Meter) -> Any:
        return self.change(value, meter)


@dataclass(frozen=True)
class Gather:
    """`[a,b]`: a new array of what the paths find."""

    paths: Sequence[Steps]

    def apply(self, value: Any, meter: Meter) -> Any:
        found = [run(steps, value, meter) for steps in self.paths]
        return [item for item in found if item is not MISSING]


@dataclass(frozen=True)
class GatherNamed:
    """`{a,"name":b}`: a new object of what the paths find."""

    paths: Mapping[str, Steps]

    def apply(self, value: Any, meter: Meter) -> Any:
        found = {name: run(steps, value, meter) for name, steps in self.paths.items()}
        return {name: item for name, item in found.items() if item is not MISSING}
