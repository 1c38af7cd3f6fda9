"""Which reasons stop most parts."""

from dataclasses import dataclass
from typing import Iterable, List, Mapping, Union

from ...core import DataError

VITAL = 0.8


@dataclass(frozen=True)
class Reason:
    """One bar of a Pareto chart.

    Attributes:
        name: The reason.
        count: How often it was given.
        share: Part of all reasons.
        cumulative: Share of this and all bars before it.
        vital: Whether it is among the fewest reasons that make up 80 %.
    """

    name: str
    count: int
    share: float
    cumulative: float
    vital: bool


def pareto(reasons: Union[Mapping[str, int], Iterable[str]]) -> List[Reason]:
    """Reasons by how often they were given, equals by name.

    Args:
        reasons: Counts by name, or the reasons as they came, one each time. A part with two
            reasons gives two.

    Raises:
        DataError: A count is negative or no whole number.
    """
    counts = {}
    if isinstance(reasons, Mapping):
        for name, count in reasons.items():
            if isinstance(count, bool) or count != int(count) or count < 0:
                raise DataError(f"the count of reason {name!r} is none", got=count)
            counts[name] = int(count)
    else:
        for name in reasons:
            counts[name] = counts.get(name, 0) + 1
    total = sum(counts.values())
    found, before = [], 0
    for name, count in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0])):
        if count:
            vital = before < VITAL * total
            before += count
            found.append(Reason(name, count, count / total, before / total, vital))
    return found
