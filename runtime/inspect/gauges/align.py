"""Where a part lies and how it is turned, from its outline and its holes."""

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from ....core import DataError
from ...sources.base import load_cv2
from .edges import fit_circle
from .features import (
    Line,
    NotFound,
    find_circle,
    find_line,
    find_outline,
    polygon_area,
    polygon_middle,
)
from .plane import Plane, Pose
from .segment import Blob

ROUND = 0.025  # share of the radius by which the outline of a round part may miss a circle
TURNS = 72  # turns that a taught outline is tried in
FEW = 3  # steps of a fit that do for where a part lies
CORNERS = 240  # points of a taught outline


@dataclass(frozen=True)
class Lying:
    """A part as it lies.

    Attributes:
        shape: `round`, `rectangle` or `free`.
        pose: Where and how it lies.
        outline: `(n, 2)` of its edge on the plane, to a part of a pixel.
        missing: Share of the outline where no sharp edge was found.
        holes: `(m, 3)` rough middles on the plane and diameters of its holes.
        blur: Pixels by which its edge is blurred; NaN where none was found.
        sides: Its four sides, the two longer ones first; of rectangles alone.
        doubt: 95 % half width of the place of its origin along one axis.
        misses: Robust mean distance from the taught outline; NaN without one.
        lens: Blur of the sharpest stretch of its outline, pixels.
    """

    shape: str
    pose: Pose
    outline: np.ndarray
    missing: float
    holes: np.ndarray
    blur: float
    sides: Tuple[Line, ...] = ()
    doubt: float = 0.0
    misses: float = math.nan
    lens: float = math.nan


@dataclass(frozen=True)
class Shape:
    """What a good part looks like, in its own coordinates.

    Attributes:
        kind: `round`, `rectangle` or `free`.
        outline: `(n, 2)` lengths.
        holes: `(m, 3)` middles and diameters.
    """

    kind: str
    outline: np.ndarray
    holes: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))

    @classmethod
    def of(cls, taught: Mapping[str, Any]) -> Optional["Shape"]:
        """From what a recipe keeps; None where nothing was taught.

        Raises:
            DataError: It is damaged.
        """
        if "outline" not in taught:
            return None
        try:
            outline = np.array(taught["outline"], float).reshape(-1, 2)
            holes = np.array(taught.get("holes", ()), float).reshape(-1, 3)
            if len(outline) < 8 or not np.isfinite(outline).all():
                raise ValueError(len(outline))
        except (ValueError, TypeError):
            raise DataError("the taught outline is damaged", remedy="teach it again") from None
        return cls(str(taught.get("shape", "free")), outline, holes)

    @property
    def area(self) -> float:
        """Within its outline."""
        return polygon_area(self.outline)

    def features(self, spacing: float) -> np.ndarray:
        """Points on its outline and holes, not further apart than `spacing`."""
        pieces = [resample(self.outline, max(int(perimeter(self.outline) / spacing), 60))]
        pieces += [_ring(hole, max(int(math.pi * hole[2] / spacing), 12)) for hole in self.holes]
        return np.concatenate(pieces)

    @property
    def turns(self) -> bool:
        """Whether it matters how it is turned."""
        if self.kind != "round":
            return True
        if not len(self.holes):
            return False
        radius = float(np.abs(self.outline).max())
        return bool((np.hypot(self.holes[:, 0], self.holes[:, 1]) > 0.05 * radius).any())


def perimeter(points: np.ndarray) -> float:
    """Length of a closed line."""
    return float(np.linalg.norm(points - np.roll(points, -1, axis=0), axis=1).sum())


def resample(points: np.ndarray, count: int) -> np.ndarray:
    """`(count, 2)` points evenly along a closed line `(n, 2)`."""
    closed = np.concatenate((points, points[:1]))
    along = np.concatenate(((0.0,), np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))))
    at = np.arange(count) * (along[-1] / count)
    return np.stack([np.interp(at, along, closed[:, k]) for k in (0, 1)], axis=1)


def _ring(hole: np.ndarray, count: int) -> np.ndarray:
    turn = np.arange(count) * (2 * math.pi / count)
    return hole[:2] + 0.5 * hole[2] * np.stack((np.cos(turn), np.sin(turn)), axis=1)


def lie(
    image: np.ndarray, plane: Plane, blob: Blob, shape: Optional[Shape] = None, factor: int = 1
) -> Lying:
    """Where a part lies: by itself, or as the taught part would.

    By itself its origin is its middle and its x runs along its longer side; holes that lie to one
    side lie towards +x.

    Args:
        image: `(h, w)` float32 grey levels.
        plane: What parts lie on.
        blob: The part, roughly.
        shape: The taught part, to whose coordinates this one's are to fit.
        factor: How coarse the blob is, in pixels.
    """
    rough = plane.to_plane(blob.contour)
    pixel = plane.scale(rough.mean(axis=0))
    outline, missing, blur, lens = find_outline(image, plane, blob.contour, 3.0 + 2.0 * factor)
    holes = _rough_holes(plane, blob)
    kind, middle, angle, doubt = "free", polygon_middle(outline), 0.0, 0.1 * pixel
    sides: Tuple[Line, ...] = ()
    circle = _as_circle(image, plane, rough, pixel)
    if circle is not None:
        kind, middle, doubt = "round", circle[0], circle[1]
    else:
        sides = find_sides(image, plane, rough)
        if sides:
            kind = "rectangle"
            middle, angle = _of_sides(sides)
            doubt = max(side.doubt for side in sides)
        else:
            angle = _principal(outline, middle)
    if len(holes) and kind != "round":
        away = (holes[:, :2] - middle) @ (math.cos(angle), math.sin(angle))
        if away.sum() < -0.02 * float(np.ptp(outline, axis=0).max()):
            angle = math.remainder(angle + math.pi, 2 * math.pi)
    found = Lying(kind, Pose(middle, angle), outline, missing, holes, blur, sides, doubt, lens=lens)
    return found if shape is None else _fit_shape(found, shape, pixel)


def _rough_holes(plane: Plane, blob: Blob) -> np.ndarray:
    rows = []
    for hole in blob.holes:
        points = plane.to_plane(hole)
        fit = fit_circle(points, plane.scale(points.mean(axis=0)))
        if fit is not None:
            rows.append((*fit.values[:2], 2 * fit.values[2]))
    return np.array(rows, float).reshape(-1, 3)


def _as_circle(
    image: np.ndarray, plane: Plane, rough: np.ndarray, pixel: float
) -> Optional[Tuple[np.ndarray, float]]:
    """Middle of a round part and what it may be off by; None where it is not round."""
    fit = fit_circle(rough, pixel)
    if fit is None:
        return None
    away = np.abs(np.hypot(*(rough - fit.values[:2]).T) - fit.values[2])
    if float(np.percentile(away, 90)) - 1.5 * pixel > ROUND * fit.values[2]:
        return None
    try:
        circle = find_circle(image, plane, fit.values[:2], 2 * fit.values[2], False, turns=FEW)
    except NotFound:
        return fit.values[:2], 0.3 * pixel
    return circle.middle, circle.place_doubt


def find_sides(image: np.ndarray, plane: Plane, rough: np.ndarray) -> Tuple[Line, ...]:
    """The sides of a rectangle, the two longer ones first; none where it is no rectangle.

    Args:
        image: `(h, w)` float32.
        plane: Where it lies.
        rough: `(n, 2)` of its outline on the plane.
    """
    cv2 = load_cv2()
    origin = rough.mean(axis=0)
    pixel = plane.scale(origin)
    scaled = ((rough - origin) / pixel).astype(np.float32)
    (x, y), (w, h), turn = cv2.minAreaRect(scaled)
    if min(w, h) < 8 or cv2.contourArea(scaled) < 0.85 * w * h:
        return ()
    if w < h:
        w, h, turn = h, w, turn + 90
    angle = math.radians(turn)
    u = np.array([math.cos(angle), math.sin(angle)])
    v = np.array([-u[1], u[0]])
    middle = origin + np.array([x, y]) * pixel
    sides = []
    for across, along, half, extent in (
        (v, u, h / 2, w), (-v, u, h / 2, w), (u, v, w / 2, h), (-u, v, w / 2, h),
    ):  # fmt: skip
        at = middle + half * across * pixel
        end = 0.38 * extent * along * pixel
        try:
            sides.append(find_line(image, plane, at - end, at + end, across, turns=FEW))
        except NotFound:
            return ()
    return tuple(sides)


def _of_sides(sides: Tuple[Line, ...]) -> Tuple[np.ndarray, float]:
    """Middle and angle of a rectangle, the angle mostly by its longer sides."""
    first = sides[0].angle
    angle = first + 0.5 * math.remainder(sides[1].angle - first, math.pi)
    u = np.array([math.cos(angle), math.sin(angle)])
    v = np.array([-u[1], u[0]])
    along = 0.5 * float((sides[2].middle + sides[3].middle) @ u)
    across = 0.5 * float((sides[0].middle + sides[1].middle) @ v)
    return along * u + across * v, math.remainder(angle, math.pi)


def _principal(outline: np.ndarray, middle: np.ndarray) -> float:
    """Radians of the longer axis, towards the heavier end."""
    away = resample(outline, 400) - middle
    vectors = np.linalg.eigh(away.T @ away)[1]
    axis = vectors[:, 1]
    along = away @ axis
    if (along**3).sum() < 0:
        axis = -axis
    return math.atan2(axis[1], axis[0])


def _fit_shape(found: Lying, shape: Shape, pixel: float) -> Lying:
    """The same part in the coordinates of the taught one."""
    from scipy.spatial import KDTree

    spacing = max(0.75 * pixel, perimeter(shape.outline) / 1500)
    model = shape.features(spacing)
    tree = KDTree(model)
    pieces = [resample(found.outline, 160)]
    pieces += [_ring(hole, 24) for hole in found.holes]
    seen = np.concatenate(pieces)
    middle = found.pose.middle
    if shape.kind == "free" or found.shape != shape.kind:
        middle = polygon_middle(found.outline) - 0.0
        away = polygon_middle(shape.outline)
    else:
        away = np.zeros(2)
    starts: List[Tuple[float, float]] = []
    if not shape.turns or found.shape == shape.kind == "rectangle":
        starts = [(0.0, 0.0)]
    else:
        turns = found.pose.angle + np.arange(TURNS) * (2 * math.pi / TURNS)
        worth = np.zeros(TURNS)
        for k, turn in enumerate(turns):
            pose = _pose_about(middle, away, turn)
            distance = tree.query(pose.to_part(seen))[0]
            worth[k] = float(np.minimum(distance, 20 * pixel).mean())
        best = [k for k in range(TURNS) if worth[k] <= min(worth[k - 1], worth[(k + 1) % TURNS])]
        starts = sorted((float(worth[k]), float(turns[k])) for k in best)[:6]
    poses = []
    if found.shape == shape.kind == "rectangle":
        # Its sides say where it lies, whatever its size; what is left is which way round.
        ways = 4 if _square(shape.outline) else 2
        for k in range(ways):
            pose = Pose(middle, found.pose.angle + k * (2 * math.pi / ways))
            distance = tree.query(pose.to_part(seen))[0]
            poses.append((pose, float(np.minimum(distance, 20 * pixel).mean())))
    else:
        for _, turn in starts:
            pose = _pose_about(middle, away, turn)
            poses.append(_closest(seen, model, tree, pose, pixel, shape.turns))
    least = min(miss for _, miss in poses)
    # Of turns that look alike, as of a symmetric part, the one nearest to none.
    alike = [p for p, miss in poses if miss <= 1.15 * least + 0.05 * pixel]
    pose = min(alike, key=lambda p: round(abs(math.remainder(p.angle, 2 * math.pi)), 6))
    if found.shape == shape.kind == "round":
        pose = Pose(found.pose.middle, pose.angle if shape.turns else 0.0)
    pose = Pose(pose.middle, math.remainder(pose.angle, 2 * math.pi))
    return Lying(
        found.shape, pose, found.outline, found.missing, found.holes, found.blur, found.sides,
        max(found.doubt, 0.05 * pixel), least, found.lens,
    )  # fmt: skip


def _square(outline: np.ndarray) -> bool:
    """Whether the longer side can be taken for the shorter one."""
    low, high = sorted(float(v) for v in np.ptp(outline, axis=0))
    return high < 1.1 * low


def _pose_about(middle: np.ndarray, away: np.ndarray, turn: float) -> Pose:
    pose = Pose(np.zeros(2), turn)
    return Pose(middle - pose.turn @ away, turn)


def _closest(
    seen: np.ndarray, model: np.ndarray, tree: Any, pose: Pose, pixel: float, turns: bool
) -> Tuple[Pose, float]:
    """The pose that lays points onto the model, by iterated closest points with Tukey's weights."""
    miss = math.inf
    for _ in range(25):
        at = pose.to_part(seen)
        distance, index = tree.query(at)
        spread = max(1.4826 * float(np.median(distance)), 0.3 * pixel)
        weight = np.clip(1 - (distance / (4.7 * spread)) ** 2, 0, None) ** 2
        total = float(weight.sum())
        here = (at * weight[:, None]).sum(axis=0) / total
        there = (model[index] * weight[:, None]).sum(axis=0) / total
        a, b = at - here, model[index] - there
        turn = 0.0
        if turns:
            cross = float((weight * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])).sum())
            turn = math.atan2(cross, float((weight * (a * b).sum(axis=1)).sum()))
        miss = float(np.minimum(distance, 4.7 * spread).mean())
        # part' = R(turn) (part - here) + there; the pose that gives part' instead of part.
        after = Pose(np.zeros(2), pose.angle - turn)
        pose = Pose(pose.to_plane(here)[0] - after.turn @ there, after.angle)
        if abs(turn) < 1e-6 and float(np.abs(here - there).max()) < 1e-4 * pixel:
            break
    return pose, miss


def signed_misses(points: np.ndarray, outline: np.ndarray, spacing: float) -> np.ndarray:
    """How far each point lies outside a closed outline; negative inside.

    Args:
        points: `(n, 2)` in the outline's coordinates.
        outline: `(m, 2)`.
        spacing: Of the points that the outline is broken into.
    """
    from scipy.spatial import KDTree

    dense = resample(outline, max(int(perimeter(outline) / spacing), 200))
    index = KDTree(dense).query(points)[1]
    tangent = np.roll(dense, -1, axis=0) - np.roll(dense, 1, axis=0)
    x, y = dense.T
    area = float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))
    normal = np.stack((tangent[:, 1], -tangent[:, 0]), axis=1) * np.sign(area)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    away = points - dense[index]
    across = (away * normal[index]).sum(axis=1)
    length = np.hypot(away[:, 0], away[:, 1])
    # Beside a corner the nearest point is the corner itself.
    return np.where(length > 1.5 * spacing, np.sign(across) * length, across)


def as_taught(shape: Shape) -> Dict[str, Any]:
    """Plain values for a recipe."""
    return {
        "shape": shape.kind,
        "outline": [[round(float(v), 4) for v in row] for row in shape.outline],
        "holes": [[round(float(v), 4) for v in row] for row in shape.holes],
    }
