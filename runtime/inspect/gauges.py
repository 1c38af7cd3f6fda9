"""Gauges: parts found as they lie, and what they measure, in millimetres with an uncertainty."""

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np

from ...core import DataError
from ...core.verdict import Reason, Verdict
from ..sources.base import load_cv2
from .camera import Camera
from .edges import Edges, curvature_shift, find_edges, fit_circle, fit_line

ROUND = 0.025  # share of the radius by which the outline of a round part may miss a circle
NEIGHBOURS = 1.4  # profiles a pixel apart share pixels: their misses are not independent
SYSTEMATIC_PX = 0.02  # what one fit cannot see of itself: sampling, the shape of the blur


class Measure(NamedTuple):
    """A value and half the width of the interval that holds the true one in 95 % of cases."""

    value: float
    uncertainty: float
    unit: str


@dataclass(frozen=True)
class MeasuredPart:
    """One part as it lies; lengths in mm with a camera, else in px.

    Attributes:
        shape: `round`, `rectangle` or `free`.
        xyxy: `(4,)` pixels around it.
        cut: Whether it touches the border of the picture.
        middle: `(2,)` where it lies.
        outline: `(n, 2)` of its edge.
        measures: By name: `diameter`, `radius` of round ones; `length`, `width`, `angle` (degrees,
            of the longer side, -90..90), `squareness` (degrees by which two sides miss a right
            angle) of rectangles; `area`, `holes` of all; `hole1_diameter`, `hole1_x`, `hole1_y`,
            … against the middle and along the longer side; `hole1_hole2_distance`.
    """

    shape: str
    xyxy: np.ndarray
    cut: bool
    middle: np.ndarray
    outline: np.ndarray
    measures: Dict[str, Measure] = field(default_factory=dict)


def _root(*parts: float) -> float:
    """Root of the sum of squares."""
    return math.sqrt(sum(part * part for part in parts))


class _Plane:
    """Pixels to lengths: through a camera, or as they are."""

    def __init__(self, camera: Optional[Camera], height: float) -> None:
        self.camera, self.height = camera, height
        self.unit = "px" if camera is None else "mm"
        self.relative = 0.0 if camera is None else camera.scale_uncertainty
        self.place = 0.0 if camera is None else camera.place_uncertainty

    def to_plane(self, pixels: np.ndarray) -> np.ndarray:
        pixels = np.asarray(pixels, float).reshape(-1, 2)
        if self.camera is None:
            return pixels
        result = np.full(pixels.shape, np.nan)
        good = np.isfinite(pixels).all(axis=1)
        result[good] = self.camera.to_mm(pixels[good], self.height)
        return result

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        return points if self.camera is None else self.camera.to_pixels(points, self.height)

    def scale(self, at: np.ndarray) -> float:
        """Lengths for one pixel there."""
        if self.camera is None:
            return 1.0
        return self.camera.mm_per_pixel(self.to_pixels(at.reshape(1, 2))[0], self.height)

    def edges(self, image: np.ndarray, at: np.ndarray, along: np.ndarray, reach: float) -> Edges:
        """Edges across a shape given on the plane."""
        pixel = self.scale(at.mean(axis=0))
        here = self.to_pixels(at)
        there = self.to_pixels(at + along * pixel)
        normal = there - here
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        edges = find_edges(image, here, normal, reach)
        # The sign that most profiles agree on is the part's; the others met something else.
        most = np.sign(np.nanmedian(edges.contrast)) if np.isfinite(edges.contrast).any() else 0
        return find_edges(image, here, normal, reach, int(most)) if most else edges


def segment(grey: np.ndarray) -> np.ndarray:
    """Parts against an even ground under uneven light, `(h, w)` uint8 0 or 255.

    The light is a quadratic surface fitted to the logarithm of the ground, which is what the
    border shows most of; found anew a few times, each time without what was taken for parts.

    Raises:
        DataError: Nothing stands out.
    """
    cv2 = load_cv2()
    factor = max(min(grey.shape) // 240, 1)
    small = cv2.resize(grey, (grey.shape[1] // factor, grey.shape[0] // factor),
                       interpolation=cv2.INTER_AREA)  # fmt: skip
    small = cv2.GaussianBlur(small, (5, 5), 0)
    log = np.log(small.astype(np.float64) + 4)
    rows, columns = log.shape
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    terms = np.stack((np.ones_like(x), x, y, x * x, x * y, y * y), axis=2)
    rim = np.zeros(log.shape, bool)
    edge = max(min(rows, columns) // 12, 2)
    rim[:edge] = rim[-edge:] = True
    rim[:, :edge] = rim[:, -edge:] = True
    ground = rim & (np.abs(log - np.median(log[rim])) < 0.7)
    flat, part = log, ~ground
    for _ in range(5):
        weights = np.linalg.lstsq(terms[ground], log[ground], rcond=None)[0]
        flat = log - terms @ weights
        sigma = 1.4826 * float(np.median(np.abs(flat[ground] - np.median(flat[ground])))) + 0.004
        far = np.abs(flat)
        # Halfway between the ground and what stands out of it most commonly.
        out = far > 6 * sigma
        if out.sum() < 20:
            raise DataError(
                "no part stands out from the ground",
                remedy="put a part in view, and give it light unlike the ground's",
            )
        level = max(0.5 * float(np.median(far[out])), 4 * sigma)
        part = far > level
        ground = ~cv2.dilate(part.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
        if ground.sum() < 0.05 * ground.size:
            raise DataError("the ground cannot be told from parts", remedy="leave room around them")
    mask = cv2.morphologyEx(part.astype(np.uint8) * 255, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    size = grey.shape[::-1]
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR)
    return cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)[1]


def measure_parts(
    image: np.ndarray,
    camera: Optional[Camera] = None,
    height: float = 0.0,
    least_area: float = 400.0,
) -> List[MeasuredPart]:
    """Find the parts in a picture, however they lie, and measure each.

    Args:
        image: `(h, w, 3)` uint8 BGR, or `(h, w)`.
        camera: For millimetres; without it lengths are in pixels and the lens is taken as it is.
        height: Millimetres of the measured edges above the plane: the thickness of the part.
        least_area: Pixels; what is smaller is dirt, and holes smaller than an eighth of it too.

    Raises:
        DataError: No part is in view, or the picture has another size than the camera's.
    """
    cv2 = load_cv2()
    if camera is not None and (image.shape[1], image.shape[0]) != camera.size:
        raise DataError(
            "the picture has another size than the calibrated camera's",
            got=f"{image.shape[1]} x {image.shape[0]}",
            expected=f"{camera.size[0]} x {camera.size[1]}",
        )
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    mask = segment(grey)
    found = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    contours, tree = found[0], np.asarray(found[1]).reshape(-1, 4)
    plane = _Plane(camera, height)
    soft = grey.astype(np.float32)
    parts = []
    for k, contour in enumerate(contours):
        if tree[k][3] >= 0 or cv2.contourArea(contour) < least_area:
            continue
        inside = [
            contours[j].reshape(-1, 2).astype(float)
            for j in range(len(contours))
            if tree[j][3] == k and cv2.contourArea(contours[j]) > least_area / 8
        ]
        parts.append(_part(soft, contour.reshape(-1, 2).astype(float), inside, plane))
    if not parts:
        raise DataError("no part is in view", remedy=f"parts have at least {least_area:g} px")
    return parts


def _part(
    image: np.ndarray, contour: np.ndarray, holes: List[np.ndarray], plane: _Plane
) -> MeasuredPart:
    low, high = contour.min(axis=0), contour.max(axis=0) + 1
    size = np.array(image.shape[::-1])
    cut = bool((low <= 1).any() or (high >= size - 1).any())
    rough = plane.to_plane(contour)
    measures: Dict[str, Measure] = {"holes": Measure(float(len(holes)), 0.0, "")}
    box = np.concatenate((low, high))
    shape, middle, angle = "free", rough.mean(axis=0), 0.0
    outline = rough
    circle = fit_circle(rough, plane.scale(middle))
    misses = np.inf
    if circle is not None:
        away = np.hypot(*(rough - circle.values[:2]).T) - circle.values[2]
        misses = float(np.percentile(np.abs(away), 95)) - 1.5 * plane.scale(middle)
    if circle is not None and misses < ROUND * circle.values[2]:
        fitted = _circle(image, circle.values, plane)
        if fitted is not None:
            shape = "round"
            middle, outline, diameter, _ = fitted
            measures["diameter"] = diameter
            measures["radius"] = Measure(diameter.value / 2, diameter.uncertainty / 2, plane.unit)
            area = math.pi / 4 * diameter.value**2
            spread = math.pi / 2 * diameter.value * diameter.uncertainty
            measures["area"] = Measure(area, spread, plane.unit + "2")
    if shape == "free":
        sides = _rectangle(image, rough, plane)
        if sides is not None:
            shape = "rectangle"
            middle, angle, outline, more = sides
            measures.update(more)
        if shape == "free" or "area" not in measures:
            outline, measures["area"] = _outline(image, rough, plane)
            if shape == "free":
                middle = _centroid(outline)
    centres: List[Tuple[np.ndarray, float]] = []
    c, s = math.cos(angle), math.sin(angle)
    fits = [fit_circle(plane.to_plane(hole), plane.scale(middle)) for hole in holes]
    exact = [None if f is None else _circle(image, f.values, plane) for f in fits]
    frame = np.array([[c, -s], [s, c]])
    ordered = sorted(
        (e for e in exact if e is not None), key=lambda e: tuple(((e[0] - middle) @ frame).round(3))
    )
    for number, (centre, _, diameter, spread) in enumerate(ordered, 1):
        at = (centre - middle) @ frame
        measures[f"hole{number}_diameter"] = diameter
        measures[f"hole{number}_x"] = Measure(float(at[0]), 1.5 * spread, plane.unit)
        measures[f"hole{number}_y"] = Measure(float(at[1]), 1.5 * spread, plane.unit)
        for other, (before, before_spread) in enumerate(centres, 1):
            apart = float(np.linalg.norm(centre - before))
            doubt = _root(spread, before_spread, plane.relative * apart)
            name = f"hole{other}_hole{number}_distance"
            measures[name] = Measure(apart, doubt, plane.unit)
        centres.append((centre, spread))
    return MeasuredPart(shape, box, cut, middle, outline, measures)


def _circle(
    image: np.ndarray, rough: np.ndarray, plane: _Plane
) -> Optional[Tuple[np.ndarray, np.ndarray, Measure, float]]:
    """Middle, edge, diameter and uncertainty of the middle, from a rough circle."""
    values = rough
    points, fit, blur, pixel = np.zeros((0, 2)), None, 0.0, plane.scale(rough[:2])
    for reach in (6.0, 4.0):
        around = 2 * math.pi * values[2] / pixel
        count = int(np.clip(around, 16, 480))
        turn = np.arange(count) * (2 * math.pi / count)
        ray = np.stack((np.cos(turn), np.sin(turn)), axis=1)
        limit = min(reach, 0.6 * values[2] / pixel)
        edges = plane.edges(image, values[:2] + values[2] * ray, ray, limit)
        points = plane.to_plane(edges.xy)
        fit = fit_circle(points, 0.02 * pixel)
        if fit is None or fit.used.sum() < 0.35 * count or not fit.values[2] > 0:
            return None
        values = fit.values
        blur = float(np.nanmedian(edges.blur[fit.used]))
    assert fit is not None
    inward = float(curvature_shift(blur * pixel, values[2]))
    diameter = 2 * (values[2] + inward)
    fixed = SYSTEMATIC_PX * pixel
    own = 2 * math.sqrt(fit.covariance[2, 2]) * 2 * NEIGHBOURS
    doubt = _root(own, 2 * fixed, plane.relative * diameter, 0.6 * inward, plane.place)
    own = 2 * math.sqrt(max(fit.covariance[0, 0], fit.covariance[1, 1]))
    place = _root(own, fixed, plane.place)
    return values[:2], points[fit.used], Measure(diameter, doubt, plane.unit), place


def _rectangle(
    image: np.ndarray, rough: np.ndarray, plane: _Plane
) -> Optional[Tuple[np.ndarray, float, np.ndarray, Dict[str, Measure]]]:
    """Middle, angle of the longer side in radians, edge points, measures; None if it is none."""
    cv2 = load_cv2()
    origin = rough.mean(axis=0)
    pixel = plane.scale(origin)
    scaled = ((rough - origin) / pixel).astype(np.float32)
    (x, y), (w, h), turn = cv2.minAreaRect(scaled)
    if min(w, h) < 8 or cv2.contourArea(scaled) < 0.85 * w * h:
        return None
    if w < h:
        w, h, turn = h, w, turn + 90
    angle = math.radians(turn)
    u = np.array([math.cos(angle), math.sin(angle)])
    v = np.array([-u[1], u[0]])
    middle = origin + np.array([x, y]) * pixel
    sides, points = [], []
    for across, along, half, extent in ((v, u, h / 2, w), (-v, u, h / 2, w), (u, v, w / 2, h),
                                        (-u, v, w / 2, h)):  # fmt: skip
        count = int(np.clip(0.8 * extent, 6, 480))
        t = np.linspace(-0.4, 0.4, count) * extent
        at = middle + (half * across + t[:, None] * along) * pixel
        edges = plane.edges(image, at, np.tile(across, (count, 1)), min(6.0, 0.4 * h))
        found = plane.to_plane(edges.xy)
        fit = fit_line(found, 0.02 * pixel)
        if fit is None or fit.used.sum() < 0.5 * count or fit.spread > 0.02 * h * pixel:
            return None
        sides.append(fit)
        points.append(found[fit.used])

    def between(a: Any, b: Any) -> Measure:
        direction = np.array([math.cos(a.values[2]), math.sin(a.values[2])])
        other = np.array([math.cos(b.values[2]), math.sin(b.values[2])])
        direction = direction + other * np.sign(direction @ other)
        direction /= np.linalg.norm(direction)
        across = np.array([-direction[1], direction[0]])
        value = abs(float((a.values[:2] - b.values[:2]) @ across))
        own = sum(float(across @ f.covariance[:2, :2] @ across) for f in (a, b))
        fixed = SYSTEMATIC_PX * pixel * math.sqrt(2)
        doubt = _root(
            2 * NEIGHBOURS * math.sqrt(own),
            fixed,
            plane.relative * value,
            math.sqrt(2) * plane.place,
        )
        return Measure(value, doubt, plane.unit)

    width, length = between(sides[0], sides[1]), between(sides[2], sides[3])
    bearing = 0.5 * (
        math.remainder(sides[0].values[2] - angle, math.pi)
        + math.remainder(sides[1].values[2] - angle, math.pi)
    )
    own = 0.25 * (sides[0].covariance[2, 2] + sides[1].covariance[2, 2])
    fixed = (SYSTEMATIC_PX + plane.place / pixel) / max(w, 1)
    exact = angle + bearing
    doubt = math.degrees(math.hypot(2 * math.sqrt(own), fixed))
    cross = 0.5 * (
        math.remainder(sides[2].values[2] - exact - math.pi / 2, math.pi)
        + math.remainder(sides[3].values[2] - exact - math.pi / 2, math.pi)
    )
    cross_own = 0.25 * (sides[2].covariance[2, 2] + sides[3].covariance[2, 2])
    cross_doubt = math.degrees(
        math.hypot(2 * math.sqrt(own + cross_own), SYSTEMATIC_PX / max(h, 1))
    )
    degrees = math.degrees(math.remainder(exact, math.pi))
    measures = {
        "length": length, "width": width, "angle": Measure(degrees, doubt, "degrees"),
        "squareness": Measure(abs(math.degrees(cross)), cross_doubt, "degrees"),
    }  # fmt: skip
    u = np.array([math.cos(exact), math.sin(exact)])
    v = np.array([-u[1], u[0]])
    along = 0.5 * float((sides[2].values[:2] + sides[3].values[:2]) @ u)
    across = 0.5 * float((sides[0].values[:2] + sides[1].values[:2]) @ v)
    return along * u + across * v, exact, np.concatenate(points), measures


def _outline(image: np.ndarray, rough: np.ndarray, plane: _Plane) -> Tuple[np.ndarray, Measure]:
    """The edge all around and the area within."""
    pixel = plane.scale(rough.mean(axis=0))
    step = max(len(rough) // 240, 2)
    pad = np.concatenate((rough[-6:], rough, rough[:6]))
    smooth = np.stack([np.convolve(pad[:, k], np.ones(9) / 9, "same") for k in (0, 1)], axis=1)
    tangent = (smooth[8:-4] - smooth[4:-8])[::step]
    at = rough[::step]
    normal = np.stack((tangent[:, 1], -tangent[:, 0]), axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    found = plane.to_plane(plane.edges(image, at, normal, 4.0).xy)
    missing = ~np.isfinite(found).all(axis=1)
    found[missing] = at[missing]
    x, y = found.T
    area = 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
    around = float(np.linalg.norm(found - np.roll(found, 1, axis=0), axis=1).sum())
    miss = (0.08 + 0.7 * float(missing.mean())) * pixel
    doubt = math.hypot(around * miss, 2 * plane.relative * area)
    return found, Measure(area, doubt, plane.unit + "2")


def _centroid(polygon: np.ndarray) -> np.ndarray:
    after = np.roll(polygon, -1, axis=0)
    cross = polygon[:, 0] * after[:, 1] - polygon[:, 1] * after[:, 0]
    total = float(cross.sum())
    if abs(total) < 1e-9:
        return polygon.mean(axis=0)
    return ((polygon + after) * cross[:, None]).sum(axis=0) / (3 * total)


Limits = Mapping[str, Tuple[Optional[float], Optional[float]]]


def judge_parts(parts: List[MeasuredPart], limits: Limits, count: int = 1) -> Verdict:
    """The verdict on parts in one picture.

    Args:
        parts: What was measured.
        limits: By name of the measure, the least and the most that is good; None for no limit.
        count: How many parts there must be.

    Returns:
        Unsure for another number of parts, a part that the border cuts, and a measure that was not
        found.
    """
    reasons: List[Reason] = []
    for number, part in enumerate(parts, 1):
        before = "" if count == 1 else f"part{number}_"
        for name, (low, high) in limits.items():
            measure = part.measures.get(name)
            if measure is None:
                text = f"a {part.shape} part has no {name} that could be measured"
                reasons.append(Reason(before + name, None, low, high, text=text))
            else:
                value, doubt, unit = measure
                reasons.append(Reason(before + name, value, low, high, doubt, unit))
    whole = float(sum(part.cut for part in parts))
    reasons += [
        Reason("parts", float(len(parts)), count, count, condition=True, text="parts in view"),
        Reason("cut", whole, high=0, condition=True, text="parts that the border cuts"),
    ]
    return Verdict.of(reasons)
