"""A picture of the scene without the people in it."""

from typing import Iterator, List, Optional, Tuple

import numpy as np

from .sources.base import load_cv2

MOST = 24
WIDEST = 960


class Scene:
    """Frames spread evenly over a run of any length, and their median.

    Every frame is kept at first; when `MOST` are held every second one goes and the interval
    doubles. A pixel's median over the run is what stands there most of the time.
    """

    def __init__(self) -> None:
        self._samples: List[Tuple[int, np.ndarray]] = []
        self._interval = 1
        self._due = 0

    @property
    def rich(self) -> bool:
        """Whether there are enough samples for people to vanish."""
        return len(self._samples) >= MOST // 2

    def offer(self, image: np.ndarray, index: int) -> None:
        """Show a `(h, w, 3)` uint8 BGR picture; it is copied if it is its turn.

        Args:
            image: The picture.
            index: Its number; rising.
        """
        if index < self._due:
            return
        height, width = image.shape[:2]
        if width > WIDEST:
            cv2 = load_cv2()
            size = (WIDEST, max(round(height * WIDEST / width), 1))
            sample = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        else:
            sample = image.copy()
        if self._samples and self._samples[0][1].shape != sample.shape:
            return
        self._samples.append((index, sample))
        if len(self._samples) >= MOST:
            self._interval *= 2
            self._samples = self._samples[::2]
        self._due = self._samples[-1][0] + self._interval

    def picture(self) -> Optional[np.ndarray]:
        """The median, `(h, w, 3)` uint8 BGR at most `WIDEST` wide, or None before any frame."""
        if not self._samples:
            return None
        return median([image for _, image in self._samples])

    def jpeg(self, quality: int = 80) -> Optional[bytes]:
        """The median as JPEG, or None before any frame."""
        picture = self.picture()
        if picture is None:
            return None
        cv2 = load_cv2()
        good, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return data.tobytes() if good else None


def median(images: List[np.ndarray]) -> np.ndarray:
    """The (upper) median of equally large uint8 images, pixel by pixel and channel by channel.

    Sorts whole images with Batcher's odd-even merge network (K. E. Batcher, "Sorting networks
    and their applications", 1968): minimum and maximum of bytes run at the speed of memory,
    some ten times faster than sorting each pixel.
    """
    count = len(images)
    pairs = list(_network(count))
    result = np.empty_like(images[0])
    rows = max(65536 // max(images[0][0].nbytes, 1), 1)  # bands that stay in the cache
    for top in range(0, len(result), rows):
        band = [image[top : top + rows].copy() for image in images]
        spare = np.empty_like(band[0])
        for low, high in pairs:
            np.minimum(band[low], band[high], out=spare)
            np.maximum(band[low], band[high], out=band[high])
            band[low], spare = spare, band[low]
        result[top : top + rows] = band[count // 2]
    return result


def _network(count: int) -> Iterator[Tuple[int, int]]:
    size = 1
    while size < count:
        step = size
        while step >= 1:
            for start in range(step % size, count - step, 2 * step):
                for low in range(start, min(start + step, count - step)):
                    if low // (2 * size) == (low + step) // (2 * size):
                        yield low, low + step
            step //= 2
        size *= 2
