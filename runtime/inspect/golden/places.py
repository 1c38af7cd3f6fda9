"""Place by place: how far a part lies from many good ones, in their own standard deviations.

Pictures are laid upon the golden one and split into bands of detail (differences of Gaussians:
Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983): a scratch is not hidden by
how much the finish varies at large, nor a stain by noise. Each place of each band has its mean and
spread over the good parts, as in Defard et al., "PaDiM" (2021), there with features of a network.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import ArrayLike

from ....core import DataError
from ...sources.base import load_cv2
from .register import Registration
from .sample import Golden

LEAST = 8  # good parts below which their spread at a place tells nothing
MOST = 60  # from so many on more tell little
BANDS = 4
SHARE = 0.5  # of the spread at a place; the rest is what is usual over the picture
NOISE = 0.25  # grey levels squared: rounding
WORST = 3  # pixels, so that one alone is no defect
LARGE = 640 * 480  # pixels; larger pictures are looked at smaller
FIRST, STEPS = 0.7, (1.21, 2.42, 2.42)  # blur of the first band, and from one to the next


class Deviation(NamedTuple):
    """How a part deviates.

    Attributes:
        worst: `(4,)` standard deviations in the worst place of each band, the finest first.
        map: `(h, w)` float32 in golden pixels: the worst of the bands, each over its scale.
        score: The worst of the bands over its scale.
        warp: From pixels of the golden picture to those of the tested one.
    """

    worst: np.ndarray
    map: np.ndarray
    score: float
    warp: np.ndarray

    def boxes(self, limit: float, size: Tuple[int, int], margin: int = 3) -> List[Tuple]:
        """Places above a limit, the worst first: `((left, top, right, bottom), score)` in pixels
        of the tested picture, of that `(width, height)`."""
        cv2 = load_cv2()
        over = (self.map >= limit).astype(np.uint8)
        if not over.any():
            # The worst is told from a few pixels, of which one alone may lie lower.
            if self.score < limit:
                return []
            over = (self.map >= self.map.max()).astype(np.uint8)
        wide = cv2.dilate(over, np.ones((2 * margin + 1,) * 2, np.uint8))
        count, labels = cv2.connectedComponents(wide, connectivity=8)
        found = []
        for k in range(1, count):
            rows, columns = np.nonzero((labels == k) & (over > 0))
            corners = np.array(
                [(x, y) for x in (columns.min(), columns.max() + 1)
                 for y in (rows.min(), rows.max() + 1)], float
            ) - 0.5  # fmt: skip
            corners = corners @ self.warp[:, :2].T + self.warp[:, 2] + 0.5
            left, top = np.maximum(corners.min(axis=0) - margin, 0)
            right, bottom = np.minimum(corners.max(axis=0) + margin, size)
            if right > left and bottom > top:
                worst = max(float(self.map[rows, columns].max()), limit)
                found.append(((float(left), float(top), float(right), float(bottom)), worst))
        return sorted(found, key=lambda one: -one[1])


class Places:
    """What good parts show at each place.

    Args:
        golden: What pictures are laid upon.
        images: `(h, w, 3)` uint8 BGR of good parts, 8 at least.
        scale: `(4,)` what is usual in the worst place of each band, for good parts that were not
            learnt from; ones without.

    Raises:
        DataError: Too few pictures.
    """

    def __init__(
        self, golden: Golden, images: Sequence[np.ndarray], scale: Optional[ArrayLike] = None
    ) -> None:
        laid = []
        for image in images:
            found = golden.compare(image)
            laid.append((found.laid, found.inside))
        self._learn(golden, laid, scale)

    @classmethod
    def of_laid(
        cls, golden: Golden, laid: Sequence[Tuple[np.ndarray, np.ndarray]],
        scale: Optional[ArrayLike] = None,
    ) -> "Places":  # fmt: skip
        """The same from pictures that were laid upon the golden one before."""
        made = cls.__new__(cls)
        made._learn(golden, laid, scale)
        return made

    def _learn(
        self, golden: Golden, laid: Sequence[Tuple[np.ndarray, np.ndarray]],
        scale: Optional[ArrayLike],
    ) -> None:  # fmt: skip
        if len(laid) < LEAST:
            raise DataError(
                "too few good parts to tell how each place of them varies",
                got=len(laid), expected=f"at least {LEAST}", remedy="take more pictures",
            )  # fmt: skip
        cv2 = load_cv2()
        self._cv2 = cv2
        self._size, self._colour = golden.size, golden.colour
        self._factor = max(float(np.sqrt(golden.size[0] * golden.size[1] / LARGE)), 1.0)
        self.scale = np.ones(BANDS) if scale is None else np.asarray(scale, np.float64)
        few = 1 + 1 / len(laid)
        mean, square = [], []
        for number, (image, _) in enumerate(laid, 1):
            # Mean and spread grow picture by picture (Welford 1962): large ones need no room.
            for k, band in enumerate(self._bands(image)):
                if number == 1:
                    mean.append(band.copy())
                    square.append(np.zeros_like(band))
                    continue
                gap = band - mean[k]
                mean[k] += gap / number
                square[k] += gap * (band - mean[k])
        self._mean = mean
        self._over: List[np.ndarray] = []
        for k, total in enumerate(square):
            variance = total / (len(laid) - 1)
            variance = cv2.GaussianBlur(variance, (0, 0), max(FIRST * 2.0**k, 1.0))
            variance = variance.reshape(mean[k].shape)
            usual = np.median(variance, axis=(0, 1))
            spread = np.sqrt(SHARE * variance + (1 - SHARE) * usual + NOISE) * few
            self._over.append((1 / spread).astype(np.float32))

    def compare(self, laid: np.ndarray, inside: np.ndarray, fit: Registration) -> Deviation:
        """How far a picture deviates that was laid upon the golden one: see `Golden.compare`."""
        cv2 = self._cv2
        worst = np.zeros(BANDS)
        most = np.zeros(self._mean[0].shape[:2], np.float32)
        seen = self._small(inside.astype(np.uint8), cv2.INTER_NEAREST)
        for k, band in enumerate(self._bands(laid)):
            away = cv2.multiply(cv2.absdiff(band, self._mean[k]), self._over[k])
            if away.ndim == 3:
                one, two, three = cv2.split(away)
                away = cv2.max(cv2.max(one, two), three)
            away[seen == 0] = 0
            flat = away.ravel()
            worst[k] = float(np.partition(flat, len(flat) - WORST)[-WORST:].mean())
            away *= 1 / self.scale[k]
            most = cv2.max(most, away)
        if self._factor > 1:
            most = cv2.resize(most, self._size, interpolation=cv2.INTER_LINEAR)
        return Deviation(worst, most, float((worst / self.scale).max()), fit.warp)

    def _small(self, image: np.ndarray, how: int) -> np.ndarray:
        if self._factor == 1:
            return image
        size = tuple(max(int(round(v / self._factor)), 8) for v in self._size)
        return self._cv2.resize(image, size, interpolation=how)

    def _bands(self, image: np.ndarray) -> List[np.ndarray]:
        """Brightness, and two differences of colour where there is colour, in bands of detail."""
        cv2 = self._cv2
        image = self._small(image, cv2.INTER_AREA)
        if self._colour and image.ndim == 2:
            image = cv2.merge((image,) * 3)
        if image.ndim == 3:
            image = cv2.transform(image.astype(np.float32), OPPONENT)
        if image.ndim == 3 and not self._colour:
            image = np.ascontiguousarray(image[..., 0])
        last = cv2.GaussianBlur(image.astype(np.float32), (5, 5), FIRST)
        bands = []
        for step in STEPS[:-1]:
            reach = 2 * int(3 * step) + 1
            soft = cv2.GaussianBlur(last, (reach, reach), step)
            bands.append(last - soft)
            last = soft
        # What is this soft loses nothing at half the size.
        height, width = image.shape[:2]
        half = (max(width // 2, 4), max(height // 2, 4))
        soft = cv2.resize(last, half, interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(soft, (15, 15), STEPS[-1])
        soft = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
        return [*bands, last - soft, soft]


OPPONENT = np.array([[0.114, 0.587, 0.299], [1, -1, 0], [0, -1, 1]], np.float32)
