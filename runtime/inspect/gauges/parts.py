"""Parts measured without a recipe: found as they lie, in millimetres with an uncertainty."""

import math
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np

from ....core import DataError
from ....core.verdict import Reason, Verdict
from .align import Lying
from .camera import Camera
from .features import Circle, Line, NotFound, find_circle, find_line
from .gauging import grey_of, lying_of
from .kinds import Measure, area_of, circles_apart, lines_apart
from .plane import Plane
from .segment import find_blobs


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
        height: Millimetres of the measured edges above the plane: the thickness of the part, whose
            upper rim is measured.
        least_area: Pixels; what is smaller is dirt, and holes smaller than an eighth of it too.

    Raises:
        DataError: No part is in view, or the picture has another size than the camera's.
    """
    if camera is not None and (image.shape[1], image.shape[0]) != camera.size:
        raise DataError(
            "the picture has another size than the calibrated camera's",
            got=f"{image.shape[1]} x {image.shape[0]}",
            expected=f"{camera.size[0]} x {camera.size[1]}",
        )
    grey = grey_of(image)
    plane = Plane(camera, height, "face")
    parts = []
    for blob in find_blobs(image, least_area):
        lying = lying_of(grey, plane, blob)
        measures = _measures(grey, plane, lying)
        parts.append(
            MeasuredPart(
                lying.shape, blob.xyxy, blob.cut, lying.pose.middle, lying.outline, measures
            )
        )
    if not parts:
        raise DataError("no part is in view", remedy=f"parts have at least {least_area:g} px")
    return parts


def _measures(image: np.ndarray, plane: Plane, lying: Lying) -> Dict[str, Measure]:
    unit = plane.unit
    measures = {"holes": Measure(float(len(lying.holes)), 0.0, "")}
    measures["area"] = area_of(lying, plane)
    if lying.shape == "round":
        size = 2 * float(np.median(np.hypot(*(lying.outline - lying.pose.middle).T)))
        circle = _circle(image, plane, lying, lying.pose.middle, size, False)
        if circle is not None:
            measures["diameter"] = Measure(circle.diameter, circle.doubt, unit)
            measures["radius"] = Measure(circle.diameter / 2, circle.doubt / 2, unit)
            area = math.pi / 4 * circle.diameter**2
            spread = math.pi / 2 * circle.diameter * circle.doubt
            measures["area"] = Measure(area, spread, unit + "2")
    elif lying.shape == "rectangle":
        measures.update(_rectangle(image, plane, lying))
    measures.update(_holes(image, plane, lying))
    return measures


def _circle(
    image: np.ndarray, plane: Plane, lying: Lying, middle: np.ndarray, size: float, hole: bool
) -> Optional[Circle]:
    try:
        return find_circle(image, plane, middle, size, hole, lens=lying.lens)
    except NotFound:
        return None


def _rectangle(image: np.ndarray, plane: Plane, lying: Lying) -> Dict[str, Measure]:
    """Length, width, angle of the longer side and how far two sides miss a right angle."""
    sides = []
    for side in lying.sides:
        along = np.array([math.cos(side.angle), math.sin(side.angle)]) * side.half
        outward = side.across * np.sign(side.across @ (side.middle - lying.pose.middle))
        ends = side.middle - along, side.middle + along
        try:
            sides.append(find_line(image, plane, *ends, outward, lens=lying.lens))
        except NotFound:
            return {}
    unit = plane.unit
    width, length = (
        Measure(*lines_apart(sides[k], sides[k + 1], plane.relative), unit) for k in (0, 2)
    )

    def mean(a: Line, b: Line) -> Tuple[float, float]:
        angle = a.angle + 0.5 * math.remainder(b.angle - a.angle, math.pi)
        return angle, 0.5 * math.hypot(a.angle_doubt, b.angle_doubt)

    (angle, doubt), (cross, cross_doubt) = mean(*sides[:2]), mean(*sides[2:])
    miss = abs(math.remainder(cross - angle - math.pi / 2, math.pi))
    degrees = math.degrees(math.remainder(angle, math.pi))
    return {
        "length": length, "width": width,
        "angle": Measure(degrees, math.degrees(doubt), "degrees"),
        "squareness": Measure(
            math.degrees(miss), math.degrees(math.hypot(doubt, cross_doubt)), "degrees"
        ),
    }  # fmt: skip


def _holes(image: np.ndarray, plane: Plane, lying: Lying) -> Dict[str, Measure]:
    """Diameters and places of the holes, in the part's own coordinates, and their distances."""
    found = []
    for x, y, size in lying.holes.tolist():
        circle = _circle(image, plane, lying, np.array([x, y]), size, True)
        if circle is not None:
            found.append((lying.pose.to_part(circle.middle)[0], circle))
    found.sort(key=lambda pair: tuple(pair[0].round(3)))
    measures: Dict[str, Measure] = {}
    for number, (at, circle) in enumerate(found, 1):
        spread = 1.5 * math.hypot(circle.place_doubt, lying.doubt)
        measures[f"hole{number}_diameter"] = Measure(circle.diameter, circle.doubt, plane.unit)
        measures[f"hole{number}_x"] = Measure(float(at[0]), spread, plane.unit)
        measures[f"hole{number}_y"] = Measure(float(at[1]), spread, plane.unit)
        for other, (_, before) in enumerate(found[: number - 1], 1):
            apart = circles_apart(circle, before, plane.relative)
            measures[f"hole{other}_hole{number}_distance"] = Measure(*apart, plane.unit)
    return measures


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
