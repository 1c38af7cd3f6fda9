"""Recorded detections in place of a camera and a model."""

from typing import Iterator, List, Sequence, Tuple

from ..core import Detections, Observation, UsageError


class Replay:
    """Recorded detections as a source of observations.

    Args:
        frames: Detections by frame, e.g. of `read_mot`.
        fps: Frames a second: frame `i` (from 0) is at `i / fps`, rounded to a microsecond, as
            video files are.
        size: `(width, height)` of the picture they were made in.
        camera: Name of the camera.
        uri: Where they come from.
        confidence: Detections with a lower score are left out.
    """

    live = False

    def __init__(
        self,
        frames: Sequence[Detections],
        fps: float,
        size: Tuple[int, int],
        camera: str = "camera",
        uri: str = "",
        confidence: float = 0.0,
    ) -> None:
        if not 0 < fps < 1e5:
            raise UsageError("fps must be a number above 0", got=fps)
        if min(size) <= 0:
            raise UsageError("size must be width and height above 0", got=size)
        self.detections, self.fps, self.size, self.camera = frames, fps, size, camera
        self.uri = uri or str(getattr(frames, "path", ""))
        self.frames = len(frames)
        self.duration = self.frames / fps
        self.warnings: List[str] = list(getattr(frames, "warnings", ()))
        self._confidence = confidence
        self._start = 0

    def seek(self, index: int) -> None:
        """Begin with the frame `index` when next iterated."""
        self._start = index

    def __iter__(self) -> Iterator[Observation]:
        start, self._start = self._start, 0
        for index in range(start, self.frames):
            seconds = round(index / self.fps, 6)
            found = self.detections[index]
            if self._confidence > 0:
                found = found.select(found.score >= self._confidence)
            yield Observation(self.camera, seconds, found, self.size, None, index)

    def close(self) -> None:
        """Nothing to let go of."""
