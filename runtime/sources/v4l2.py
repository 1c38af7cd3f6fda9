"""USB and other cameras that Linux offers as `/dev/video*`."""

import os
import stat
import threading
import time
from typing import Iterator

from ...core import Frame, SourceError, UsageError
from .base import Query, Source, load_cv2, positive, take
from .timeline import SHARED

_GIVE_UP = 3


class V4l2Source(Source):
    """A camera behind Video4Linux.

    Timestamps are Unix time of the moment that the driver filled the buffer, where it says so,
    else of the moment it was read.

    Args:
        location: The device, e.g. `/dev/video0`.
        camera: Name that the frames carry.
        query: `width`, `height`, `fps` and `format` (four letters, e.g. `MJPG`) to ask for; the
            driver gives the nearest that it has.

    Raises:
        SourceError: No such device, no permission, or no frame comes.
        MissingDependency: OpenCV is not installed.
    """

    live = True

    def __init__(self, location: str, camera: str, query: Query) -> None:
        self.uri, self.camera = f"v4l2://{location}", camera
        self.warnings = []
        self._capture = None
        self._reading = threading.Lock()
        wanted = take(query, self.uri, width=positive, height=positive, fps=positive, format=str)
        fourcc = wanted.get("format", "")
        if fourcc and len(fourcc) != 4:
            raise UsageError(
                f"source {self.uri!r}: format is wrong",
                got=repr(fourcc),
                expected="four letters, e.g. MJPG",
            )
        cv2 = self._cv2 = load_cv2()
        _check_device(location)
        self._capture = cv2.VideoCapture(location, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise SourceError(
                f"{location} cannot be opened as a camera",
                remedy="is another program using it? `v4l2-ctl --list-devices` shows the cameras",
            )
        if fourcc:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*fourcc))
        for key, name in (
            ("width", "FRAME_WIDTH"),
            ("height", "FRAME_HEIGHT"),
            ("fps", "FPS"),
        ):
            if key in wanted:
                self._capture.set(getattr(cv2, f"CAP_PROP_{name}"), wanted[key])
        good, image = self._capture.read()
        if not good:
            self.close()
            raise SourceError(
                f"{location} gives no frames",
                remedy="try another number: many cameras offer two, one without pictures",
            )
        self.size = (image.shape[1], image.shape[0])
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = float(fps) if 0 < fps < 1e4 else None
        for key, got in (("width", self.size[0]), ("height", self.size[1])):
            if key in wanted and int(wanted[key]) != got:
                self.warnings.append(
                    f"{location} has no {key} of {wanted[key]:g}: it gives "
                    f"{self.size[0]}x{self.size[1]}."
                )

    def __iter__(self) -> Iterator[Frame]:
        index = failed = 0
        while True:
            with self._reading:
                if self._capture is None:
                    return
                good = self._capture.grab()
                now = self._now()
                if good:
                    good, image = self._capture.retrieve()
            if not good:
                failed += 1
                if failed >= _GIVE_UP:
                    raise SourceError(
                        f"{self.uri} stopped giving frames",
                        remedy="check the cable and the power of the camera",
                    )
                continue
            failed = 0
            yield Frame(image, now, self.camera, index)
            index += 1

    def _now(self) -> float:
        age = time.monotonic() - self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1e3  # type: ignore[union-attr]
        # Drivers stamp with the monotonic clock; anything else is no age of a fresh frame.
        return SHARED.unix(time.monotonic() - (age if 0 <= age < 2 else 0.0))

    def close(self) -> None:
        # Releasing a device that another thread reads from crashes; one that hangs is left to
        # the end of the process.
        if self._capture is not None and self._reading.acquire(timeout=0.5):
            self._capture.release()
            self._capture = None
            self._reading.release()


def _check_device(location: str) -> None:
    try:
        mode = os.stat(location).st_mode
    except OSError:
        raise SourceError(
            f"{location} does not exist",
            remedy="is the camera plugged in? `ls /dev/video*` shows what is there",
        ) from None
    if not stat.S_ISCHR(mode):
        raise SourceError(f"{location} is no camera device", expected="e.g. /dev/video0")
    if not os.access(location, os.R_OK | os.W_OK):
        raise SourceError(
            f"{location} may not be read by this user",
            remedy="`sudo usermod -aG video $USER`, then log in again",
        )
