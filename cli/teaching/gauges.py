"""What gauges learn from good parts: the contour, and limits where the recipe gives none."""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ...core import DataError
from ...pipelines.quality.threshold import LEAST, Threshold, reach_threshold, upper_threshold
from ...runtime.inspect.gauges.teaching import (
    MASTERED,
    master_gauges,
    suggest_gauges,
    teach_gauges,
)
from ...runtime.inspect.judging.measuring import Gauged, Measuring, camera_of, section_of
from ...runtime.inspect.recipe.config import LoadedRecipe
from .masters import Masters, put_in
from .parts import Sample

MOST = 60  # pictures that are measured
LIMITS = ("nominal", "tolerance", "low", "high")
ONE_SIDED = ("position", "contour", "colour")


def learn_gauges(
    recipe: LoadedRecipe, check: Mapping[str, Any], parts: Sequence[Sample], rate: float,
    masters: Optional[Masters] = None,
) -> Tuple[Dict[str, Any], Dict[str, Threshold], List[str]]:  # fmt: skip
    """The check with what was taught, the thresholds by gauge, and warnings.

    Limits that the recipe gives stay as they are. Where a gauge has none, good parts set them: so
    far from their mean as one further part goes with the wanted rate, and the uncertainty beyond.

    With masters, what they tell is put into the gauges first.

    Raises:
        DataError: A gauge without limits is not measured on most good parts.
    """
    at = np.linspace(0, len(parts) - 1, min(len(parts), MOST)).round().astype(int)
    shown = [parts[k] for k in at]
    pictures = [p.picture for p in shown if p.picture is not None]
    names = [p.name for p in shown]
    camera = camera_of(check, recipe)
    section = {k: v for k, v in section_of(check).items() if k != "taught"}
    given = bool(section.get("gauges"))
    if given:
        taught = teach_gauges(section, pictures, camera, names)
    else:
        found = suggest_gauges(pictures, camera, section, names)
        section["gauges"], taught = dict(found["gauges"]), found["taught"]
    section["gauges"] = {name: dict(gauge) for name, gauge in section["gauges"].items()}
    for gauge in section["gauges"].values():
        # Limits that are learnt through the same gauge hold whatever a rim does to both.
        if gauge.get("kind") in MASTERED and not any(key in gauge for key in LIMITS[1:]):
            gauge.setdefault("doubt", 0.0)
    if masters is not None:
        whole = {**section, "taught": taught}
        told = master_gauges(whole, masters.images, masters.known, camera)
        put_in(section["gauges"], told, given)
    whole = {**section, "taught": taught}
    if check.get("camera") is not None:
        whole = {"camera": check["camera"], **whole}
    measuring = Measuring(whole, recipe)
    gauged = [measuring.measure(picture) for picture in pictures]
    thresholds: Dict[str, Threshold] = {}
    warnings: List[str] = []
    open_gauges = [
        name for name, gauge in section["gauges"].items()
        if gauge.get("kind") != "line" and not any(key in gauge for key in LIMITS[1:])
        and not (gauge.get("kind") in ("holes", "parts") and "nominal" in gauge)
    ]  # fmt: skip
    values = _values(gauged, shown)
    for name in open_gauges:
        seen = values.get(name, [])
        if len(seen) < max(LEAST, len(shown) // 2):
            raise DataError(
                f"gauge {name} is measured on {len(seen)} of {len(shown)} good parts",
                remedy="see with edgelane inspect where it is looked for, or give it limits",
            )
        column = np.array([v for v, _ in seen])
        doubt = float(np.median([u for _, u in seen]))
        gauge = section["gauges"][name]
        if gauge["kind"] in ONE_SIDED:
            threshold = upper_threshold(column, rate / max(len(open_gauges), 1), logarithmic=True)
            gauge["high"] = round(threshold.value + doubt, 5)
        else:
            middle = float(column.mean())
            threshold = reach_threshold(column, middle, rate / max(len(open_gauges), 1))
            reach = threshold.value + doubt
            gauge["low"], gauge["high"] = round(middle - reach, 5), round(middle + reach, 5)
        thresholds[name] = threshold
    for name, count in _outside(gauged, shown).items():
        if name not in open_gauges:
            warnings.append(
                f"{count} of {len(shown)} good parts are not within the limits of {name} that the "
                "recipe gives."
            )
    return {**whole, **{k: v for k, v in section.items() if k == "gauges"}}, thresholds, warnings


def _values(
    gauged: Sequence[Gauged], parts: Sequence[Sample]
) -> Dict[str, List[Tuple[float, float]]]:
    found: Dict[str, List[Tuple[float, float]]] = {}
    for one, part in zip(gauged, parts):
        for name, measure in one.measures_at(part.look).items():
            found.setdefault(name, []).append((measure.value, measure.uncertainty))
    return found


def _outside(gauged: Sequence[Gauged], parts: Sequence[Sample]) -> Dict[str, int]:
    found: Dict[str, int] = {}
    for one, part in zip(gauged, parts):
        for reason in one.reasons_at(part.look):
            if reason.outcome == "fail":
                found[reason.name] = found.get(reason.name, 0) + 1
    return found
