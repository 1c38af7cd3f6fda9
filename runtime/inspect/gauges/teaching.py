"""Good parts in, what a recipe of gauges keeps of them out."""

import math
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ....core import DataError, UsageError, did_you_mean
from .align import CORNERS, Lying, Shape, as_taught, resample, signed_misses
from .camera import Camera
from .checks import clipped, keep_marks
from .features import NotFound
from .forms import LEAST_PARTS, Placed, TaughtForm, learn_form
from .gauging import Gauging
from .kinds import Measure, Sight, measure_one, true_edge
from .segment import Blob
from .settings import FORMED, Gauge, GaugeSettings, read_settings

MASTERED = ("diameter", "radius", "width", "distance", "angle", "area")  # that have an offset
BETTER = 0.8  # times the spread of a fitted step that a taught form must have
ALIKE = 0.08  # share of its size by which a good part's outline may miss the others'


def teach_gauges(
    settings: Any,
    images: Sequence[np.ndarray],
    camera: Optional[Camera] = None,
    names: Optional[Sequence[str]] = None,
) -> Dict[str, Any]:
    """What good parts look like: contour, holes, sharpness, exposure, fixed marks, the camera.

    The coordinates are those of the first good part: its middle, x along its longer side. The
    contour is the mean of all good parts.

    Args:
        settings: A recipe's section, or what `read_settings` made of it.
        images: `(h, w, 3)` uint8 BGR pictures of good parts, each with as many as the recipe says.
        camera: The calibrated camera; without it lengths are pixels.
        names: Of the pictures, for errors.

    Returns:
        Plain values: the recipe's `taught`.

    Raises:
        DataError: No picture shows a part, one shows another number of them or one that the border
            cuts, or the parts differ too much among themselves.
    """
    checked = settings if isinstance(settings, GaugeSettings) else read_settings(settings)
    names = list(names or [f"picture {k}" for k in range(1, len(images) + 1)])
    if not len(images):
        raise DataError("there are no pictures of good parts to teach from")
    size = (images[0].shape[1], images[0].shape[0])
    for name, image in zip(names, images):
        if (image.shape[1], image.shape[0]) != size:
            raise DataError(
                f"{name} has another size than {names[0]}",
                got=f"{image.shape[1]} x {image.shape[0]}",
                expected=f"{size[0]} x {size[1]}",
            )
    first = replace(checked, taught={})
    shape = _first_shape(Gauging(first, camera), images[0], names[0])
    gauging = Gauging(replace(first, taught=as_taught(shape)), camera)
    seen = [_look(gauging, image, name) for name, image in zip(names, images)]
    outline, holes = _mean_shape(gauging, shape, seen, names)
    shape = Shape(shape.kind, outline, holes)
    blurs = [lying.blur for _, lyings in seen for lying in lyings if math.isfinite(lying.blur)]
    shares = [
        clipped(image, blob.mask) for image, (blobs, _) in zip(images, seen) for blob in blobs
    ]
    taught = as_taught(shape)
    taught.update(
        size=list(size),
        camera="" if camera is None else camera.id,
        pictures=len(images),
        clipped=[round(float(v), 4) for v in np.median(shares, axis=0)],
    )
    if blurs:
        taught["blur_px"] = round(float(np.median(blurs)), 4)
    if checked.marks:
        taught["marks"] = keep_marks(images[0], checked.marks)
    return taught


def _look(gauging: Gauging, image: np.ndarray, name: str) -> Tuple[List[Blob], List[Lying]]:
    try:
        blobs, lyings = gauging.look(image)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    wanted = gauging.settings.count
    if len(blobs) != wanted:
        raise DataError(
            f"{name} shows {len(blobs) or 'no'} parts",
            expected=f"{wanted}",
            remedy="teach from pictures of good parts as they come, or set parts.count",
        )
    if any(blob.cut for blob in blobs):
        raise DataError(f"{name} shows a part that the border cuts")
    return blobs, lyings


def _first_shape(gauging: Gauging, image: np.ndarray, name: str) -> Shape:
    lying = _look(gauging, image, name)[1][0]
    outline = lying.pose.to_part(resample(lying.outline, CORNERS))
    return Shape(lying.shape, outline, _on_part(lying))


def _on_part(lying: Lying) -> np.ndarray:
    holes = lying.holes.copy()
    if len(holes):
        holes[:, :2] = lying.pose.to_part(holes[:, :2])
    return holes


def _mean_shape(
    gauging: Gauging,
    shape: Shape,
    seen: Sequence[Tuple[List[Blob], List[Lying]]],
    names: Sequence[str],
) -> Tuple[np.ndarray, np.ndarray]:
    """The outline and holes of all good parts together, in the coordinates of the first."""
    from scipy.spatial import KDTree

    outline = shape.outline
    tangent = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    x, y = outline.T
    turn = np.sign(float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)))
    normal = np.stack((tangent[:, 1], -tangent[:, 0]), axis=1) * turn
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    extent = float(np.ptp(outline, axis=0).max())
    shifts, holes = [], []
    for name, (_, lyings) in zip(names, seen):
        for lying in lyings:
            points = resample(lying.pose.to_part(lying.outline), 4 * CORNERS)
            miss = signed_misses(points, outline, extent / 2000)
            if float(np.percentile(np.abs(miss), 95)) > ALIKE * extent:
                raise DataError(
                    f"the good parts differ too much: the outline in {name} is another",
                    got=f"{np.percentile(np.abs(miss), 95):.3g} {gauging.plane.unit} off",
                    expected=f"less than {ALIKE * extent:.3g}",
                    remedy="teach one kind of part at a time, from good parts alone",
                )
            near = KDTree(points).query(outline)[1]
            shifts.append(((points[near] - outline) * normal).sum(axis=1))
            own = _on_part(lying)
            if len(own) == len(shape.holes) and len(own):
                order = np.asarray(KDTree(own[:, :2]).query(shape.holes[:, :2])[1])
                if len(set(order.tolist())) == len(own):
                    holes.append(own[order])
    moved = outline + np.median(np.array(shifts), axis=0)[:, None] * normal
    return moved, np.mean(holes, axis=0) if holes else shape.holes


class Master(Dict[str, Any]):
    """What master parts tell of one gauge: `offset`, `doubt` and maybe `form`, for its recipe.

    Attributes:
        moved: By how much all that moves what the gauge shows.
    """

    moved: float = 0.0


def master_gauges(
    settings: Any,
    images: Sequence[np.ndarray],
    true: Sequence[Mapping[str, float]],
    camera: Optional[Camera] = None,
) -> Dict[str, Master]:
    """What gauges must add, from parts whose sizes are known.

    A chamfer, a burr or a shadow beside an edge moves what a camera takes for it by an amount that
    stays as long as part and light do. One part shown in several places and turns will do.

    Args:
        settings: A recipe's section with gauges; their present offsets are left out.
        images: `(h, w, 3)` uint8 BGR pictures, one part in each.
        true: For each picture the known values by name of the gauge; some may be absent.
        camera: As for `teach_gauges`.

    Returns:
        For each gauge `offset` and its `doubt` (95 % for the next part, by Student's t), to be
        merged into the recipe's gauge; with five parts or more also the `form` of its edges where
        that repeats better than a step that is fitted.

    Raises:
        DataError: A gauge is known but was measured on fewer than three pictures.
        UsageError: A name is no gauge.
    """
    checked = settings if isinstance(settings, GaugeSettings) else read_settings(settings)
    plain = tuple(replace(g, offset=0.0, doubt=0.0, form=()) for g in checked.gauges)
    known = {g.name: g for g in plain if g.kind in MASTERED}
    gauging = Gauging(replace(checked, gauges=plain), camera)
    shown: List[Tuple[Sight, Dict[str, float], Mapping[str, float]]] = []
    for image, values in zip(images, true):
        for name in values:
            if name not in known:
                raise UsageError(f"no gauge {name!r} has an offset",
                                 remedy=did_you_mean(name, list(known)))  # fmt: skip
        try:
            sights = gauging.sights(image)
        except DataError:
            continue
        if len(sights) == 1 and sights[0].count == 1:
            shown.append((sights[0], _values(plain, sights[0]), values))
    asked = list(dict.fromkeys(name for values in true for name in values))
    result: Dict[str, Master] = {}
    # Distances and angles are between edges, which may have got forms by then.
    for after in (False, True):
        if after and any("form" in told for told in result.values()):
            plain = tuple(replace(g, form=_plain(result.get(g.name, {}))) for g in plain)
            shown = [(sight, _values(plain, sight), values) for sight, _, values in shown]
        for name in asked:
            if (known[name].kind in FORMED) is not after:
                own = [(sight, seen.get(name, math.nan), float(values[name]))
                       for sight, seen, values in shown if name in values]  # fmt: skip
                result[name] = _master(known[name], own)
    return {name: result[name] for name in asked}


def _plain(told: Mapping[str, Any]) -> Tuple[Tuple[float, ...], ...]:
    return tuple(tuple(row) for row in told.get("form", ()))


def _values(gauges: Sequence[Gauge], sight: Sight) -> Dict[str, float]:
    """What gauges show on one part, by name; without those that cannot be measured."""
    values: Dict[str, float] = {}
    for gauge in gauges:
        try:
            values.update((name, m.value) for name, m, _ in measure_one(gauge, sight))
        except NotFound:
            continue
    return values


def _master(gauge: Gauge, seen: Sequence[Tuple[Sight, float, float]]) -> Master:
    """What one gauge must add, by parts, what it shows on them and their true sizes."""
    from scipy.special import stdtrit

    misses = [true - value for _, value, true in seen if math.isfinite(value)]
    told = Master()
    told.moved = float(np.mean(misses)) if misses else 0.0
    form, formed = None, []
    if gauge.kind in FORMED and gauge.arc is None and len(seen) >= LEAST_PARTS:
        form, formed = _form_of(gauge, seen)
    # A form that does not find every part that it was not learnt from knows too few directions.
    # Nor is it wanted where a step does as well; but a step may find no edge at all.
    if form is not None and len(formed) == len(seen) and (
        len(misses) < len(seen) or np.std(formed) < BETTER * np.std(misses)
    ):  # fmt: skip
        told["form"] = [list(row) for row in form.plain]
        misses = formed
    count = len(misses)
    if count < 3:
        raise DataError(
            f"{gauge.name} was measured on {count} pictures of known parts",
            expected="at least 3, better 10: the same part in other places and turns will do",
        )
    spread = float(np.std(misses, ddof=1)) * math.sqrt(1 + 1 / count)
    doubt = float(stdtrit(count - 1, 0.975)) * spread
    told.update(offset=round(float(np.mean(misses)), 5), doubt=round(doubt, 5))
    return told


def _form_of(
    gauge: Gauge, seen: Sequence[Tuple[Sight, float, float]]
) -> Tuple[Optional[TaughtForm], List[float]]:
    """The form of a gauge's edges, and by how much parts miss that it was not learnt from."""

    def place(number: int, form: Optional[TaughtForm]) -> Optional[Tuple[Placed, float]]:
        sight, _, true = seen[number]
        formed = gauge if form is None else replace(gauge, form=form.plain)
        sight.features.pop(gauge.name, None)
        try:
            ((_, measure, _),) = measure_one(formed, sight)
        except NotFound:
            return None if form is not None else (true_edge(gauge, sight, true), math.nan)
        return true_edge(gauge, sight, true), true - measure.value

    return learn_form([sight.grey for sight, _, _ in seen], place)


def suggest_gauges(
    images: Sequence[np.ndarray],
    camera: Optional[Camera] = None,
    settings: Optional[Mapping[str, Any]] = None,
    names: Optional[Sequence[str]] = None,
) -> Dict[str, Any]:
    """Gauges for parts of a kind: their size, their holes and contour, with limits around them.

    Args:
        images: Good parts.
        camera: As for `teach_gauges`.
        settings: The recipe's section so far.
        names: Of the pictures, for errors.

    Returns:
        `{"gauges": …, "taught": …}` of plain values; limits are what good parts vary by, three
        standard deviations and the uncertainty.
    """
    content = dict(settings or {})
    content["gauges"] = {}
    taught = teach_gauges(content, images, camera, names)
    shape = Shape.of(taught)
    assert shape is not None
    gauges: Dict[str, Dict[str, Any]] = {}
    low, high = shape.outline.min(axis=0), shape.outline.max(axis=0)
    if shape.kind == "round":
        gauges["diameter"] = {"kind": "diameter", "of": "outline"}
    elif shape.kind == "rectangle":
        length, width = (float(v) for v in high - low)
        gauges["length"] = {"kind": "width", "at": [0.0, 0.0], "along": 0.0, "nominal": length,
                            "length": 0.6 * width}  # fmt: skip
        gauges["width"] = {"kind": "width", "at": [0.0, 0.0], "along": 90.0, "nominal": width,
                           "length": 0.7 * length}  # fmt: skip
    for number, (x, y, size) in enumerate(shape.holes.tolist(), 1):
        at = [round(x, 3), round(y, 3)]
        gauges[f"hole{number}"] = {"kind": "diameter", "at": at, "nominal": round(size, 3)}
    for gauge in gauges.values():
        gauge["doubt"] = 0.0  # limits that are measured in the same way hold whatever a rim does
    measured = _all_measures({**content, "gauges": gauges, "taught": taught}, images, camera)
    suggested: Dict[str, Any] = {}
    for name, gauge in gauges.items():
        values = measured.get(name, [])
        if len(values) < max(len(images) // 2, 1):
            continue  # what is not seen on most good parts is no measure
        middle = float(np.mean([v.value for v in values]))
        spread = float(np.std([v.value for v in values], ddof=1)) if len(values) > 1 else 0.0
        doubt = float(np.median([v.uncertainty for v in values]))
        suggested[name] = {
            **gauge, "nominal": round(middle, 4), "tolerance": round(3 * spread + 2 * doubt, 4),
        }  # fmt: skip
    suggested["holes"] = {"kind": "holes", "nominal": len(shape.holes)}
    deviation = measured.get("contour", [])
    if deviation:
        most = max(v.value + v.uncertainty for v in deviation)
        suggested["contour"] = {"kind": "contour", "tolerance": round(1.5 * most, 4)}
    return {"gauges": suggested, "taught": taught}


def _all_measures(
    content: Mapping[str, Any], images: Sequence[np.ndarray], camera: Optional[Camera]
) -> Dict[str, List[Measure]]:
    """All values of each gauge on good parts, their contour included."""
    gauges = {**content["gauges"], "contour": {"kind": "contour"}}
    gauging = Gauging({**content, "gauges": gauges}, camera)
    result: Dict[str, List[Measure]] = {}
    for image in images:
        for part in gauging.measure(image).parts:
            for name, measure in part.measures.items():
                result.setdefault(name, []).append(measure)
    return result
