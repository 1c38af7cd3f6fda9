"""Angles and distances of skeletons, for rules. Heights of the person, degrees; y points up.

All take points `(x, y)` and give NaN where one of them is not known.
"""

import math
from typing import List, Sequence, Tuple

Point = Tuple[float, float]
NAN = float("nan")
UNKNOWN: Point = (NAN, NAN)


def known(*values: float) -> bool:
    """Whether none of the numbers is NaN."""
    return all(value == value for value in values)


def distance(a: Point, b: Point) -> float:
    """From one point to another."""
    return math.hypot(a[0] - b[0], a[1] - b[1])


def angle(a: Point, corner: Point, b: Point) -> float:
    """The angle at a corner, 0 folded to 180 straight: at the elbow between shoulder and wrist."""
    ux, uy, vx, vy = a[0] - corner[0], a[1] - corner[1], b[0] - corner[0], b[1] - corner[1]
    if not known(ux, uy, vx, vy):
        return NAN
    return abs(math.degrees(math.atan2(ux * vy - uy * vx, ux * vx + uy * vy)))


def from_down(start: Point, end: Point) -> float:
    """How far a limb is from hanging down: 0 hangs, 90 is level, 180 points up."""
    x, y = end[0] - start[0], end[1] - start[1]
    return abs(math.degrees(math.atan2(x, -y))) if known(x, y) else NAN


def middle(points: Sequence[Point]) -> Point:
    """The mean of the points that are known."""
    there = [p for p in points if known(*p)]
    if not there:
        return UNKNOWN
    return sum(p[0] for p in there) / len(there), sum(p[1] for p in there) / len(there)


def turns(values: Sequence[float], least: float) -> List[int]:
    """Where a course turns back by `least` or more: the positions of its peaks and dips.

    The two ends are none. NaN are passed over.
    """
    found: List[int] = []
    way, at = 0, -1  # rising or falling; the extreme so far
    low = high = -1
    for i, value in enumerate(values):
        if value != value:
            continue
        if at < 0:
            at = low = high = i
        elif way == 0:
            low = i if value < values[low] else low
            high = i if value > values[high] else high
            if values[high] - values[low] >= least:
                way, at = (1, high) if high > low else (-1, low)
        elif (value - values[at]) * way > 0:
            at = i
        elif (values[at] - value) * way >= least:
            found.append(at)
            way, at = -way, i
    return found
