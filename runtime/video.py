"""Annotated video: into a file, or into a window."""

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any, Callable, Optional, Tuple

import numpy as np

from ..core import MissingDependency, StorageError, UsageError
from .loop import Step
from .sources.base import load_cv2

CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}
LONGEST_GAP_S = 60.0
_SPARE = 4_000_000

Draw = Callable[[Step], Optional[np.ndarray]]


class VideoWriter:
    """A video at a constant rate that keeps true time.

    A picture is shown until the next one's time: it is repeated where frames come slower than
    the rate, and left out where they come faster. Gaps longer than `LONGEST_GAP_S` are
    shortened to that.

    Args:
        path: `.mp4` (MPEG-4), `.mkv` or `.avi` (motion JPEG).
        fps: Rate; taken into 1..60; 25 where it is None.
        size: `(width, height)` of the pictures.

    Raises:
        UsageError: The ending is none of these.
        StorageError: The file cannot be written.
        MissingDependency: OpenCV is not installed.
    """

    def __init__(self, path: Any, fps: Optional[float], size: Tuple[int, int]) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in CODECS:
            raise UsageError(
                f"video {self.path}: unknown ending",
                got=repr(self.path.suffix),
                expected="one of " + ", ".join(CODECS),
            )
        self.fps = min(max(fps or 25.0, 1.0), 60.0)
        self.size = (int(size[0]), int(size[1]))
        cv2 = load_cv2()
        try:
            # OpenCV does not say why it cannot write; the system does.
            with open(self.path, "wb"):
                pass
        except OSError as error:
            raise StorageError(
                f"video {self.path} cannot be written",
                got=error.strerror,
                remedy="choose another path with --video",
            ) from None
        self._check_space()
        code = cv2.VideoWriter_fourcc(*CODECS[self.path.suffix.lower()])
        self._writer: Any = cv2.VideoWriter(
            str(self.path), cv2.CAP_FFMPEG, code, self.fps, self.size
        )
        if not self._writer.isOpened():
            self._writer = None
            with contextlib.suppress(OSError):
                self.path.unlink()
            raise StorageError(
                f"video {self.path} cannot be written",
                got=f"{self.size[0]}x{self.size[1]} at {self.fps:g} fps",
                remedy="this OpenCV may lack the codec: try an .avi",
            )
        self._cv2 = cv2
        self._start: Optional[float] = None
        self._last: Optional[np.ndarray] = None
        self.written = 0

    def write(self, image: np.ndarray, timestamp: float) -> None:
        """Add a `(h, w, 3)` uint8 BGR picture.

        Args:
            image: The picture; kept until the next one.
            timestamp: Its time in seconds, rising.

        Raises:
            StorageError: The disk is full.
        """
        if self._start is None:
            self._start = timestamp
        due = round((timestamp - self._start) * self.fps)
        if due - self.written > LONGEST_GAP_S * self.fps:
            self._start += (due - self.written) / self.fps - LONGEST_GAP_S
            due = round((timestamp - self._start) * self.fps)
        while self._last is not None and self.written < due:
            self._put(self._last)
        self._last = image

    def _put(self, image: np.ndarray) -> None:
        if (image.shape[1], image.shape[0]) != self.size:
            image = self._cv2.resize(image, self.size)
        self._writer.write(image)
        self.written += 1
        if self.written % 64 == 0:
            self._check_space()

    def _check_space(self) -> None:
        # A full disk makes OpenCV write nothing and say nothing.
        space = os.statvfs(self.path.parent)
        if space.f_bavail * space.f_frsize < _SPARE:
            raise StorageError(
                f"video {self.path} cannot be written",
                got="the disk is full",
                remedy="free some space or choose another path with --video",
            )

    def close(self) -> None:
        """Write the last picture and finish the file."""
        if self._writer is None:
            return
        try:
            if self._last is not None:
                self._put(self._last)
        finally:
            self._last = None
            self._writer.release()
            self._writer = None

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class VideoSink:
    """A sink of the run loop that writes the annotated video of one camera.

    Args:
        path: As in `VideoWriter`.
        fps: As in `VideoWriter`.
        size: `(width, height)` of the pictures.
        draw: Gives the picture for a step, e.g. an `Overlay`.
        camera: Only this camera's steps; all if None.
    """

    def __init__(
        self,
        path: Any,
        fps: Optional[float],
        size: Tuple[int, int],
        draw: Draw,
        camera: Optional[str] = None,
    ) -> None:
        self._writer = VideoWriter(path, fps, size)
        self._draw, self._camera = draw, camera

    def __call__(self, step: Step) -> None:
        if self._camera is not None and step.camera != self._camera:
            return
        image = self._draw(step)
        if image is not None and step.observation is not None:
            self._writer.write(image, step.observation.timestamp)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


class WindowSink:
    """A sink that shows the annotated frames; `q`, Escape or closing the window ends the run.

    Args:
        draw: Gives the picture for a step, e.g. an `Overlay`.
        stop: Set when the user ends it; give the same to `run_loop`.
        camera: Only this camera's steps; all if None.
        title: Of the window.

    Raises:
        UsageError: There is no display.
        MissingDependency: OpenCV is not installed, or was built without windows.
    """

    def __init__(
        self,
        draw: Draw,
        stop: threading.Event,
        camera: Optional[str] = None,
        title: str = "edgelane",
    ) -> None:
        check_display()
        cv2 = self._cv2 = load_cv2()
        self._draw, self._stop, self._camera, self._title = draw, stop, camera, title
        self._open = True
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | getattr(cv2, "WINDOW_KEEPRATIO", 0))
        except cv2.error:
            raise MissingDependency(
                "this OpenCV was built without windows (headless), which --show needs",
                remedy="pip uninstall opencv-python-headless && pip install opencv-python; "
                "or write the video with --video out.mp4",
            ) from None
        self._sized = False

    def __call__(self, step: Step) -> None:
        if not self._open or (self._camera is not None and step.camera != self._camera):
            return
        image = self._draw(step)
        if image is None:
            return
        cv2 = self._cv2
        if not self._sized:
            self._sized = True
            scale = min(max(960 / image.shape[1], 1.0), 3.0)
            cv2.resizeWindow(
                self._title, round(image.shape[1] * scale), round(image.shape[0] * scale)
            )
        cv2.imshow(self._title, image)
        key = cv2.waitKey(1) & 0xFF
        if key in (ord("q"), 27) or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            self._open = False
            self._stop.set()

    def close(self) -> None:
        """Close the window."""
        with contextlib.suppress(self._cv2.error):  # the user may have closed it
            self._cv2.destroyWindow(self._title)


def check_display() -> None:
    """Is there a screen? OpenCV's Qt ends the process where there is none.

    Raises:
        UsageError: `DISPLAY` is unset, or nothing answers there.
    """
    display = os.environ.get("DISPLAY", "")
    if display and _answers(display):
        return
    raise UsageError(
        "--show needs a display",
        got=f"DISPLAY={display}, where nothing answers" if display else "DISPLAY is not set",
        remedy="run it on the desktop or over `ssh -X`, or write the video with --video out.mp4",
    )


def _answers(display: str) -> bool:
    host, _, number = display.rpartition(":")
    number = number.split(".")[0]
    if not number.isdigit():
        return False
    if host in ("", "unix"):
        name = f"/tmp/.X11-unix/X{number}"
        places = [(socket.AF_UNIX, name), (socket.AF_UNIX, "\0" + name)]
    else:
        places = [(socket.AF_INET, (host, 6000 + int(number)))]
    for family, place in places:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(2.0)
            try:
                connection.connect(place)
                return True
            except OSError:
                continue
    return False
