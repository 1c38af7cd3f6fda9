"""One picture from one camera."""

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from .errors import DataError


@dataclass(frozen=True)
class Frame:
    """One picture from one camera at one moment.

    Attributes:
        image: `(h, w, 3)` uint8, BGR.
        timestamp: Seconds. From the container for a file (its first frame is 0.0 or later),
            Unix time for a live camera.
        camera: Name of the camera.
        index: Number of the frame in its source, from 0. Dropped frames leave a hole.
        captured: Seconds of `time.monotonic()` when the picture was taken or arrived, where that
            is known: latencies are measured from there.
    """

    image: np.ndarray
    timestamp: float
    camera: str = "camera"
    index: int = 0
    captured: Optional[float] = None

    def __post_init__(self) -> None:
        image = self.image
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            raise DataError(
                "Frame.image must be a uint8 array",
                got=getattr(image, "dtype", type(image).__name__),
            )
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise DataError(
                "Frame.image must be a BGR picture", got=image.shape, expected="(h, w, 3)"
            )
        if not np.isfinite(self.timestamp):
            raise DataError("Frame.timestamp must be finite seconds", got=self.timestamp)

    @property
    def size(self) -> Tuple[int, int]:
        """`(width, height)` in pixels."""
        return self.image.shape[1], self.image.shape[0]
