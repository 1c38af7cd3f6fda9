"""Gauges of a recipe: a picture in, measured parts out, with reasons and what forbids to judge."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np

from ....core import DataError, StorageError
from ....core.verdict import PASS, Reason, Verdict
from ...files import write_whole
from ...sources.base import load_cv2
from ..pictures import pictures_in, read_picture
from . import checks
from .align import Lying, Shape, lie, signed_misses
from .camera import Camera
from .colour import card_of
from .features import NotFound, polygon_area
from .ground import coarseness
from .kinds import Measure, Sight, measure_one
from .plane import Plane
from .segment import Blob, find_blobs
from .settings import Gauge, GaugeSettings, read_settings

SPECK = 0.2  # share of the taught part's area below which something is dirt
ANOTHER = 1.4  # times the taught size beyond which it is another part
UNLIKE = 0.06  # share of its size by which a part may miss the taught form
_ONE_OFF = ("parts",)


@dataclass(frozen=True)
class FoundPart:
    """One part as it lies and what was measured on it.

    Attributes:
        xyxy: `(4,)` pixels around it.
        cut: Whether the border of the picture cuts it.
        shape: `round`, `rectangle` or `free`.
        place: `(2,)` of its origin on the plane, in millimetres with a camera, else pixels.
        angle: Degrees from the plane's x to its own, towards y.
        outline: `(n, 2)` pixels of its edge.
        measures: By name of the gauge.
        reasons: Its gauges against their limits.
        drawn: Places in the picture, `(n, 2)` pixels each, by name of the gauge.
    """

    xyxy: np.ndarray
    cut: bool
    shape: str
    place: np.ndarray
    angle: float
    outline: np.ndarray
    measures: Dict[str, Measure] = field(default_factory=dict)
    reasons: Tuple[Reason, ...] = ()
    drawn: Dict[str, List[np.ndarray]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """`pass`, `fail` or `unsure` by its own gauges alone."""
        return Verdict.of(self.reasons).verdict if self.reasons else PASS


@dataclass(frozen=True)
class Measured:
    """What gauges say of one picture.

    Attributes:
        parts: From the left.
        measures: By name of the gauge; `part2_bore` for the second part where there are several.
        reasons: Gauges against their limits, then the conditions under which they count.
    """

    parts: Tuple[FoundPart, ...] = ()
    measures: Dict[str, Measure] = field(default_factory=dict)
    reasons: Tuple[Reason, ...] = ()

    @property
    def problems(self) -> Tuple[Reason, ...]:
        """What forbids to judge, with a sentence each."""
        return tuple(r for r in self.reasons if r.condition and r.outcome != PASS)

    @property
    def verdict(self) -> Verdict:
        """Pass, fail or unsure; unsure where there is any problem."""
        return Verdict.of(self.reasons)

    def as_dict(self) -> Dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.verdict.verdict,
            "parts": [
                {
                    "xyxy": [round(float(v), 1) for v in part.xyxy],
                    "shape": part.shape,
                    "place": [round(float(v), 4) for v in part.place],
                    "angle": round(part.angle, 3),
                    "verdict": part.verdict,
                }
                for part in self.parts
            ],
            "measures": {
                name: {
                    "value": round(m.value, 5), "uncertainty": round(m.uncertainty, 5),
                    "unit": m.unit,
                }
                for name, m in self.measures.items()
            },
            "reasons": [reason.as_dict() for reason in self.reasons],
            "problems": [reason.text for reason in self.problems],
        }  # fmt: skip


class Gauging:
    """The gauges of a recipe.

    Args:
        settings: The recipe's section: `parts`, `gauges`, `checks`, `marks`, `grey`, `checker` and
            `taught`; or what `read_settings` made of it.
        camera: For millimetres; without it lengths are pixels.
        path: Where the section stands in its file, for errors.

    Raises:
        ConfigError: The section is wrong.
        DataError: What was taught is damaged.
    """

    def __init__(self, settings: Any, camera: Optional[Camera] = None, path: str = "") -> None:
        if not isinstance(settings, GaugeSettings):
            settings = read_settings(settings, path)
        self.settings: GaugeSettings = settings
        self.camera = camera
        self.plane = Plane(camera, settings.thickness, settings.edge)
        self.shape = Shape.of(settings.taught)

    def measure(self, image: np.ndarray) -> Measured:
        """Find the parts, turn them as they were taught, and measure each.

        Args:
            image: `(h, w, 3)` uint8 BGR.

        Returns:
            Never an error for what a picture shows: what cannot be measured is a reason without a
            value, what forbids to judge a broken condition.
        """
        settings = self.settings
        conditions = checks.camera_fits(image, self.camera, settings)
        if conditions and self.camera is not None and self.camera.size != _size(image):
            return Measured(reasons=tuple(conditions))
        conditions += checks.moved(image, settings)
        blobs, trouble = self._blobs(image)
        conditions += trouble
        if not blobs:
            conditions += checks.dark_or_bright(image)
        conditions += checks.parts_in_view(blobs, settings)
        card, trouble = self._card(image)
        conditions += trouble
        grey = grey_of(image)
        parts: List[FoundPart] = []
        blurs, masks = [], np.zeros(grey.shape, bool)
        for blob in blobs:
            sight = self._sight(image, grey, blob, card, len(blobs))
            blurs.append(sight.lying.blur)
            masks |= blob.mask
            conditions += self._likeness(sight.lying)
            parts.append(self._part(sight, blob))
        if blobs:
            conditions += checks.exposure(image, masks, settings)
            known = [b for b in blurs if math.isfinite(b)]
            conditions += checks.focus(max(known) if known else math.nan, settings)
        several = settings.count > 1 or len(parts) > 1
        measures: Dict[str, Measure] = {}
        reasons: List[Reason] = []
        for number, part in enumerate(parts, 1):
            before = f"part{number}_" if several else ""
            for name, value in part.measures.items():
                measures[name if name in self._once else before + name] = value
            for reason in part.reasons:
                once = reason.name in self._once
                if not once or number == 1:
                    reasons.append(reason if once else _renamed(reason, before))
        if not parts:
            reasons += self._nothing(len(blobs))
        return Measured(tuple(parts), measures, tuple(reasons + conditions))

    def look(self, image: np.ndarray) -> Tuple[List[Blob], List[Lying]]:
        """The parts in a picture as they lie, without measuring them; for teaching.

        Raises:
            DataError: No ground can be told from parts.
        """
        grey = grey_of(image)
        blobs = self._parts_alone(find_blobs(image, self.settings.least_area))
        factor = coarseness(image)
        return blobs, [lie(grey, self.plane, blob, self.shape, factor) for blob in blobs]

    def sights(self, image: np.ndarray) -> List[Sight]:
        """The whole parts in a picture, ready to be measured.

        Raises:
            DataError: No ground can be told from parts.
        """
        blobs = self._parts_alone(find_blobs(image, self.settings.least_area))
        grey = grey_of(image)
        return [self._sight(image, grey, blob, None, len(blobs)) for blob in blobs if not blob.cut]

    def _sight(
        self, image: np.ndarray, grey: np.ndarray, blob: Blob, card: Any, count: int
    ) -> Sight:
        found = lying_of(grey, self.plane, blob, self.shape)
        return Sight(grey, image, self.plane, found, blob.mask, self.shape, card, count)

    @property
    def _once(self) -> Tuple[str, ...]:
        """Gauges of the picture and not of each part."""
        return tuple(gauge.name for gauge in self.settings.gauges if gauge.kind in _ONE_OFF)

    def _blobs(self, image: np.ndarray) -> Tuple[List[Blob], List[Reason]]:
        try:
            return self._parts_alone(find_blobs(image, self.settings.least_area)), []
        except DataError as error:
            return [], [Reason("ground", None, condition=True, text=str(error))]

    def _parts_alone(self, blobs: List[Blob]) -> List[Blob]:
        """Without specks, fixed marks and cards."""
        settings, cv2 = self.settings, load_cv2()
        fixed = [*settings.marks, *settings.patches]
        if settings.grey is not None:
            fixed.append(settings.grey)

        def covers(blob: Blob) -> bool:
            around = blob.contour.astype(np.float32).reshape(-1, 1, 2)
            middle = 0.5 * (blob.xyxy[:2] + blob.xyxy[2:])
            return any(
                cv2.pointPolygonTest(around, (0.5 * (x1 + x2), 0.5 * (y1 + y2)), False) >= 0
                or (x1 <= middle[0] <= x2 and y1 <= middle[1] <= y2)
                for x1, y1, x2, y2 in fixed
            )

        blobs = [blob for blob in blobs if not covers(blob)]
        if self.shape is None or not blobs:
            return blobs
        kept = []
        for blob in blobs:
            pixel = self.plane.scale(self.plane.to_plane(blob.contour.mean(axis=0))[0])
            if blob.area * pixel**2 > SPECK * self.shape.area or blob.cut:
                kept.append(blob)
        return kept

    def _likeness(self, found: Lying) -> List[Reason]:
        """Whether this can be the taught part at all."""
        if self.shape is None:
            return []
        # Of the same form but another size it is the taught part made wrongly, and fails.
        extent = float(np.ptp(self.shape.outline, axis=0).max())
        outline = found.pose.to_part(found.outline)
        size = math.sqrt(self.shape.area / max(polygon_area(outline), 1e-9))
        scaled = outline * float(np.clip(size, 1 / ANOTHER, ANOTHER))
        misses = np.abs(signed_misses(scaled, self.shape.outline, extent / 500))
        value = float(np.median(misses)) / extent
        text = "the outline is not that of the taught part: another part, or not seen as a whole"
        return [Reason("likeness", value, high=UNLIKE, condition=True, text=text)]

    def _card(self, image: np.ndarray) -> Tuple[Any, List[Reason]]:
        try:
            return card_of(image, self.settings), []
        except DataError as error:
            return None, [Reason("grey", None, condition=True, text=str(error))]

    def _part(self, sight: Sight, blob: Blob) -> FoundPart:
        measures: Dict[str, Measure] = {}
        reasons: List[Reason] = []
        for gauge in self.settings.gauges:
            try:
                shown = measure_one(gauge, sight)
            except NotFound as error:
                if gauge.limited:
                    text = f"{gauge.name} could not be measured: {error}"
                    reasons.append(Reason(gauge.name, None, gauge.low, gauge.high, text=text))
                continue
            for name, measure, text in shown:
                measures[name] = measure
                if name == gauge.name and gauge.limited:
                    reasons.append(_reason(gauge, measure, text))
        lying = sight.lying
        return FoundPart(
            blob.xyxy, blob.cut, lying.shape, lying.pose.middle, math.degrees(lying.pose.angle),
            self.plane.to_pixels(lying.outline), measures, tuple(reasons), sight.drawn,
        )  # fmt: skip

    def _nothing(self, count: int) -> List[Reason]:
        """Counts are known where nothing is in view."""
        return [
            Reason(g.name, float(count), g.low, g.high)
            for g in self.settings.gauges
            if g.kind in _ONE_OFF and g.limited
        ]


def _reason(gauge: Gauge, measure: Measure, text: str) -> Reason:
    return Reason(
        gauge.name, measure.value, gauge.low, gauge.high, measure.uncertainty, measure.unit,
        text=text,
    )  # fmt: skip


def _renamed(reason: Reason, before: str) -> Reason:
    return Reason(
        before + reason.name, reason.value, reason.low, reason.high, reason.uncertainty,
        reason.unit, reason.condition, reason.text,
    )  # fmt: skip


def grey_of(image: np.ndarray) -> np.ndarray:
    """Grey levels `(h, w)` float32 of a picture, as edges are looked for in."""
    if image.ndim == 2:
        return image.astype(np.float32)
    cv2 = load_cv2()
    return cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2GRAY)


def _size(image: np.ndarray) -> Tuple[int, int]:
    return image.shape[1], image.shape[0]


def lying_of(grey: np.ndarray, plane: Plane, blob: Blob, shape: Optional[Shape] = None) -> Lying:
    """Where a part lies, and how sharp an edge can be: as on the camera's board, if that is known.

    Args:
        grey: `(h, w)` float32.
        plane: What it lies on.
        blob: The part, roughly.
        shape: The taught one.
    """
    found = lie(grey, plane, blob, shape, coarseness(grey))
    if plane.camera is not None and plane.camera.blur > 0:
        found = replace(found, lens=min(found.lens, plane.camera.blur))
    return found


def gauge_pictures(
    images: Union[str, Path],
    settings: Any,
    camera: Optional[Camera] = None,
    out: Optional[Union[str, Path]] = None,
    progress: Optional[Callable[[int, int], None]] = None,
) -> Iterator[Tuple[Path, Optional[np.ndarray], Measured]]:
    """Measure a picture, or each one of a folder.

    Args:
        images: A picture or a folder of them.
        settings: As for `Gauging`.
        camera: As for `Gauging`.
        out: Folder for pictures with the gauges drawn in.
        progress: Called with how many of how many are done.

    Yields:
        Path, picture and what was measured, in the order of names. A picture that cannot be read
        is None and unsure.

    Raises:
        UsageError: There is no picture.
        ConfigError: The section is wrong.
        StorageError: `out` cannot be written.
    """
    gauging = settings if isinstance(settings, Gauging) else Gauging(settings, camera)
    paths = pictures_in(Path(images))
    folder = None if out is None else Path(out)
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{folder} cannot be made", got=error.strerror) from None
    for number, path in enumerate(paths, 1):
        image: Optional[np.ndarray] = None
        try:
            image = read_picture(path)
            measured = gauging.measure(image)
        except DataError as error:
            measured = Measured(
                reasons=(Reason("readable", None, condition=True, text=str(error)),)
            )
        if folder is not None and image is not None:
            from .drawing import draw_measured

            png = load_cv2().imencode(".png", draw_measured(image, measured))[1].tobytes()
            write_whole(folder / f"{path.stem}.png", png)
        if progress is not None:
            progress(number, len(paths))
        yield path, image, measured
