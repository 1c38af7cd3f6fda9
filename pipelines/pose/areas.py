"""Zones by name, asked about hands and arms."""

from typing import Dict, Mapping, Optional, Tuple

import numpy as np

from ..geometry import Point, Polygon


class Areas:
    """Zones in pixels of the stream.

    Args:
        zones: By name.
    """

    def __init__(self, zones: Optional[Mapping[str, Polygon]] = None) -> None:
        self._zones: Dict[str, Polygon] = dict(zones or {})
        self.names = list(self._zones)

    def holds(self, name: str, point: Point) -> bool:
        """Whether a point lies in a zone; one that is not known does not."""
        left, top, right, bottom = self._zones[name].bounds
        if not (left <= point[0] <= right and top <= point[1] <= bottom):
            return False
        return bool(self._zones[name].contains(np.array([point]))[0])

    def along(self, start: Point, end: Point) -> Optional[str]:
        """The nearest zone that the straight line from `start` through `end` meets from `end` on;
        None where it meets none."""
        way = end[0] - start[0], end[1] - start[1]
        nearest, best = None, float("inf")
        for name, polygon in self._zones.items():
            if self.holds(name, end):
                return name
            at = _meets(end, way, polygon)
            if at < best:
                nearest, best = name, at
        return nearest


def _meets(origin: Point, way: Tuple[float, float], polygon: Polygon) -> float:
    """How many times `way` a ray goes until it meets a polygon's edge; infinity if never."""
    ring = np.asarray(polygon.points, np.float64)
    edge = np.roll(ring, -1, axis=0) - ring
    to = ring - np.asarray(origin)
    denominator = way[0] * edge[:, 1] - way[1] * edge[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        ray = (to[:, 0] * edge[:, 1] - to[:, 1] * edge[:, 0]) / denominator
        share = (to[:, 0] * way[1] - to[:, 1] * way[0]) / denominator
    good = (ray >= 0) & (share >= 0) & (share <= 1) & (denominator != 0)
    return float(ray[good].min()) if good.any() else float("inf")
