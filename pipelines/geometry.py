"""Lines and areas in the picture, and where points stand to them.

Pixels, y pointing down. Everything that is asked often takes arrays.
"""

from dataclasses import dataclass, field
from typing import Sequence, Tuple

import numpy as np

from ..core import ConfigError

Point = Tuple[float, float]


def foot_points(xyxy: np.ndarray) -> np.ndarray:
    """Where people stand: the bottom centre of each box `(n, 4)`, as `(n, 2)` float64."""
    boxes = np.asarray(xyxy, dtype=np.float64)
    return np.stack(((boxes[:, 0] + boxes[:, 2]) * 0.5, boxes[:, 3]), axis=1)


def cross(ax, ay, bx, by):
    """z of the cross product of two plane vectors; above 0 where b lies clockwise of a (y down)."""
    return ax * by - ay * bx


def segments_intersect(a, b, c, d) -> np.ndarray:
    """Whether the segments a–b and c–d share a point; touching and overlapping count.

    Args:
        a: `(…, 2)` points; all four broadcast against each other.
        b: The other end of the first segment.
        c: One end of the second segment.
        d: The other end of the second segment.

    Returns:
        `(…)` bool.
    """
    a, b, c, d = (np.asarray(p, dtype=np.float64) for p in (a, b, c, d))

    def turn(p, q, r):
        side = cross(
            q[..., 0] - p[..., 0],
            q[..., 1] - p[..., 1],
            r[..., 0] - p[..., 0],
            r[..., 1] - p[..., 1],
        )
        return np.sign(side)

    apart = (turn(a, b, c) * turn(a, b, d) > 0) | (turn(c, d, a) * turn(c, d, b) > 0)
    # Segments on one straight line have no turns at all: there the boxes around them decide.
    low1, high1 = np.minimum(a, b), np.maximum(a, b)
    low2, high2 = np.minimum(c, d), np.maximum(c, d)
    boxes_meet = ((low1 <= high2) & (low2 <= high1)).all(axis=-1)
    return ~apart & boxes_meet


def _point(value, what: str) -> Point:
    try:
        x, y = (float(v) for v in value)
    except (TypeError, ValueError):
        raise ConfigError(f"{what} is no point", got=repr(value), expected="[x, y]") from None
    if not (np.isfinite(x) and np.isfinite(y)):
        raise ConfigError(f"{what} is not finite", got=[x, y], expected="[x, y] in pixels")
    return x, y


@dataclass(frozen=True)
class Line:
    """A straight counting line with a direction.

    Whoever passes to the right-hand side of someone standing at `start` and looking to `end`
    goes `in`; the other way is `out`.

    Attributes:
        start: `(x, y)` in pixels of the stream; `from` in a config.
        end: `(x, y)` in pixels of the stream; `to` in a config.

    Raises:
        ConfigError: A point is not finite, or the line has no length.
    """

    start: Point
    end: Point

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", _point(self.start, "the start of a line"))
        object.__setattr__(self, "end", _point(self.end, "the end of a line"))
        if self.length < 1e-6:
            raise ConfigError(
                "a line has no length",
                got=f"from {list(self.start)} to {list(self.end)}",
                expected="two different points",
                remedy="draw it from one side of the passage to the other",
            )

    @property
    def length(self) -> float:
        """Pixels from start to end."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))

    def side(self, points: np.ndarray) -> np.ndarray:
        """Signed distance in pixels of points `(n, 2)`; above 0 on the `in` side. `(n,)`."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        x, y = points[:, 0] - self.start[0], points[:, 1] - self.start[1]
        return cross(dx, dy, x, y) / self.length

    def along(self, points: np.ndarray) -> np.ndarray:
        """Pixels from the start, along the line, of points `(n, 2)`. `(n,)`."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        x, y = points[:, 0] - self.start[0], points[:, 1] - self.start[1]
        return (dx * x + dy * y) / self.length

    def scaled(self, factor_x: float, factor_y: float) -> "Line":
        """The same line in a picture of another size."""
        (x1, y1), (x2, y2) = self.start, self.end
        return Line((x1 * factor_x, y1 * factor_y), (x2 * factor_x, y2 * factor_y))


@dataclass(frozen=True)
class Polygon:
    """A simple polygon: an area of the picture whose edge does not cross itself.

    It may be given open or closed (the first point again at the end), in either sense of rotation.

    Attributes:
        points: Three or more `(x, y)` in pixels of the stream.

    Raises:
        ConfigError: A point is not finite, fewer than three differ, the edge crosses or touches
            itself, or there is no area.
    """

    points: Sequence[Point]
    _edges: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            given = list(self.points)
        except TypeError:
            raise ConfigError(
                "a polygon is no list of points", got=repr(self.points), expected="[[x, y], …]"
            ) from None
        points = [_point(p, f"point {i + 1} of a polygon") for i, p in enumerate(given)]
        # A point drawn twice in a row, or the first one again at the end, says nothing new.
        points = [p for i, p in enumerate(points) if i == 0 or p != points[i - 1]]
        if len(points) > 1 and points[0] == points[-1]:
            points.pop()
        if len(points) < 3:
            raise ConfigError(
                "a polygon has too few points",
                got=f"{len(points)} different",
                expected="at least 3",
            )
        object.__setattr__(self, "points", tuple(points))
        ring = np.asarray(points, dtype=np.float64)
        following = np.roll(ring, -1, axis=0)
        self._check_simple(ring, following)
        if self.area < 1e-9:
            raise ConfigError("a polygon has no area", got=[list(p) for p in points])
        object.__setattr__(self, "_edges", np.concatenate((ring, following), axis=1))

    @staticmethod
    def _check_simple(ring: np.ndarray, following: np.ndarray) -> None:
        n = len(ring)
        first, second = np.triu_indices(n, k=1)
        adjacent = (second == first + 1) | ((first == 0) & (second == n - 1))
        bad = ~adjacent & segments_intersect(
            ring[first], following[first], ring[second], following[second]
        )
        if bad.any():
            k = int(np.flatnonzero(bad)[0])
            i, j = int(first[k]), int(second[k])
            raise ConfigError(
                "a polygon crosses itself",
                got=f"edge {i + 1} ({ring[i].tolist()} to {following[i].tolist()}) meets "
                f"edge {j + 1} ({ring[j].tolist()} to {following[j].tolist()})",
                remedy="list its corners in the order in which you would walk round it",
            )
        # Neighbouring edges share a corner; they overlap only where the second turns straight back.
        ahead, onward = following - ring, np.roll(following, -1, axis=0) - following
        back = (cross(ahead[:, 0], ahead[:, 1], onward[:, 0], onward[:, 1]) == 0) & (
            (ahead * onward).sum(axis=1) < 0
        )
        if back.any():
            corner = following[int(np.flatnonzero(back)[0])].tolist()
            raise ConfigError(
                "a polygon crosses itself", got=f"its edge turns straight back at {corner}"
            )

    @property
    def area(self) -> float:
        """Square pixels (the shoelace formula)."""
        x, y = np.asarray(self.points, dtype=np.float64).T
        x, y = x - x[0], y - y[0]  # keeps small areas far from the origin exact
        return float(abs(cross(x, y, np.roll(x, -1), np.roll(y, -1)).sum()) * 0.5)

    @property
    def bounds(self) -> Tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels."""
        x, y = np.asarray(self.points, dtype=np.float64).T
        return float(x.min()), float(y.min()), float(x.max()), float(y.max())

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Whether points `(n, 2)` lie inside, `(n,)` bool.

        By the even-odd rule. Of an edge that two polygons share, each point belongs to one of
        them; points that are not finite lie outside.
        """
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        x, y = points[:, :1], points[:, 1:]
        x1, y1, x2, y2 = self._edges.T
        spans = (y1 <= y) != (y2 <= y)
        rise = np.where(y2 == y1, 1.0, y2 - y1)  # level edges never span
        with np.errstate(invalid="ignore", over="ignore"):
            right = x < x1 + (y - y1) * ((x2 - x1) / rise)
        return (np.count_nonzero(spans & right, axis=1) & 1).astype(bool)

    def scaled(self, factor_x: float, factor_y: float) -> "Polygon":
        """The same area in a picture of another size."""
        return Polygon([(x * factor_x, y * factor_y) for x, y in self.points])
