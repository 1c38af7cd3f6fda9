"""Circles and lines on parts, to a small part of a pixel, with what they may be off by."""

import math
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np

from .edges import Fit, curvature_shift, find_edges, fit_circle, fit_line, sample_rows, steepest
from .forms import LOOKED, TaughtForm
from .matching import TURNS, Matched, match_form, match_step, smooth_basis
from .plane import Plane
from .steps import edge_doubt, one_step, samples

NEIGHBOURS = 1.4  # profiles a pixel apart share pixels: their misses are not independent
SYSTEMATIC_PX = 0.02  # what one fit cannot see of itself: sampling, the shape of the blur
NEAR = 3.0  # pixels by which a profile may leave the circle or line that fits roughly
UNEVEN = 0.15  # share of a hidden rim by which it differs from one side of a circle to the other
LIKE_TAUGHT = 0.8  # share of what changes across an edge that a taught form must explain
LEAST_SHARE = 0.35  # of the profiles must show the edge


class Circle(NamedTuple):
    """A circle on the plane.

    Attributes:
        middle: `(2,)` lengths.
        diameter: Length.
        doubt: 95 % half width of the diameter.
        place_doubt: The same of the middle, along one axis.
        points: `(n, 2)` of its edge, on the plane.
        blur: Pixels.
        hole: Whether the ground is within it.
    """

    middle: np.ndarray
    diameter: float
    doubt: float
    place_doubt: float
    points: np.ndarray
    blur: float
    hole: bool = False


class Line(NamedTuple):
    """A straight edge on the plane.

    Attributes:
        middle: `(2,)` lengths, the middle of the points.
        angle: Radians, along the edge.
        doubt: 95 % half width of its place across itself.
        angle_doubt: The same of the angle in radians.
        points: `(n, 2)` on the plane.
        half: Half of its length.
        rim: What its place may be off by because of a rim, on the same side for all edges.
    """

    middle: np.ndarray
    angle: float
    doubt: float
    angle_doubt: float
    points: np.ndarray
    half: float
    rim: float = 0.0

    @property
    def across(self) -> np.ndarray:
        """Unit vector across it."""
        return np.array([-math.sin(self.angle), math.cos(self.angle)])


class NotFound(Exception):
    """A feature is not there, or not as it should be; the text is a sentence for people."""


def _root(*parts: float) -> float:
    return math.sqrt(sum(part * part for part in parts))


def mean_profiles(
    image: np.ndarray, xy: np.ndarray, outward: np.ndarray, sectors: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Mean grey levels across an edge, for each stretch of it.

    Args:
        image: `(h, w)` float32.
        xy: `(n, 2)` pixels of the edge in order; rows with NaN are left out.
        outward: `(n, 2)` unit vectors towards the ground.
        sectors: How many stretches.

    Returns:
        `(m, k)` levels at `samples()`, and `(m,)` the standard deviation of one of them; none
        where the profiles leave the picture.
    """
    t = samples()
    height, width = image.shape
    tips = np.stack((xy + t[0] * outward, xy + t[-1] * outward))
    good = np.isfinite(xy).all(axis=1)
    inside = (tips >= 1) & (tips <= (width - 2, height - 2))
    good &= np.where(np.isfinite(tips), inside, False).all(axis=(0, 2))
    rows = sample_rows(image, xy[good], outward[good], t)
    means, noise = [], []
    for stretch in np.array_split(np.arange(len(rows)), sectors):
        if len(stretch) < 5:
            continue
        own = rows[stretch]
        means.append(own.mean(axis=0))
        spread = float(np.median(own.std(axis=0, ddof=1)))
        noise.append(NEIGHBOURS * spread / math.sqrt(len(stretch)))
    return np.array(means).reshape(-1, len(t)), np.array(noise)


def rim_doubt(
    image: np.ndarray, xy: np.ndarray, outward: np.ndarray, blur: float, lens: Optional[float]
) -> float:
    """Pixels by which an edge may lie elsewhere because of a rim beside it; 95 % half width.

    Args:
        image: `(h, w)` float32.
        xy: `(n, 2)` pixels of the edge in order.
        outward: `(n, 2)` towards the ground.
        blur: Of the edge, pixels.
        lens: Blur of the sharpest edge in view; None to say nothing of rims.
    """
    if lens is None or not math.isfinite(blur):
        return 0.0
    sectors = 4 if len(xy) >= 100 else 2
    profiles, noise = mean_profiles(image, xy, outward, sectors)
    if not len(profiles):
        return 0.0
    doubts = edge_doubt(profiles, noise, blur, lens)
    # A weak step shows in the mean of all before it does in a stretch.
    pooled = noise.mean(keepdims=True) / math.sqrt(len(noise))
    whole = edge_doubt(profiles.mean(axis=0, keepdims=True), pooled, blur, lens)
    return max(float(np.sqrt(np.mean(doubts**2))), float(whole[0]))


class Seen(NamedTuple):
    """An edge as it is seen.

    Attributes:
        xy: `(n, 2)` pixels; NaN where it does not show.
        points: `(n, 2)` the same on the plane.
        outward: `(n, 2)` directions to the ground in the picture.
        noise: `(n,)` by which each may be off across itself, pixels.
        blur: Pixels.
        widened: `(p,)` times by which radius and middle, or place and turn, may be off more than
            the points tell, because of levels that were found with them.
    """

    xy: np.ndarray
    points: np.ndarray
    outward: np.ndarray
    noise: np.ndarray
    blur: float
    widened: np.ndarray


def _project(
    image: np.ndarray, plane: Plane, at: np.ndarray, normal: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Where a shape on the plane is seen, and the ways to the ground there; see `Plane.outward`."""
    here, outward = plane.outward(at, normal)
    height, width = image.shape
    inside = ((here > 2) & (here < (width - 3, height - 3))).all(axis=1)
    if inside.mean() < 0.9:
        raise NotFound("the edge leaves the picture")
    return here, outward


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def roughly(
    image: np.ndarray, plane: Plane, at: np.ndarray, normal: np.ndarray, reach: float
) -> Tuple[np.ndarray, int]:
    """Steepest places `(n, 2)` on the plane across a shape `at` with `normal`, and their sense."""
    here, outward = _project(image, plane, at, normal)
    outward = _unit(outward)
    start, sign = steepest(image, here, outward, reach)
    return plane.to_plane(here + start[:, None] * outward, outward), sign


def look(
    image: np.ndarray,
    plane: Plane,
    at: np.ndarray,
    normal: np.ndarray,
    sign: int,
    along: np.ndarray,
    closed: bool,
    form: Optional[TaughtForm] = None,
    half: float = LOOKED,
    turns: int = TURNS,
) -> Seen:
    """The edge across a shape on the plane that is known to a pixel or two.

    Args:
        image: `(h, w)` float32.
        plane: Where the shape lies.
        at: `(n, 2)` on the plane.
        normal: `(n, 2)` unit vectors on the plane, towards the ground.
        sign: 1 where it grows lighter towards the ground, else -1.
        along: `(n,)` radians around a closed shape, else from -1 to 1.
        closed: Whether the shape comes back to where it began.
        form: What its edge looks like across; one blurred step unless given.
        half: Pixels to both sides that the form is compared on.
        turns: Steps of the fit at most.

    Raises:
        NotFound: It leaves the picture, or is no such edge as was taught.
    """
    here, outward = _project(image, plane, at, normal)
    if form is not None:
        slow = smooth_basis(along, closed, 1)
        match = match_form(image, here, outward, slow, slow, form.across(outward), NEAR, half)
        if match.fits < LIKE_TAUGHT:
            raise NotFound("the edge does not look as it did on the master parts")
        return _as_seen(image, plane, here, outward, match, 1)
    outward = _unit(outward)
    start, _ = steepest(image, here, outward, NEAR, sign)
    order = 2 if len(at) >= 24 else 1
    levels = smooth_basis(along, closed, order)
    shape = smooth_basis(along, closed, 2 if closed else 1)
    found = match_step(image, here, outward, start, levels, shape, turns=turns)
    if not found.clean and turns >= TURNS:
        # Several steps beside each other: their mean repeats best where each profile has its own.
        alone = find_edges(image, here, outward, NEAR + 1, sign)
        shift = ((alone.xy - here) * outward).sum(axis=1)
        blur = float(np.nanmedian(alone.blur)) if np.isfinite(shift).any() else found.blur
        found = found._replace(shift=shift, noise=np.ones(len(at)), blur=blur, sense=sign)
    return _as_seen(image, plane, here, outward, found, sign)


def _as_seen(
    image: np.ndarray,
    plane: Plane,
    here: np.ndarray,
    outward: np.ndarray,
    found: Matched,
    sign: int,
) -> Seen:
    shift = found.shift if found.sense == sign else np.full(len(here), np.nan)
    xy = here + shift[:, None] * outward
    height, width = image.shape
    xy[~((xy > 2) & (xy < (width - 3, height - 3))).all(axis=1)] = np.nan
    return Seen(xy, plane.to_plane(xy, outward), outward, found.noise, found.blur, found.widened)


def find_circle(
    image: np.ndarray,
    plane: Plane,
    middle: Any,
    diameter: float,
    hole: bool,
    reach: Optional[float] = None,
    arc: Optional[Tuple[float, float]] = None,
    lens: Optional[float] = None,
    form: Optional[TaughtForm] = None,
    turns: int = TURNS,
) -> Circle:
    """The circle near a rough one.

    Args:
        image: `(h, w)` float32.
        plane: Where it lies.
        middle: `(2,)` on the plane.
        diameter: Roughly.
        hole: Whether the ground is within it.
        reach: How far off its edge may lie; a few pixels unless given.
        arc: Radians on the plane from and to which there is an edge; all around unless given.
        lens: Pixels of blur of the sharpest edge in view: what is softer hides a rim. Without it
            nothing is said of rims.
        form: What its edge looks like across, about the true edge; a blurred step unless given.
        turns: Steps of the fit at most; few do for where a part lies.

    Raises:
        NotFound: There is none.
    """
    middle, radius = np.asarray(middle, float), 0.5 * diameter
    pixel = plane.scale(middle)
    low, high = (0.0, 2 * math.pi) if arc is None else arc
    count = int(np.clip((high - low) * radius / pixel, 16, 720))
    turn = low + (np.arange(count) + 0.5) * ((high - low) / count)
    ray = np.stack((np.cos(turn), np.sin(turn)), axis=1)
    out = -ray if hole else ray
    wide = min(6.0 if reach is None else max(reach / pixel, 2.0), 0.6 * radius / pixel)
    points, sign = roughly(image, plane, middle + radius * ray, out, wide)
    rough = fit_circle(points, 0.3 * pixel)
    if rough is None or not 0 < rough.values[2] < 3 * radius:
        raise NotFound(f"{0 if rough is None else len(points)} of {count} profiles show the edge")
    middle, radius = rough.values[:2], float(rough.values[2])
    along = turn if arc is None else np.linspace(-1, 1, count)
    half = min(LOOKED, 0.8 * radius / pixel)
    ring = middle + radius * ray
    seen = look(image, plane, ring, out, sign, along, arc is None, form, half, turns)
    fit = fit_circle(seen.points, 0.02 * pixel, seen.noise)
    if fit is None or fit.used.sum() < LEAST_SHARE * count or not fit.values[2] > 0:
        good = 0 if fit is None else int(fit.used.sum())
        raise NotFound(f"{good} of {count} profiles show the edge")
    if arc is not None and fit.covariance[2, 2] > (0.5 * pixel) ** 2:
        raise NotFound("the arc is too short to tell its radius")
    middle, radius, blur = fit.values[:2], float(fit.values[2]), seen.blur
    # About the true edge a taught form has been bent already.
    inward = float(curvature_shift(blur * pixel, radius)) if form is None else 0.0
    value = 2 * (radius + inward)
    fixed = SYSTEMATIC_PX * pixel
    own = 2 * math.sqrt(fit.covariance[2, 2]) * 2 * NEIGHBOURS * seen.widened[0]
    rim = rim_doubt(image, seen.xy[fit.used], seen.outward[fit.used], blur, lens) * pixel
    doubt = _root(own, 2 * fixed, plane.relative * value, 0.6 * inward, plane.place)
    doubt = math.hypot(doubt, 2 * rim)
    own = 2 * NEIGHBOURS * math.sqrt(max(fit.covariance[0, 0], fit.covariance[1, 1]))
    own *= float(seen.widened[1:3].max())
    place = _root(own, fixed, plane.place, UNEVEN * rim)
    return Circle(middle, value, doubt, place, seen.points[fit.used], blur, hole)


def find_line(
    image: np.ndarray,
    plane: Plane,
    start: Any,
    end: Any,
    normal: Any,
    reach: Optional[float] = None,
    lens: Optional[float] = None,
    form: Optional[TaughtForm] = None,
    turns: int = TURNS,
) -> Line:
    """The straight edge near a rough one.

    Args:
        image: `(h, w)` float32.
        plane: Where it lies.
        start: `(2,)` on the plane.
        end: The same.
        normal: `(2,)` across it, towards the ground.
        reach: How far off it may lie; a few pixels unless given.
        lens: As for `find_circle`.
        form: The same.
        turns: The same.

    Raises:
        NotFound: There is none.
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = end - start
    extent = float(np.linalg.norm(along))
    pixel = plane.scale(0.5 * (start + end))
    count = int(np.clip(extent / pixel, 6, 720))
    t = (np.arange(count) + 0.5) / count
    at = start + t[:, None] * along
    wide = 6.0 if reach is None else max(reach / pixel, 2.0)
    out = np.tile(np.asarray(normal, float) / np.linalg.norm(normal), (count, 1))
    points, sign = roughly(image, plane, at, out, wide)
    rough = fit_line(points, 0.3 * pixel)
    if rough is None:
        raise NotFound(f"0 of {count} profiles show the edge")
    at, out = _onto(rough, at, out)
    seen = look(image, plane, at, out, sign, 2 * t - 1, False, form, turns=turns)
    fit = fit_line(seen.points, 0.02 * pixel, seen.noise)
    if fit is None or fit.used.sum() < 0.5 * count:
        good = 0 if fit is None else int(fit.used.sum())
        raise NotFound(f"{good} of {count} profiles show the edge")
    if fit.spread > max(0.02 * extent, 1.5 * pixel):
        raise NotFound("the edge is not straight")
    used = seen.xy[fit.used], seen.outward[fit.used]
    rim = rim_doubt(image, *used, seen.blur, lens) * pixel
    angle = float(fit.values[2])
    if math.cos(angle - math.atan2(along[1], along[0])) < 0:
        angle = math.remainder(angle + math.pi, 2 * math.pi)
    across = np.array([-math.sin(angle), math.cos(angle)])
    own = 2 * NEIGHBOURS * math.sqrt(float(across @ fit.covariance[:2, :2] @ across))
    own *= float(seen.widened[0])
    doubt = _root(own, SYSTEMATIC_PX * pixel, plane.place)
    own = 2 * NEIGHBOURS * math.sqrt(float(fit.covariance[2, 2])) * float(seen.widened[1])
    turn = math.hypot(own, (SYSTEMATIC_PX * pixel + plane.place) / max(extent, pixel))
    return Line(fit.values[:2], angle, doubt, turn, seen.points[fit.used], 0.5 * extent, rim)


def _onto(fit: Fit, at: np.ndarray, normal: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Places on a fitted line beside `at`, and its direction to the ground there."""
    across = np.array([-math.sin(fit.values[2]), math.cos(fit.values[2])])
    across *= 1.0 if across @ normal[0] >= 0 else -1.0
    return at + ((fit.values[:2] - at) @ across)[:, None] * across, np.tile(across, (len(at), 1))


def find_outline(
    image: np.ndarray, plane: Plane, contour: np.ndarray, reach: float = 4.0
) -> Tuple[np.ndarray, float, float, float]:
    """The edge all around a rough contour.

    Args:
        image: `(h, w)` float32.
        plane: Where it lies.
        contour: `(n, 2)` pixels, a pixel apart, as OpenCV goes around a part.
        reach: Pixels.

    Returns:
        `(m, 2)` on the plane, the share of them where no edge was found and the rough one stands,
        the blur of the others in pixels, NaN without any, and that of the sharpest stretch.
    """
    step = max(len(contour) // 360, 2)
    pad = np.concatenate((contour[-6:], contour, contour[:6]))
    smooth = np.stack([np.convolve(pad[:, k], np.ones(9) / 9, "same") for k in (0, 1)], axis=1)
    tangent = (smooth[8:-4] - smooth[4:-8])[::step]
    at = contour[::step]
    area = np.sum(contour[:, 0] * np.roll(contour[:, 1], -1))
    area -= np.sum(np.roll(contour[:, 0], -1) * contour[:, 1])
    outward = np.stack((tangent[:, 1], -tangent[:, 0]), axis=1) * np.sign(area)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    edges = find_edges(image, at, outward, reach)
    most = np.sign(np.nanmedian(edges.contrast)) if np.isfinite(edges.contrast).any() else 0
    if most:
        edges = find_edges(image, at, outward, reach, int(most))
    missing = np.isnan(edges.xy[:, 0])
    pixels = np.where(np.isnan(edges.xy), at, edges.xy)
    blur = float(np.nanmedian(edges.blur)) if float(missing.mean()) < 1 else math.nan
    lens = blur
    if math.isfinite(blur):
        profiles = mean_profiles(image, edges.xy, outward, 8)[0]
        lens = float(one_step(profiles, blur)[0].min()) if len(profiles) else blur
    return plane.to_plane(pixels, outward), float(missing.mean()), blur, lens


def polygon_area(points: np.ndarray) -> float:
    """Area within a polygon, positive."""
    x, y = points.T
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def polygon_middle(points: np.ndarray) -> np.ndarray:
    """Centroid `(2,)` of the area within a polygon."""
    after = np.roll(points, -1, axis=0)
    cross = points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]
    total = float(cross.sum())
    if abs(total) < 1e-9:
        return points.mean(axis=0)
    return ((points + after) * cross[:, None]).sum(axis=0) / (3 * total)


def ends(line: Line) -> np.ndarray:
    """The two ends `(2, 2)` of a line on the plane."""
    along = np.array([math.cos(line.angle), math.sin(line.angle)]) * line.half
    return np.stack((line.middle - along, line.middle + along))


def round_points(circle: Circle, count: int = 72) -> List[np.ndarray]:
    """Points around a circle, closed, to be drawn."""
    turn = np.linspace(0, 2 * math.pi, count + 1)
    ring = np.stack((np.cos(turn), np.sin(turn)), axis=1)
    return [circle.middle + 0.5 * circle.diameter * ring]
