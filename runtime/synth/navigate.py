"""Ways around furniture: straight from corner to corner.

Only sums, products and square roots, so that everybody walks the same way on every machine.
"""

import math
from typing import Dict, List, Sequence, Tuple

Point = Tuple[float, float]
Box = Tuple[float, float, float, float]

BODY = 0.24  # metres from the middle of a person to what it may touch
CLEAR = 0.34  # metres that a way keeps from corners


def grow(box: Box, by: float) -> Box:
    """A footprint with a margin."""
    return (box[0] - by, box[1] - by, box[2] + by, box[3] + by)


def inside(p: Point, box: Box) -> bool:
    """Whether a point lies in a footprint."""
    return box[0] < p[0] < box[2] and box[1] < p[1] < box[3]


def hits(a: Point, b: Point, box: Box) -> bool:
    """Whether the way from a to b leads through a footprint (Liang and Barsky, 1984)."""
    low, high = 0.0, 1.0
    for k in (0, 1):
        step = b[k] - a[k]
        if abs(step) < 1e-12:
            if not box[k] < a[k] < box[k + 2]:
                return False
            continue
        one, two = (box[k] - a[k]) / step, (box[k + 2] - a[k]) / step
        if one > two:
            one, two = two, one
        low, high = max(low, one), min(high, two)
        if low >= high:
            return False
    return True


def distance(a: Point, b: Point) -> float:
    """Metres between two points."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    return math.sqrt(dx * dx + dy * dy)


class Floor:
    """Finds ways between places.

    Args:
        obstacles: Footprints that nobody walks through.
        shy: Footprints that a way avoids unless it begins or ends there.
    """

    def __init__(self, obstacles: Sequence[Box], shy: Sequence[Box] = ()) -> None:
        self.obstacles = list(obstacles)
        self._solid = [grow(box, BODY) for box in obstacles]
        self._shy = [grow(box, 0.2) for box in shy]
        self._nodes: List[Point] = []
        blocks = [grow(b, CLEAR) for b in obstacles] + [grow(b, 0.05) for b in self._shy]
        for x1, y1, x2, y2 in blocks:
            for node in ((x1, y1), (x1, y2), (x2, y1), (x2, y2)):
                if not any(inside(node, box) for box in self._solid + self._shy):
                    self._nodes.append(node)
        self._seen: Dict[Tuple[int, int], bool] = {}

    def _free(self, a: Point, b: Point, shy: Sequence[Box]) -> bool:
        return not any(hits(a, b, box) for box in self._solid) and not any(
            hits(a, b, box) for box in shy
        )

    def way(self, start: Point, end: Point) -> List[Point]:
        """Points to walk to one after the other, the last being `end` (Dijkstra, 1959).

        A place from which nothing is reachable straight is left straight.
        """
        shy = [b for b in self._shy if not inside(start, b) and not inside(end, b)]
        if self._free(start, end, shy):
            return [end]
        nodes = [start, end, *self._nodes]
        count = len(nodes)
        cost = [math.inf] * count
        before = [-1] * count
        done = [False] * count
        cost[0] = 0.0
        whole = len(shy) == len(self._shy)
        for _ in range(count):
            at = -1
            for k in range(count):
                if not done[k] and cost[k] < math.inf and (at < 0 or cost[k] < cost[at]):
                    at = k
            if at < 0 or at == 1:
                break
            done[at] = True
            for k in range(1, count):
                if done[k]:
                    continue
                total = cost[at] + distance(nodes[at], nodes[k])
                if total >= cost[k]:
                    continue
                if whole and at > 1 and k > 1:
                    key = (at, k)
                    if key not in self._seen:
                        self._seen[key] = self._free(nodes[at], nodes[k], shy)
                    free = self._seen[key]
                else:
                    free = self._free(nodes[at], nodes[k], shy)
                if free:
                    cost[k], before[k] = total, at
        if cost[1] == math.inf:
            return [end]
        way: List[Point] = []
        at = 1
        while at > 0:
            way.append(nodes[at])
            at = before[at]
        return way[::-1]

    def push_out(self, x: float, y: float) -> Point:
        """The nearest place outside all footprints, a body's breadth away."""
        for x1, y1, x2, y2 in self._solid:
            if x1 < x < x2 and y1 < y < y2:
                left, right, near, far = x - x1, x2 - x, y - y1, y2 - y
                least = min(left, right, near, far)
                if least == left:
                    x = x1
                elif least == right:
                    x = x2
                elif least == near:
                    y = y1
                else:
                    y = y2
        return x, y
