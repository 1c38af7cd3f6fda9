"""Registration: where each point of a golden picture lies in a tested one.

An affine warp is found coarse to fine by Gauss-Newton steps over the pixels with the steepest
edges, in the inverse compositional form (Baker and Matthews, "Lucas-Kanade 20 years on", 2004)
with Cauchy weights, so that defects pull little. What the warp leaves is taken up by a smooth
field of small shifts.
"""

from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

import numpy as np

from ...sources.base import load_cv2
from .light import as_light, slope

COARSEST = 80  # pixels of the shorter side at which the search begins
EDGES = 2500  # pixels that take part in a step
LIKELY = (0.02, 0.03, 0.004, 0.004)  # scale, turn, stretch and shear that are nothing special


@dataclass(frozen=True)
class Registration:
    """Where the golden picture lies in the tested one.

    Attributes:
        warp: `(2, 3)` float64: pixels of the golden picture to pixels of the tested one.
        gain: What the tested picture is multiplied with to be as light as the golden one.
        offset: Grey levels to add after that.
        likeness: Correlation of the two pictures where both are seen, -1..1.
        covered: Share of the golden picture that is in view, 0..1.
    """

    warp: np.ndarray
    gain: float
    offset: float
    likeness: float
    covered: float

    @property
    def worth(self) -> float:
        """Likeness, less for what is out of view: a sliver is easily alike."""
        return self.likeness - 0.5 * (1 - self.covered)

    @property
    def angle(self) -> float:
        """Degrees by which the tested picture is turned, from x to y."""
        (a, b, _), (c, d, _) = self.warp
        return float(np.degrees(np.arctan2(c - b, a + d)))

    @property
    def scale(self) -> float:
        """How many times larger the tested picture is."""
        return float(np.sqrt(abs(np.linalg.det(self.warp[:, :2]))))


class Level:
    """One size of the golden picture with what the steps need of it."""

    def __init__(self, cv2: Any, golden: np.ndarray, factor: int) -> None:
        self.factor = factor
        self.image = image = shrink(cv2, golden, factor)
        y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
        self.grid = np.stack((x, y), axis=2)
        self.dx = cv2.Sobel(image, cv2.CV_32F, 1, 0, scale=0.125)
        self.dy = cv2.Sobel(image, cv2.CV_32F, 0, 1, scale=0.125)
        steep = cv2.magnitude(self.dx, self.dy)
        # The steepest pixel of every small cell, so that the whole picture has its say.
        cell = max(int(np.sqrt(image.size / EDGES / 2)), 1)
        rows, columns = image.shape[0] // cell, image.shape[1] // cell
        cells = steep[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
        cells = cells.transpose(0, 2, 1, 3).reshape(rows * columns, cell * cell)
        best = cells.argmax(axis=1)
        y = np.arange(rows).repeat(columns) * cell + best // cell
        x = np.tile(np.arange(columns), rows) * cell + best % cell
        strong = steep[y, x]
        order = np.argsort(-strong, kind="stable")[:EDGES]
        order = order[strong[order] > 0.02 * (strong.max() + 1e-9)]
        self.x, self.y = x[order].astype(np.float64), y[order].astype(np.float64)
        self.value = image[y[order], x[order]].astype(np.float64)
        gx, gy = self.dx[y[order], x[order]], self.dy[y[order], x[order]]
        height, width = image.shape
        self.fine = self.detail(cv2, image)
        self.middle, self.half = ((width - 1) / 2, (height - 1) / 2), max(width, height) / 2
        u, v = (self.x - self.middle[0]) / self.half, (self.y - self.middle[1]) / self.half
        self.places = np.stack((u, v))
        # Shift, scale, turn; then what makes a similarity an affine warp.
        self.steepest = np.stack(
            (gx, gy, gx * u + gy * v, gy * u - gx * v, gx * u - gy * v, gx * v + gy * u), axis=1
        ).astype(float)

    @staticmethod
    def detail(cv2: Any, image: np.ndarray) -> np.ndarray:
        """What differs from its wider surroundings."""
        side = (min(image.shape) // 6) | 1
        return image - cv2.boxFilter(image, cv2.CV_32F, (side, side), borderType=cv2.BORDER_REFLECT)


def shrink(cv2: Any, image: np.ndarray, factor: int) -> np.ndarray:
    """The picture `factor` times smaller and a little soft, float32."""
    if factor > 1:
        size = (max(image.shape[1] // factor, 8), max(image.shape[0] // factor, 8))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(image.astype(np.float32), (5, 5), 1.2)


def _between(warp: np.ndarray, factor: float) -> np.ndarray:
    """A warp between full pictures as one between pictures `factor` times smaller, or back."""
    # Middles of pixels stay middles: x_full + 0.5 = factor (x_small + 0.5).
    shift = 0.5 * (factor - 1)
    result = warp.copy()
    result[:, 2] = (warp[:, :2] @ (shift, shift) + warp[:, 2] - shift) / factor
    return result


class Registrar:
    """Finds golden pictures of one kind in tested ones.

    Args:
        golden: `(h, w)` uint8.
    """

    def __init__(self, golden: np.ndarray) -> None:
        self._cv2 = load_cv2()
        self.golden = golden
        short = min(golden.shape)
        factors: List[int] = []
        factor = 1
        while short / (2 * factor) >= COARSEST / 2 * 1.5 and factor < 64:
            factor *= 2
            factors.append(factor)
        self.levels = [Level(self._cv2, golden, f) for f in reversed(factors or [1])]
        self._spectrum_size = self.levels[0].image.shape[::-1]
        self._window = self._cv2.createHanningWindow(self._spectrum_size, self._cv2.CV_32F)

    def register(self, image: np.ndarray) -> Registration:
        """Find the golden picture in a tested one of the same size.

        Args:
            image: `(h, w)` uint8.
        """
        cv2 = self._cv2
        smaller = [shrink(cv2, image, level.factor) for level in self.levels]
        best = self._refine(smaller, np.eye(2, 3))
        if best.likeness < 0.9:
            for start in self._starts(smaller[0]):
                other = self._refine(smaller, start)
                if other.worth > best.worth:
                    best = other
        if best.likeness < 0.3:  # found nowhere: best seen as it stands
            return self._judge(self.levels[-1], smaller[-1], np.eye(2, 3))
        return best

    def _starts(self, image: np.ndarray) -> List[np.ndarray]:
        """The likeliest of a few turns and scales with the shift that phase correlation gives."""
        cv2, level = self._cv2, self.levels[0]
        found: List[Tuple[float, np.ndarray]] = []
        for angle in (-4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5):
            for scale in (0.97, 1.0, 1.03):
                warp = cv2.getRotationMatrix2D(level.middle, -angle, scale)
                seen = cv2.warpAffine(
                    image, warp, self._spectrum_size,
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
                )  # fmt: skip
                # OpenCV lays its window upon the very pictures it is given, where their size suits
                # its Fourier transform: the golden one must not be what it works on.
                (x, y), peak = cv2.phaseCorrelate(level.image.copy(), seen, self._window)
                warp[:, 2] += warp[:, :2] @ (x, y)
                found.append((peak, _between(warp, 1 / level.factor)))
        found.sort(key=lambda pair: -pair[0])
        return [warp for _, warp in found[:3]]

    def _refine(self, smaller: List[np.ndarray], warp: np.ndarray) -> Registration:
        for level, image in zip(self.levels, smaller):
            freedom = 6 if level is self.levels[-1] else 4
            local = self._steps(level, image, _between(warp, level.factor), freedom)
            warp = _between(local, 1 / level.factor)
        level, image = self.levels[-1], smaller[-1]
        return self._judge(level, image, warp)

    def _steps(self, level: Level, image: np.ndarray, warp: np.ndarray, freedom: int) -> np.ndarray:
        """Gauss-Newton steps on one level; `freedom` 4 keeps to similarities, 6 does not."""
        cv2 = self._cv2
        height, width = image.shape
        xy = np.stack((level.x, level.y))
        # A sparse picture says little about some of these; there the likely is kept to.
        likely = np.array(LIKELY) * level.half
        weight = np.zeros(level.x.size)
        for _ in range(12):
            x, y = warp[:, :2] @ xy + warp[:, 2:]
            inside = (x > 1) & (y > 1) & (x < width - 2) & (y < height - 2)
            if inside.sum() < 30:
                break
            seen = cv2.remap(
                image, x.astype(np.float32)[None], y.astype(np.float32)[None], cv2.INTER_LINEAR
            )[0].astype(np.float64)
            gain, offset = as_light(seen[inside], level.value[inside])
            rest = gain * seen + offset - level.value
            rest -= slope(level.places, seen, rest, weight)  # none in the first step
            spread = 1.4826 * _median(np.abs(rest[inside])) + 1.0
            weight = inside / (1 + (rest / (2 * spread)) ** 2)
            weighted = level.steepest * weight[:, None]
            normal, right = weighted.T @ level.steepest, weighted.T @ rest
            (a, b, _), (c, d, _) = warp
            state = np.array((a + d - 2, c - b, a - d, b + c)) / 2 * level.half
            prior = 10 * (spread / likely) ** 2
            normal[range(2, 6), range(2, 6)] += prior
            right[2:] += prior * state
            normal[range(2), range(2)] += 1e-6 + 1e-5 * normal[:2, :2].trace()
            step = np.zeros(6)
            step[:freedom] = np.linalg.solve(normal[:freedom, :freedom], right[:freedom])
            delta = np.eye(3)
            s, r, p, q = step[2:] / level.half
            delta[:2, :2] += ((s + p, q - r), (q + r, s - p))
            delta[:2, 2] = step[:2] - (delta[:2, :2] - np.eye(2)) @ level.middle
            warp = (np.vstack((warp, (0, 0, 1))) @ np.linalg.inv(delta))[:2]
            if np.abs(step).max() < 0.01:
                break
        return warp

    def _judge(self, level: Level, image: np.ndarray, whole: np.ndarray) -> Registration:
        cv2 = self._cv2
        warp = _between(whole, level.factor)
        size = image.shape[::-1]
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        if not np.isfinite(warp).all() or not 0.3 < np.linalg.det(warp[:, :2]) < 3:
            return Registration(np.eye(2, 3), 1.0, 0.0, -1.0, 0.0)
        seen = cv2.warpAffine(image, warp, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.warpAffine(np.full(image.shape, 255, np.uint8), warp, size, flags=how) > 250
        covered = float(inside.mean())
        if covered < 0.2:
            return Registration(whole, 1.0, 0.0, -1.0, covered)
        a, b = level.image[inside], seen[inside]
        # Light that falls off across the picture hides what is alike, but for a plane or in detail.
        fine, own = level.fine[inside], level.detail(cv2, seen)[inside]
        likeness = max(_alike(a, b), _alike(fine, own))
        if likeness < 0.95:
            y, x = np.nonzero(inside)
            likeness = max(likeness, _alike(_level(a, x, y), _level(b, x, y)))
        gain = as_light(own, fine)[0]
        # Once more without what is a defect or lies beside an edge.
        calm = np.abs(gain * own - fine) < 0.15 * (float(a.max()) - float(a.min())) + 2
        if calm.mean() > 0.5:
            gain, a, b = as_light(own[calm], fine[calm])[0], a[calm], b[calm]
        offset = float(a.mean() - gain * b.mean())
        return Registration(whole, gain, offset, likeness, covered)


def _median(values: np.ndarray) -> float:
    """The upper one of two in the middle; many times faster than the mean of both."""
    middle = values.size // 2
    return float(np.partition(values, middle)[middle])


def _alike(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two rows of values, -1..1."""
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / np.sqrt((a @ a) * (b @ b) + 1e-9))


def _level(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values without the plane that fits them best."""
    columns = np.stack((np.ones(len(x)), x, y))
    few = columns[:, ::7]
    plane = np.linalg.lstsq(few @ few.T, few @ values[::7], rcond=None)[0]
    return values - (plane @ columns).astype(np.float32)


def local_shifts(
    golden: Level,
    seen: np.ndarray,
    reach: float,
    window: int,
    start: Optional[np.ndarray] = None,
    inside: Optional[np.ndarray] = None,
) -> np.ndarray:
    """Small shifts that the affine warp leaves, smooth over a window.

    Args:
        golden: One size of the golden picture.
        seen: `(h, w)` float32 of the same size, warped and as light as the golden picture.
        reach: Largest shift beyond the start, in pixels of that size.
        window: Pixels of that size over which one shift is found.
        start: `(h, w, 2)` float32 shifts that are known already.
        inside: `(h, w)` float32, 0 where `seen` shows nothing.

    Returns:
        `(h, w, 2)` float32: add to a place of the golden picture to find it in `seen`.
    """
    cv2 = load_cv2()
    box = (window, window)

    def mean(image: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(image, cv2.CV_32F, box, borderType=cv2.BORDER_REFLECT)

    gx, gy = golden.dx, golden.dy
    if inside is not None:
        gx, gy = gx * inside, gy * inside
    xx, xy, yy = mean(gx * gx), mean(gx * gy), mean(gy * gy)
    # Where there are no edges, or edges one way alone, the shift stays at nothing.
    damp = 0.02 * float((xx + yy).mean()) + 1e-3
    xx, yy = xx + damp, yy + damp
    over = 1.0 / (xx * yy - xy * xy)
    # Beyond what a shift of `reach` explains it is a defect, not a shift.
    limit = 1.5 * reach * cv2.magnitude(gx, gy) + 1
    shift = np.zeros((*seen.shape, 2), np.float32)
    for turn in range(2):
        image = seen
        if turn or start is not None:
            place = golden.grid + shift if start is None else golden.grid + start + shift
            image = cv2.remap(seen, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        rest = image - golden.image
        rest /= 1 + (rest / limit) ** 2
        bx, by = mean(gx * rest), mean(gy * rest)
        shift[..., 0] -= over * (yy * bx - xy * by)
        shift[..., 1] -= over * (xx * by - xy * bx)
        np.clip(shift, -reach, reach, out=shift)
    return shift if start is None else start + shift
