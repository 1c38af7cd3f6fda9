"""Golden sample: a tested picture against good ones, without any learning of defects."""

from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ....core import DataError
from ...sources.base import load_cv2
from .light import CELLS, cast, light_field
from .register import Level, Registrar, Registration, local_shifts

# Times the tolerance: how far apart two pictures are in the thick of a defect. A tolerance that was
# learnt leaves edges out already.
THICK, THICK_LEARNT = 1.6, 1.2


@dataclass(frozen=True)
class GoldenSettings:
    """How a tested picture is compared; lengths are in pixels of the picture.

    Attributes:
        tolerance: Difference that is allowed, as a share of the golden picture's contrast, where
            only one good picture is known.
        least_tolerance: The same at least where several good pictures show how much they differ.
        spread: How many standard deviations of the good pictures are allowed.
        slack: Pixels by which an edge may lie elsewhere, whichever way it runs.
        reach: Pixels by which a region may be shifted against the whole.
        window: Size of such a region.
        join: Blobs closer than this are one defect.
        area: Smallest defect: pixels of full contrast.
        doubt: From this share of `area` on a blob makes the verdict unsure.
        margin: Pixels around a defect that belong to its box; None for a 64th of the
            picture's shorter side.
    """

    tolerance: float = 0.25
    least_tolerance: float = 0.1
    spread: float = 4.0
    slack: float = 1.5
    reach: float = 2.0
    window: int = 41
    join: int = 6
    area: float = 8.0
    doubt: float = 0.6
    margin: Optional[int] = None


class Blob(NamedTuple):
    """One place where the tested picture differs: box in its pixels, and how much."""

    xyxy: Tuple[float, float, float, float]
    area: float


class Difference(NamedTuple):
    """What a comparison found.

    Attributes:
        blobs: From the largest, those above `doubt` of the smallest defect.
        registration: Where the golden picture lies.
        focus: Sharpness of the tested picture over that of the golden one.
        excess: `(h, w)` float32 in golden pixels: difference beyond the tolerance, of contrast 1.
        laid: The tested picture laid upon the golden one and as light, in golden pixels.
        inside: `(h, w)` bool: where it is seen.
    """

    blobs: List[Blob]
    registration: Registration
    focus: float
    excess: np.ndarray
    laid: np.ndarray
    inside: np.ndarray


def _grey(image: np.ndarray) -> np.ndarray:
    cv2 = load_cv2()
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def _colourless(image: np.ndarray) -> bool:
    """Whether the three channels tell the same."""
    if image.ndim == 2:
        return True
    thin = image[::4, ::4].astype(np.int16)
    return float(np.mean((thin.max(axis=2) - thin.min(axis=2)) > 12)) < 0.002


def sharpness(cv2, grey: np.ndarray, gain: float = 1.0) -> float:
    """Energy of the finest detail, grey levels squared; noise is smoothed away first."""
    soft = cv2.GaussianBlur(grey, (3, 3), 0.8)
    detail = cv2.Laplacian(soft, cv2.CV_16S)
    return gain * gain * float(cv2.meanStdDev(detail)[1][0, 0]) ** 2


def disc(radius: float) -> np.ndarray:
    """Pixels whose middles lie within a radius and half a pixel, `(n, n)` uint8."""
    reach = int(np.ceil(radius))
    along = np.arange(-reach, reach + 1) ** 2
    return (np.add.outer(along, along) <= (radius + 0.5) ** 2).astype(np.uint8)


def _near(cv2, slack: float) -> Tuple[np.ndarray, int]:
    """A disc for morphology, and how many times it is applied."""
    kernel = disc(slack)
    if int(kernel.sum()) == 13:  # the same as a cross twice, which takes a sixth of the time
        return cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), 2
    return kernel, 1


class Golden:
    """One or more good pictures of the same view.

    Args:
        images: `(h, w, 3)` uint8 BGR or `(h, w)` each, all of one size. The first one is what
            others are laid upon; the rest show how much good parts differ.
        settings: How to compare.
        names: Of the pictures, for what is said of them.

    Raises:
        DataError: Pictures differ in size, or one does not look like the first.
    """

    def __init__(
        self, images: Sequence[np.ndarray], settings: Optional[GoldenSettings] = None,
        names: Optional[Sequence[str]] = None,
    ) -> None:  # fmt: skip
        if not images:
            raise DataError("A golden sample needs at least one good picture")
        self.settings = settings or GoldenSettings()
        self._cv2 = load_cv2()
        first = images[0]
        self.size = (first.shape[1], first.shape[0])
        if min(self.size) < 32:
            raise DataError("the golden picture is too small", got=self.size, expected="32 x 32")
        self.grey = _grey(first)
        self.colour = not _colourless(first)
        # Of whatever is larger than a speck, however little of the picture it fills.
        calm = self._cv2.medianBlur(self.grey, 5)
        self.contrast = float(calm.max()) - float(calm.min())
        # Nothing to hold on to: laid as it comes, and only what is new on it can be told.
        self.found_contrast = self.contrast
        self.blank = self.contrast < 12
        if self.blank:
            self.contrast = 128.0
        self.sharpness = sharpness(self._cv2, self.grey)
        self.clipped = (float(np.mean(self.grey <= 2)), float(np.mean(self.grey >= 253)))
        self._registrar = Registrar(self.grey)
        levels = self._registrar.levels
        self._fine: Level = levels[-1]
        self._coarse: Optional[Level] = levels[-2] if len(levels) > 1 else None
        height, width = self.grey.shape
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        self._grid = np.stack((x, y), axis=2)
        base = first if self.colour else self.grey
        self.low = self.high = base
        cells = self._cv2.resize(base, (CELLS, CELLS), interpolation=self._cv2.INTER_AREA)
        self._cells = cells if self.colour else self._cv2.merge((cells,) * 3)
        self.tolerance = np.array(self.settings.tolerance * self.contrast, np.float32)
        if len(images) > 1:
            self._learn(images, names or [f"good picture {k + 1}" for k in range(len(images))])

    def _learn(self, images: Sequence[np.ndarray], names: Sequence[str]) -> None:
        """Bounds and spread of the good pictures, each laid upon the first."""
        cv2 = self._cv2
        base = self.low
        stack = [base]
        for name, image in zip(names[1:], images[1:]):
            if (image.shape[1], image.shape[0]) != self.size:
                raise DataError(
                    f"{name} has another size than {names[0]}",
                    got=(image.shape[1], image.shape[0]),
                    expected=self.size,
                )
            found = self._find(_grey(image))
            if found.likeness < 0.6:
                raise DataError(
                    f"{name} does not look like {names[0]}",
                    got=f"likeness {found.likeness:.2f}",
                    expected="at least 0.6",
                    remedy="leave it out, or teach it as another part",
                )
            seen, inside = self._lay(image if self.colour else _grey(image), found)
            hole = ~inside
            seen[hole] = base[hole]
            stack.append(seen)
        array = np.stack(stack)
        self.low, self.high = array.min(axis=0), array.max(axis=0)
        # Edges of a few pictures lie apart by parts of a pixel: pooled over a small region.
        spread = array.astype(np.float32).std(axis=0, ddof=1)
        if spread.ndim == 3:
            spread = spread.max(axis=2)
        spread = cv2.sqrt(cv2.boxFilter(spread * spread, cv2.CV_32F, (7, 7)))
        few = 1 + 2.0 / len(images)
        self.tolerance = np.maximum(
            self.settings.spread * few * spread, self.settings.least_tolerance * self.contrast
        )

    def _find(self, grey: np.ndarray) -> Registration:
        if not self.blank:
            return self._registrar.register(grey)
        apart = abs(float(grey.mean()) - float(self.grey.mean())) / 128
        return Registration(np.eye(2, 3), 1.0, 0.0, 1.0 - apart, 1.0)

    def _lay(self, image: np.ndarray, found: Registration) -> Tuple[np.ndarray, np.ndarray]:
        """The tested picture laid upon the golden one, and where it is seen at all."""
        cv2, settings = self._cv2, self.settings
        fine = self._fine
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        grey = _grey(image)
        whole = cv2.warpAffine(grey, found.warp, self.size, flags=how,
                               borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
        inside = cv2.warpAffine(
            np.full(grey.shape, 255, np.uint8), found.warp, self.size, flags=how
        )
        small = cv2.resize(
            whole, fine.image.shape[::-1],
            interpolation=cv2.INTER_AREA if fine.factor > 1 else cv2.INTER_LINEAR,
        )  # fmt: skip
        small = cv2.GaussianBlur(small.astype(np.float32), (5, 5), 1.2)
        gain, offset = light_field(fine.image, small, found.gain, found.offset)
        place = self._grid + self._shifts(gain * small + offset, inside)
        place = cv2.transform(place, found.warp.astype(np.float32))
        laid = cv2.remap(image, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        gain = cv2.resize(gain, self.size, interpolation=cv2.INTER_LINEAR)
        if laid.ndim == 3:
            gain = cv2.merge((gain,) * 3)
        laid = cv2.convertScaleAbs(cv2.multiply(laid, gain, dtype=cv2.CV_32F), beta=offset)
        if laid.ndim == 3:
            tint = cast(self._cells, cv2.resize(laid, (CELLS, CELLS), interpolation=cv2.INTER_AREA))
            if np.abs(tint - 1).max() > 0.01:
                laid = cv2.multiply(laid, (*tint.tolist(), 0.0))
        # Beyond the border nothing is known, and beside it as little as edges may wander.
        rim = 2 * int(np.ceil(settings.reach + settings.slack)) + 1
        return laid, cv2.erode(inside, np.ones((rim, rim), np.uint8), borderValue=0) == 255

    def _shifts(self, small: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """By how much places lie elsewhere than the warp says, `(h, w, 2)` float32 pixels.

        Wide regions first, which may lie far off and hardly follow a defect, then small ones.
        """
        cv2, settings, fine = self._cv2, self.settings, self._fine
        window = max(settings.window // fine.factor, 3) | 1
        near = cv2.resize(inside, fine.image.shape[::-1], interpolation=cv2.INTER_AREA)
        near = (near == 255).astype(np.float32)
        start = None
        if self._coarse is not None:
            coarse, size = self._coarse, self._coarse.image.shape[::-1]
            # Four times as wide in pixels of the picture.
            start = local_shifts(
                coarse, cv2.resize(small, size, interpolation=cv2.INTER_AREA),
                2 * settings.reach / coarse.factor, 2 * window | 1, inside=cv2.resize(near, size),
            )  # fmt: skip
            start = cv2.resize(start, fine.image.shape[::-1], interpolation=cv2.INTER_LINEAR)
            start *= coarse.factor / fine.factor
        shift = local_shifts(fine, small, settings.reach / fine.factor, window, start, near)
        return cv2.resize(shift, self.size, interpolation=cv2.INTER_LINEAR) * fine.factor

    def compare(self, image: np.ndarray) -> Difference:
        """Differences of a tested picture that good parts do not explain.

        Args:
            image: `(h, w, 3)` uint8 BGR or `(h, w)`, of the size of the golden one.

        Raises:
            DataError: It has another size.
        """
        cv2 = self._cv2
        if (image.shape[1], image.shape[0]) != self.size:
            raise DataError(
                "the picture has another size than the golden one",
                got=f"{image.shape[1]} x {image.shape[0]}",
                expected=f"{self.size[0]} x {self.size[1]}",
            )
        grey = _grey(image)
        found = self._find(grey)
        focus = sharpness(cv2, grey, found.gain) / max(self.sharpness, 1e-6)
        # A colour on a grey golden part is a difference too.
        coloured = image.ndim == 3 and (self.colour or not _colourless(image))
        laid, inside = self._lay(image if coloured else grey, found)
        low, high = self.low, self.high
        if coloured and low.ndim == 2:
            low, high = cv2.merge((low,) * 3), cv2.merge((high,) * 3)
        excess, thick = self._excess(laid, low, high)
        excess[~inside] = 0
        return Difference(self._blobs(excess, thick, found), found, focus, excess, laid, inside)

    def _excess(
        self, seen: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Difference beyond tolerance and edge slack, and where differences are thick.

        It is looked for both ways, because a gap in a thin line is no lighter than what lies
        beside the line: only the golden line that finds nothing dark near it in the tested picture
        tells. An edge that moved beyond the slack leaves a hair's breadth all along; what is
        nowhere thicker than the slack allows on both sides is no defect.
        """
        cv2, settings = self._cv2, self.settings
        near, times = _near(cv2, settings.slack)
        parts = (
            cv2.subtract(seen, cv2.dilate(high, near, iterations=times)),
            cv2.subtract(cv2.erode(low, near, iterations=times), seen),
            cv2.subtract(low, cv2.dilate(seen, near, iterations=times)),
            cv2.subtract(cv2.erode(seen, near, iterations=times), high),
        )
        most = cv2.max(cv2.max(parts[0], parts[1]), cv2.max(parts[2], parts[3]))
        thick = THICK_LEARNT if self.tolerance.ndim else THICK
        plain = cv2.max(cv2.subtract(seen, high), cv2.subtract(low, seen))
        if most.ndim == 3:
            # An order faster than numpy's maximum along so short an axis.
            most, plain = (cv2.max(cv2.max(*cv2.split(m)[:2]), cv2.split(m)[2])
                           for m in (most, plain))  # fmt: skip
        over = np.maximum(most.astype(np.float32) - self.tolerance, 0)
        full = max(self.contrast * (1 - settings.tolerance), 1.0)
        small = disc(int(settings.slack))
        core = cv2.erode((plain > thick * self.tolerance).astype(np.uint8), small)
        return np.minimum(over / full, 1.0), core

    def _blobs(self, excess: np.ndarray, thick: np.ndarray, found: Registration) -> List[Blob]:
        cv2, settings = self._cv2, self.settings
        mask = (excess > 0).astype(np.uint8)
        if not mask.any():
            return []
        join = settings.join
        wide = cv2.dilate(mask, np.ones((join + 1, join + 1), np.uint8))
        count, labels = cv2.connectedComponents(wide, connectivity=8)
        rows, columns = np.nonzero(mask)
        label = labels[rows, columns]
        area = np.bincount(label, weights=excess[rows, columns], minlength=count)
        core = np.bincount(labels[thick > 0], minlength=count) > 0
        kept = np.flatnonzero(core & (area >= settings.doubt * settings.area))
        margin = settings.margin
        if margin is None:
            margin = max(min(self.size) // 64, 2)
        blobs = []
        for k in kept[np.argsort(-area[kept], kind="stable")]:
            own = label == k
            x1, x2 = columns[own].min(), columns[own].max() + 1
            y1, y2 = rows[own].min(), rows[own].max() + 1
            corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], float) - 0.5
            corners = corners @ found.warp[:, :2].T + found.warp[:, 2] + 0.5
            left, top = np.maximum(corners.min(axis=0) - margin, 0)
            right, bottom = np.minimum(corners.max(axis=0) + margin, self.size)
            if right > left and bottom > top:
                box = (float(left), float(top), float(right), float(bottom))
                blobs.append(Blob(box, float(area[k])))
        return blobs
