"""`synth://bench`: parts on a conveyor, seen from above through a lens that distorts.

Lens model: Brown, "Close-range camera calibration" (1971), with OpenCV's order of coefficients:
k1, k2, p1, p2, k3.
"""

from dataclasses import dataclass
from typing import Any, List, Tuple

import numpy as np

from ...core import Detections, Frame, UsageError, did_you_mean
from ..sources.base import load_cv2
from . import textures
from .draws import Draws, grey
from .parts import KINDS, Part, draw_part, draw_product, flaw_outline, paint, turned
from .scene import COMMON, Scene, _number
from .sensor import Sensor

PRODUCTS, BELT = 12, 13  # streams of chance


@dataclass(frozen=True)
class PartsTruth:
    """Everything about the parts in one frame, in rising order of ids.

    Attributes:
        index: Number of the frame.
        timestamp: Seconds.
        track_id: `(n,)` int64 from 1.
        class_id: `(n,)` int64, place of the kind in `parts.KINDS`.
        xyxy: `(n, 4)` float64 pixels around the part, cut at the picture.
        whole: `(n, 4)` the same, not cut.
        visibility: `(n,)` share of the box that is in the picture.
        outline: For each part `(k, 2)` pixels of its edge.
        kind: `washer`, `bracket` or `cap`.
        defect: `none`, `scratch`, `dent`, `missing_hole`, `wrong_size` or `wrong_colour`.
        flaw: `(n, 4)` pixels around a scratch, a dent or the place of a missing hole; else zeros.
        place: `(n, 2)` millimetres of the middle on the belt, from the point under the lens; x to
            the right, y down in the picture.
        angle: `(n,)` radians from x to y.
        size: `(n, 2)` millimetres, length and width.
        nominal: `(n, 2)` millimetres that it should have.
    """

    index: int
    timestamp: float
    track_id: np.ndarray
    class_id: np.ndarray
    xyxy: np.ndarray
    whole: np.ndarray
    visibility: np.ndarray
    outline: List[np.ndarray]
    kind: List[str]
    defect: List[str]
    flaw: np.ndarray
    place: np.ndarray
    angle: np.ndarray
    size: np.ndarray
    nominal: np.ndarray

    def __len__(self) -> int:
        return len(self.track_id)

    def detections(self, visible: float = 0.25) -> Detections:
        """What a perfect detector with perfect ids would say."""
        kept = np.flatnonzero(self.visibility >= max(visible, 1e-6))
        return Detections(
            self.xyxy[kept], np.ones(len(kept)), self.class_id[kept], self.track_id[kept]
        )


def _kind(value: Any) -> str:
    if value not in ("mixed", *KINDS):
        raise UsageError(
            f"scene 'bench': unknown part {value!r}", remedy=did_you_mean(str(value), KINDS)
        )
    return value


class Bench(Scene):
    """A conveyor.

    Args:
        parameters: `seed`, `fps`, `size`, `seconds`; `part`: `washer`, `bracket`, `cap` or
            `mixed`; `defects`: share of the parts that have one; `speed` of the belt in
            millimetres a second.

    Attributes:
        camera_matrix: `(3, 3)` float64, pixels.
        distortion: `(5,)` float64: k1, k2, p1, p2, k3.
        height_mm: From the lens down to the belt, on which parts lie flat.
        products: What parts should be.
        parts: All that come.
    """

    name = "bench"
    known = {
        **COMMON,
        "part": (_kind, "mixed"),
        "defects": (_number(0, 1), 0.3),
        "speed": (_number(10, 400), 100.0),
    }
    categories = KINDS

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        draw = Draws(self.seed, PRODUCTS)
        width, height = self.size
        focal = draw.uniform(1.0, 1.2) * max(width, height)
        middle = (width * draw.uniform(0.48, 0.52), height * draw.uniform(0.48, 0.52))
        self.camera_matrix = np.array(
            [[focal, 0, middle[0]], [0, focal * draw.uniform(0.998, 1.002), middle[1]], [0, 0, 1.0]]
        )
        self.distortion = np.array(
            [draw.uniform(-0.28, -0.12), draw.uniform(0.02, 0.08), draw.uniform(-8e-4, 8e-4),
             draw.uniform(-8e-4, 8e-4), 0.0]
        )  # fmt: skip
        self.height_mm = draw.uniform(300, 360)
        self.speed: float = self.parameters["speed"]
        self.products = {kind: draw_product(draw, kind) for kind in KINDS}
        self._half = 0.5 * width / focal * self.height_mm * 1.35 + 40
        chosen = self.parameters["part"]
        self.parts: List[Part] = []
        time = -2 * self._half / self.speed
        while time < self.duration + 1:
            kind = draw.pick(KINDS) if chosen == "mixed" else chosen
            number = len(self.parts) + 1
            one = Draws(self.seed, PRODUCTS, number)
            bad = self.parameters["defects"]
            self.parts.append(draw_part(one, self.products[kind], number, time, bad))
            time += draw.uniform(75, 125) / self.speed
        self._cv2: Any = None
        self._sensor: Any = None

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixels `(n, 2)` in the picture of points on the belt `(n, 2)` in millimetres."""
        x, y = (np.asarray(points, np.float64) / self.height_mm).T
        k1, k2, p1, p2, k3 = self.distortion
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        dx = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)
        dy = y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y
        fx, fy = self.camera_matrix[0, 0], self.camera_matrix[1, 1]
        return np.stack((dx * fx + self.camera_matrix[0, 2], dy * fy + self.camera_matrix[1, 2]), 1)

    def to_mm(self, pixels: np.ndarray) -> np.ndarray:
        """Millimetres on the belt `(n, 2)` of pixels `(n, 2)`, by Newton-like steps."""
        fx, fy = self.camera_matrix[0, 0], self.camera_matrix[1, 1]
        goal = np.asarray(pixels, np.float64)
        flat = (goal - self.camera_matrix[:2, 2]) / (fx, fy) * self.height_mm
        for _ in range(25):
            flat = flat + (goal - self.to_pixels(flat)) / (fx, fy) * self.height_mm
        return flat

    def render(self, index: int, camera: str = "camera") -> Tuple[Frame, PartsTruth]:  # type: ignore[override]
        """One frame and the truth about it."""
        self._open()
        cv2, time = self._cv2, self.time(index)
        height, width = self._shape
        shift = int(round(time * self.speed * self._scale)) % self._belt_period
        start = self._belt_period - shift
        canvas = self._belt[:height, start : start + width].copy()
        for part in self.parts:
            x = self._at(part, time)
            if abs(x) < self._half:
                paint(
                    cv2, canvas, part,
                    lambda p, part=part, x=x: turned(p, part, x) * self._scale + self._origin,
                    self._grain,
                )  # fmt: skip
        image = cv2.remap(canvas, *self._map, cv2.INTER_LINEAR)
        blur = self.speed * self._sensor.exposure * 0.15 * self._scale
        if blur > 0.7:
            image = cv2.blur(image, (2 * int(blur / 2) + 1, 1))
        image = cv2.multiply(image, self._vignette, scale=1 / 255)
        image = self._sensor.see(image, index, time)
        return Frame(image, time, camera, index), self.truth(index)

    def truth(self, index: int) -> PartsTruth:  # type: ignore[override]
        """The truth about one frame, without its picture."""
        time = self.time(index)
        width, height = self.size
        limits = np.array([width, height, width, height], float)
        rows, wholes, outlines, flaws, places = [], [], [], [], []
        for part in self.parts:
            x = self._at(part, time)
            if abs(x) >= self._half:
                continue
            edge = np.round(self.to_pixels(turned(part.outline, part, x)), 3)
            box = np.concatenate((edge.min(axis=0), edge.max(axis=0)))
            if box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
                continue
            flaw = flaw_outline(part)
            around = np.zeros(4)
            if flaw is not None:
                spot = self.to_pixels(turned(flaw, part, x))
                around = np.round(np.concatenate((spot.min(axis=0), spot.max(axis=0))), 3)
            rows.append(part)
            wholes.append(box)
            outlines.append(edge)
            flaws.append(around)
            places.append((round(x, 4), round(part.across, 4)))
        whole = np.array(wholes).reshape(-1, 4)
        cut = np.clip(whole, 0, limits)
        area = (whole[:, 2:] - whole[:, :2]).prod(axis=1)
        share = (cut[:, 2:] - cut[:, :2]).prod(axis=1) / np.maximum(area, 1e-9)
        nominal = [self.products[p.kind] for p in rows]
        return PartsTruth(
            index=index,
            timestamp=time,
            track_id=np.array([p.id for p in rows], np.int64),
            class_id=np.array([KINDS.index(p.kind) for p in rows], np.int64),
            xyxy=cut,
            whole=whole,
            visibility=np.round(share, 4),
            outline=outlines,
            kind=[p.kind for p in rows],
            defect=[p.defect for p in rows],
            flaw=np.array(flaws).reshape(-1, 4),
            place=np.array(places).reshape(-1, 2),
            angle=np.array([p.angle for p in rows]),
            size=np.round(np.array([(p.length, p.width) for p in rows]).reshape(-1, 2), 4),
            nominal=np.round(np.array([(p.length, p.width) for p in nominal]).reshape(-1, 2), 4),
        )

    def _at(self, part: Part, time: float) -> float:
        """Millimetres from the point under the lens, along the belt."""
        return (time - part.start) * self.speed - self._half

    def _open(self) -> None:
        if self._cv2 is not None:
            return
        cv2 = load_cv2()
        draw = Draws(self.seed, BELT)
        width, height = self.size
        # The belt is drawn flat, a little finer than the picture, then seen through the lens.
        y, x = np.mgrid[0:height, 0:width].astype(np.float64)
        grid = self.to_mm(np.stack((x.ravel(), y.ravel()), axis=1))
        low, high = grid.min(axis=0) - 2, grid.max(axis=0) + 2
        self._scale = 1.15 * self.camera_matrix[0, 0] / self.height_mm
        self._origin = -low * self._scale
        self._shape = tuple(int(np.ceil(v)) for v in ((high - low) * self._scale)[::-1])
        flat = ((grid - low) * self._scale).astype(np.float32).reshape(height, width, 2)
        self._map = (np.ascontiguousarray(flat[..., 0]), np.ascontiguousarray(flat[..., 1]))
        rng = np.random.RandomState(draw.whole(2**31))
        period = 512
        tile = textures.cloud(cv2, rng, self._shape[0], period, 24)
        fade = np.linspace(0, 1, 64, dtype=np.float32)
        tile[:, -64:] = tile[:, -64:] * (1 - fade) + tile[:, :1] * fade
        tone = draw.pick([draw.uniform(35, 75), draw.uniform(35, 75), draw.uniform(150, 190)])
        belt = np.array(grey(tone, draw.uniform(-0.15, 0.1)), np.float32) * (
            1 + 0.06 * tile[..., None] + rng.normal(0, 0.025, (*tile.shape, 1))
        )
        seam = draw.whole(period)
        belt[:, seam : seam + 2] *= 0.8
        repeats = -(-(self._shape[1] + period) // period) + 1
        self._belt_period = period
        self._belt = np.tile(np.clip(belt, 0, 255).astype(np.uint8), (1, repeats, 1))
        self._grain = textures.cloth(cv2, self.seed)
        far = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * draw.uniform(0.2, 0.6)
        shade = np.clip(255 * (1 - far), 0, 255).astype(np.uint8)
        self._vignette = cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR)
        self._sensor = Sensor(cv2, self.seed, self.size)
        self._cv2 = cv2
