"""Gauges as a check of a recipe: what they say of one part among those in a picture."""

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from ....core.verdict import PASS, Reason
from ..gauges.camera import Camera
from ..gauges.gauging import FoundPart, Gauging, Measured
from ..gauges.kinds import Measure
from ..recipe.config import LoadedRecipe
from .finding import Look

OF_PICTURE = ("parts", "cut")  # conditions that a belt full of parts does not keep


def section_of(check: Mapping[str, Any]) -> Dict[str, Any]:
    """The gauges' own keys of a recipe's check."""
    return {k: v for k, v in check.items() if k != "camera"}


def camera_of(check: Mapping[str, Any], recipe: LoadedRecipe) -> Optional[Camera]:
    """The calibrated camera that a recipe's check names; None without.

    Raises:
        DataError: It cannot be read.
    """
    name = check.get("camera")
    return None if name is None else Camera.load(recipe.path(str(name)))


class Gauged:
    """What gauges say of a picture, by part."""

    def __init__(self, measured: Measured, single: bool) -> None:
        self._measured, self._single = measured, single

    def _part(self, look: Look) -> Optional[FoundPart]:
        best, apart = None, 0.35
        for part in self._measured.parts:
            size = np.maximum(look.xyxy[2:] - look.xyxy[:2], 1)
            away = float((np.abs(np.asarray(part.xyxy) - look.xyxy) / np.tile(size, 2)).max())
            if away < apart:
                best, apart = part, away
        return best

    def measures_at(self, look: Look) -> Mapping[str, Measure]:
        """The measures of a part, or of the whole picture."""
        if self._single:
            return self._measured.measures
        part = self._part(look)
        return {} if part is None else part.measures

    def reasons_at(self, look: Look) -> List[Reason]:
        """The reasons that belong to a part which was found by its outline, or to the only one."""
        if self._single:
            return list(self._measured.reasons)
        best = self._part(look)
        conditions = [r for r in self._measured.reasons if r.condition and r.name not in OF_PICTURE]
        if best is None:
            text = "the gauges do not find the part: it does not stand out, or touches another"
            return [*conditions, Reason("gauges", None, condition=True, text=text)]
        return [*best.reasons, *conditions]

    @property
    def problems(self) -> Tuple[Reason, ...]:
        """Conditions that are broken."""
        return tuple(r for r in self._measured.reasons if r.condition and r.outcome != PASS)


class Measuring:
    """The gauges of a recipe.

    Args:
        check: The recipe's check: a section of gauges, and `camera`.
        recipe: Tells where the camera lies.

    Raises:
        EdgelaneError: The section is wrong, or the camera cannot be read.
    """

    def __init__(self, check: Mapping[str, Any], recipe: LoadedRecipe) -> None:
        self._gauging = Gauging(section_of(check), camera_of(check, recipe), "checks.gauges")
        self._single = recipe.settings.part.find == "whole"

    def measure(self, image: np.ndarray) -> Gauged:
        """Measure all parts of a picture, `(h, w, 3)` uint8 BGR."""
        measured = self._gauging.measure(image)
        if not self._single:
            # Names stand for one part each: the number of the part in the picture tells nothing.
            parts = tuple(
                replace(part, reasons=tuple(_plain(r) for r in part.reasons))
                for part in measured.parts
            )
            measured = replace(measured, parts=parts)
        return Gauged(measured, self._single)


def _plain(reason: Reason) -> Reason:
    before, _, name = reason.name.partition("_")
    numbered = before.startswith("part") and before[4:].isdigit() and name
    return replace(reason, name=name) if numbered else reason
