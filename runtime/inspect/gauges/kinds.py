"""What each kind of gauge measures on a part whose place is known."""

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from ...sources.base import load_cv2
from .align import Lying, Shape, signed_misses
from .colour import ciede2000, colour_of
from .edges import fit_circle
from .features import Circle, Line, NotFound, ends, find_circle, find_line, polygon_area
from .forms import Placed, TaughtForm, circle_edge, line_edge, taught_form
from .plane import Plane
from .settings import PART, Gauge, expected_size

WRONG = 0.2  # share of a width by which a part of a wrong size may be off

Feature = Union[Circle, Line]


class Measure(NamedTuple):
    """A value and half the width of the interval that holds the true one in 95 % of cases."""

    value: float
    uncertainty: float
    unit: str


@dataclass
class Sight:
    """One part in one picture, and what was found on it so far.

    Attributes:
        grey: `(h, w)` float32.
        image: `(h, w, 3)` uint8 BGR.
        plane: What the part lies on.
        lying: Where it lies.
        mask: `(h, w)` bool: its face, without holes.
        shape: The taught part, or None.
        card: What sets colours right (`lab` of pixels), or None.
        count: How many parts are in view.
        features: Circles and lines by name of the gauge.
        drawn: Places in the picture to be drawn, `(n, 2)` pixels each, by name of the gauge.
    """

    grey: np.ndarray
    image: np.ndarray
    plane: Plane
    lying: Lying
    mask: np.ndarray
    shape: Optional[Shape]
    card: Any = None
    count: int = 1
    features: Dict[str, Feature] = field(default_factory=dict)
    drawn: Dict[str, List[np.ndarray]] = field(default_factory=dict)

    def pixel(self, at: np.ndarray) -> float:
        """Lengths for one pixel."""
        return self.plane.scale(at)

    def on_face(self, points: np.ndarray) -> float:
        """Share of places `(n, 2)` on the plane that lie on the part's face."""
        pixels = np.rint(self.plane.to_pixels(points)).astype(int)
        height, width = self.mask.shape
        inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=1)
        if not inside.any():
            return 0.0
        x, y = pixels[inside].T
        return float(self.mask[y, x].mean())

    def draw(self, name: str, *lines: np.ndarray) -> None:
        """Keep closed or open lines `(n, 2)` on the plane to be drawn."""
        self.drawn[name] = [self.plane.to_pixels(line) for line in lines]


def measure_one(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    """What a gauge shows on a part: name, value and a remark each; nothing for a line.

    Raises:
        NotFound: It cannot be measured; the text says why.
    """
    return _MEASURES[gauge.kind](gauge, sight)


def _ring(middle: np.ndarray, radius: float, count: int = 24) -> np.ndarray:
    turn = np.arange(count) * (2 * math.pi / count)
    return middle + radius * np.stack((np.cos(turn), np.sin(turn)), axis=1)


def _circle(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    unit, half = sight.plane.unit, 0.5 if gauge.kind == "radius" else 1.0
    lying = sight.lying
    if gauge.of == "outline":
        middle = lying.pose.middle
        away = np.hypot(*(lying.outline - middle).T)
        size, hole = 2 * float(np.median(away)), False
    else:
        assert gauge.at is not None
        middle = lying.pose.to_plane(gauge.at)[0]
        size = float(expected_size(gauge) or 0.0) / half
        hole = _within(sight, middle, 0.5 * size)
    arc = None
    if gauge.arc is not None:
        first, last = (math.radians(v) + lying.pose.angle for v in gauge.arc)
        arc = (first, last)
    try:
        circle = find_circle(
            sight.grey, sight.plane, middle, size, hole, gauge.reach, arc, _lens(gauge, sight),
            _form(gauge),
        )  # fmt: skip
    except NotFound:
        if not hole or not _plain(sight, middle, 0.5 * size):
            raise
        sight.draw(gauge.name, _ring(middle, 0.5 * size, 25))
        return [(gauge.name, Measure(0.0, 0.0, unit), "there is no hole")]
    sight.features[gauge.name] = circle
    ring = _ring(circle.middle, 0.5 * circle.diameter, 73)
    ring[-1] = ring[0]
    sight.draw(gauge.name, ring)
    return [
        (gauge.name, _with_master(gauge, half * circle.diameter, half * circle.doubt, unit), "")
    ]


def _lens(gauge: Gauge, sight: Sight) -> Optional[float]:
    """Blur of the sharpest edge, for what rims may hide; None where a master says it."""
    return sight.lying.lens if gauge.doubt is None else None


def _form(gauge: Gauge) -> Optional[TaughtForm]:
    """What masters say its edges look like across."""
    return taught_form(gauge.form) if gauge.form else None


def true_edge(gauge: Gauge, sight: Sight, size: float) -> Placed:
    """Where the edges lie of a circle or width of known size, roughly where not measured."""
    feature, plane, lying = sight.features.get(gauge.name), sight.plane, sight.lying
    if gauge.kind != "width":
        radius = size if gauge.kind == "radius" else 0.5 * size
        if isinstance(feature, Circle):
            return circle_edge(plane, feature.middle, radius, feature.hole)
        if gauge.of == "outline":
            fit = fit_circle(lying.outline, sight.pixel(lying.pose.middle))
            middle = lying.pose.middle if fit is None else fit.values[:2]
            return circle_edge(plane, middle, radius, False)
        middle = lying.pose.to_plane(gauge.at)[0]
        return circle_edge(plane, middle, radius, _within(sight, middle, radius))
    if isinstance(feature, Line):
        middle, angle, half = feature.middle, feature.angle, feature.half
    else:
        middle = lying.pose.to_plane(gauge.at)[0]
        angle = lying.pose.angle + math.radians(gauge.along) + math.pi / 2
        half = 0.5 * (gauge.length or 0.5 * size)
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    outward = 1.0 if _ends_outward(gauge, sight, size) else -1.0
    both = []
    for side in (-1.0, 1.0):
        at = middle + 0.5 * side * size * across
        both.append(line_edge(plane, at - half * along, at + half * along, side * outward * across))
    return Placed(*(np.concatenate(pair) for pair in zip(*both)))


def _with_master(gauge: Gauge, value: float, doubt: float, unit: str) -> Measure:
    return Measure(value + gauge.offset, math.hypot(doubt, gauge.doubt or 0.0), unit)


def _within(sight: Sight, middle: np.ndarray, radius: float) -> bool:
    """Whether a circle lies within the part's outline."""
    cv2 = load_cv2()
    outline = sight.lying.outline.astype(np.float32).reshape(-1, 1, 2)
    ring = _ring(middle, 0.9 * radius, 16).tolist()
    return all(cv2.pointPolygonTest(outline, (x, y), False) > 0 for x, y in ring)


def _plain(sight: Sight, middle: np.ndarray, radius: float) -> bool:
    """Whether there is nothing but the part's face where a hole should be."""
    pixels = np.concatenate([_ring(middle, radius * k / 6, 4 * k) for k in (1, 2, 3, 4, 5)])
    around = _ring(middle, 1.35 * radius + 2 * sight.pixel(middle), 32)
    inner, outer = (_levels(sight, places) for places in (pixels, around))
    if len(inner) < 40 or len(outer) < 20 or sight.on_face(pixels) < 0.9:
        return False
    spread = 1.4826 * float(np.median(np.abs(outer - np.median(outer))))
    return abs(float(np.median(inner) - np.median(outer))) < 1.5 + 0.5 * spread


def _levels(sight: Sight, places: np.ndarray) -> np.ndarray:
    """Grey levels at places on the plane that are in the picture."""
    x, y = np.rint(sight.plane.to_pixels(places)).astype(int).T
    height, width = sight.grey.shape
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    return sight.grey[y[inside], x[inside]]


def _width(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    assert gauge.at is not None
    pose, size = sight.lying.pose, float(expected_size(gauge) or 0.0)
    turn = math.radians(gauge.along)
    u = np.array([math.cos(turn), math.sin(turn)])
    v = np.array([-u[1], u[0]])
    at = np.asarray(gauge.at)
    half = 0.5 * (gauge.length or 0.5 * size)
    outward = 1.0 if _ends_outward(gauge, sight, size) else -1.0
    lines = []
    for side in (-1.0, 1.0):
        middle = at + side * 0.5 * size * u
        start, end = pose.to_plane(np.stack((middle - half * v, middle + half * v)))
        normal = pose.turn @ (side * outward * u)
        lens, plane, form = _lens(gauge, sight), sight.plane, _form(gauge)
        try:
            line = find_line(sight.grey, plane, start, end, normal, gauge.reach, lens, form)
        except NotFound:
            if gauge.reach is not None:
                raise
            # A part of a wrong size ends further off, and that is what shall be told.
            far = WRONG * size
            line = find_line(sight.grey, plane, start, end, normal, far, lens, form)
        lines.append(line)
    value, doubt = lines_apart(lines[0], lines[1], sight.plane.relative)
    a, b = lines
    centre = 0.5 * (a.middle + b.middle)
    mean = a.angle + 0.5 * math.remainder(b.angle - a.angle, math.pi)
    place = 0.5 * math.hypot(a.doubt, b.doubt)
    sight.features[gauge.name] = Line(
        centre, mean, place, math.hypot(a.angle_doubt, b.angle_doubt) / 2, a.points, a.half
    )
    across = np.stack((_foot(a, centre), _foot(b, centre)))
    sight.draw(gauge.name, ends(a), ends(b), across)
    return [(gauge.name, _with_master(gauge, value, doubt, sight.plane.unit), "")]


def _ends_outward(gauge: Gauge, sight: Sight, size: float) -> bool:
    """Whether what is measured across is the part, and not a slot in it."""
    turn = math.radians(gauge.along)
    along = np.array([math.cos(turn), math.sin(turn)]) * size
    inside = np.asarray(gauge.at) + np.linspace(-0.4, 0.4, 9)[:, None] * along
    beyond = np.asarray(gauge.at) + np.array([[-0.55], [0.55]]) * along
    pose = sight.lying.pose
    return sight.on_face(pose.to_plane(inside)) >= sight.on_face(pose.to_plane(beyond))


def _foot(line: Line, point: np.ndarray) -> np.ndarray:
    """The place of a line that is nearest to a point."""
    return point + float((line.middle - point) @ line.across) * line.across


def lines_apart(a: Line, b: Line, relative: float) -> Tuple[float, float]:
    """Distance of two lines that are about parallel, and its uncertainty."""
    angle = a.angle + 0.5 * math.remainder(b.angle - a.angle, math.pi)
    across = np.array([-math.sin(angle), math.cos(angle)])
    value = abs(float((a.middle - b.middle) @ across))
    shift = abs(float((a.middle - b.middle) @ (across[1], -across[0])))
    tilt = 0.5 * shift * math.hypot(a.angle_doubt, b.angle_doubt)
    # Rims lie on the same side of both, so what they do adds up.
    rims = a.rim + b.rim
    return value, math.sqrt(a.doubt**2 + b.doubt**2 + (relative * value) ** 2 + tilt**2 + rims**2)


def circles_apart(a: Circle, b: Circle, relative: float) -> Tuple[float, float]:
    """Distance of the middles of two circles, and its uncertainty."""
    value = float(np.linalg.norm(a.middle - b.middle))
    return value, math.sqrt(a.place_doubt**2 + b.place_doubt**2 + (relative * value) ** 2)


def _line(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    start, end = sight.lying.pose.to_plane(np.array([gauge.start, gauge.end], float))
    along = (end - start) / np.linalg.norm(end - start)
    across = np.array([-along[1], along[0]])
    step = 3 * sight.pixel(0.5 * (start + end)) * across
    at = start + np.linspace(0.1, 0.9, 15)[:, None] * (end - start)
    normal = across if sight.on_face(at - step) >= sight.on_face(at + step) else -across
    lens = _lens(gauge, sight)
    line = find_line(sight.grey, sight.plane, start, end, normal, gauge.reach, lens)
    sight.features[gauge.name] = line
    sight.draw(gauge.name, ends(line))
    return []


def _feature(sight: Sight, name: str) -> Feature:
    if name == PART:
        middle, doubt = sight.lying.pose.middle, sight.lying.doubt
        return Circle(middle, 0.0, 0.0, doubt, np.zeros((0, 2)), 0.0)
    if name not in sight.features:
        raise NotFound(f"{name} was not found")
    return sight.features[name]


def _distance(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    a, b = (_feature(sight, name) for name in gauge.between)
    relative = sight.plane.relative
    if isinstance(a, Line) and isinstance(b, Line):
        value, doubt = lines_apart(a, b, relative)
        middle = 0.5 * (a.middle + b.middle)
        pair = np.stack((_foot(a, middle), _foot(b, middle)))
    elif isinstance(a, Circle) and isinstance(b, Circle):
        value, doubt = circles_apart(a, b, relative)
        pair = np.stack((a.middle, b.middle))
    else:
        line, circle = (a, b) if isinstance(a, Line) else (b, a)
        assert isinstance(line, Line) and isinstance(circle, Circle)
        foot = _foot(line, circle.middle)
        value = float(np.linalg.norm(foot - circle.middle))
        tilt = float(np.linalg.norm(foot - line.middle)) * line.angle_doubt
        doubt = math.sqrt(line.doubt**2 + circle.place_doubt**2 + (relative * value) ** 2 + tilt**2)
        pair = np.stack((foot, circle.middle))
    sight.draw(gauge.name, pair)
    return [(gauge.name, _with_master(gauge, value, doubt, sight.plane.unit), "")]


def _angle(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    a, b = (_feature(sight, name) for name in gauge.between)
    assert isinstance(a, Line) and isinstance(b, Line)
    value = abs(math.degrees(math.remainder(a.angle - b.angle, 2 * math.pi)))
    wanted = gauge.nominal
    if wanted is None and gauge.low is not None:
        wanted = gauge.low
    if wanted is not None and abs(180 - value - wanted) < abs(value - wanted):
        value = 180 - value
    doubt = math.degrees(math.hypot(a.angle_doubt, b.angle_doubt))
    sight.draw(gauge.name, ends(a), ends(b))
    return [(gauge.name, _with_master(gauge, value, doubt, "degrees"), "")]


def area_of(lying: Lying, plane: Plane) -> Measure:
    """Area within a part's outline."""
    value = polygon_area(lying.outline)
    pixel = plane.scale(lying.pose.middle)
    around = float(np.linalg.norm(lying.outline - np.roll(lying.outline, 1, 0), axis=1).sum())
    miss = (0.08 + 0.7 * lying.missing) * pixel
    doubt = math.hypot(around * miss, 2 * plane.relative * value)
    return Measure(value, doubt, plane.unit + "2")


def _area(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    lying = sight.lying
    sight.draw(gauge.name, np.append(lying.outline, lying.outline[:1], axis=0))
    return [(gauge.name, _with_master(gauge, *area_of(lying, sight.plane)), "")]


def _position(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    circle = _feature(sight, str(gauge.of))
    assert isinstance(circle, Circle) and gauge.at is not None
    pose = sight.lying.pose
    away = pose.to_part(circle.middle)[0] - gauge.at
    value = float(np.hypot(*away))
    far = float(np.hypot(*gauge.at))
    spread = 1.5 * math.hypot(circle.place_doubt, sight.lying.doubt)
    doubt = math.hypot(spread, sight.plane.relative * far)
    nominal = pose.to_plane(gauge.at)[0]
    sight.draw(gauge.name, np.stack((nominal, circle.middle)))
    text = f"{away[0]:+.3f}, {away[1]:+.3f} {sight.plane.unit} from its place"
    return [(gauge.name, Measure(value, doubt, sight.plane.unit), text)]


def _holes(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    rings = [_ring(hole[:2], 0.5 * hole[2]) for hole in sight.lying.holes]
    sight.draw(gauge.name, *[np.append(ring, ring[:1], axis=0) for ring in rings])
    return [(gauge.name, Measure(float(len(rings)), 0.0, ""), "")]


def _parts(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    return [(gauge.name, Measure(float(sight.count), 0.0, ""), "")]


def _contour(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    if sight.shape is None:
        raise NotFound("no contour was taught")
    lying = sight.lying
    pixel = sight.pixel(lying.pose.middle)
    at = lying.pose.to_part(lying.outline)
    misses = signed_misses(at, sight.shape.outline, 0.5 * pixel)
    # One profile alone may have met a speck; three beside each other have not.
    beside = np.stack((np.roll(misses, 1), misses, np.roll(misses, -1)))
    steady = np.sort(beside, axis=0)[1]
    worst = int(np.abs(steady).argmax())
    noise = 1.4826 * float(np.median(np.abs(misses - np.median(misses))))
    doubt = math.sqrt((0.1 * pixel) ** 2 + noise**2 + sight.plane.place**2)
    unit = sight.plane.unit
    around = np.roll(lying.outline, 4 - worst, axis=0)[:9]
    sight.draw(gauge.name, around)
    x, y = at[worst]
    side = "outside" if steady[worst] > 0 else "inside"
    text = f"furthest {side} the taught contour at {x:.1f}, {y:.1f}"
    mean = Measure(float(np.abs(misses).mean()), 0.05 * pixel + 0.5 * noise, unit)
    most = Measure(float(np.abs(steady).max()), doubt, unit)
    return [(gauge.name, most, text), (f"{gauge.name}_mean", mean, "")]


def _colour(gauge: Gauge, sight: Sight) -> List[Tuple[str, Measure, str]]:
    assert gauge.at is not None and gauge.lab is not None
    middle = sight.lying.pose.to_plane(gauge.at)[0]
    ring = sight.plane.to_pixels(_ring(middle, gauge.size, 33))
    height, width = sight.mask.shape
    low = np.floor(ring.min(axis=0)).astype(int)
    high = np.ceil(ring.max(axis=0)).astype(int) + 1
    if (low < 0).any() or (high > (width, height)).any():
        raise NotFound("the patch leaves the picture")
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    centre, radius = ring.mean(axis=0), 0.5 * float(np.ptp(ring, axis=0).min())
    within = np.hypot(x - centre[0], y - centre[1]) <= max(radius, 1.0)
    x, y = x[within], y[within]
    pixels = sight.image[y, x]
    seen = colour_of(pixels, sight.card)
    value = float(ciede2000(seen, gauge.lab))
    quarter = (x > centre[0]) * 2 + (y > centre[1])
    each = [
        float(ciede2000(colour_of(pixels[quarter == k], sight.card), gauge.lab))
        for k in range(4)
        if (quarter == k).any()
    ]
    doubt = math.hypot(float(np.std(each)), 0.1)
    sight.draw(gauge.name, _ring(middle, gauge.size, 33))
    text = "L {:.1f}, a {:.1f}, b {:.1f}".format(*seen)
    return [(gauge.name, Measure(value, doubt, "dE00"), text)]


_MEASURES = {
    "diameter": _circle,
    "radius": _circle,
    "width": _width,
    "line": _line,
    "distance": _distance,
    "angle": _angle,
    "area": _area,
    "position": _position,
    "holes": _holes,
    "parts": _parts,
    "contour": _contour,
    "colour": _colour,
}
