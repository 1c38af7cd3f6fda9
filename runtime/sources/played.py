"""A file played as a live camera: at its own rate, whether anybody looks or not."""

import time
from typing import Any, Dict, Iterator, Optional

from ...core import Frame
from .base import open_source


class PlayedReader:
    """Pictures of a file, a folder of images or a rendered scene, each when its time has come.

    Args:
        spec: `uri` of the source; `speed`, how many times faster than recorded; `loop`, whether
            it begins anew at its end.
    """

    def __init__(self, spec: Dict[str, Any]) -> None:
        self._source = open_source(spec["uri"])
        self._speed, self._loop = float(spec["speed"]), bool(spec["loop"])
        fps = self._source.fps
        self.fps: Optional[float] = fps * self._speed if fps else None
        self._frames: Iterator[Frame] = iter(self._source)
        self._step = 1.0 / (fps or 25.0)
        self._start: Optional[float] = None
        self._first = self._last = 0.0

    def read(self) -> Any:
        """The next picture, at its time.

        Raises:
            Ended: The file is at its end and is not looped.
        """
        from .readers import Ended, Picture

        frame = next(self._frames, None)
        if frame is None:
            if not self._loop:
                raise Ended
            if self._start is not None:
                # The first picture follows the last at the usual distance.
                self._start += (self._last - self._first + self._step) / self._speed
            self._frames = iter(self._source)
            frame = next(self._frames, None)
            if frame is None:
                raise Ended
        if self._start is None:
            self._start, self._first = time.monotonic(), frame.timestamp
        self._last = frame.timestamp
        due = self._start + (frame.timestamp - self._first) / self._speed
        late = time.monotonic() - due
        if late < 0:
            time.sleep(-late)
        elif late > 1.0:
            self._start += late  # a camera does not hurry after a pause
        return Picture(frame.image, due)

    def close(self) -> None:
        """Close the file."""
        self._source.close()
