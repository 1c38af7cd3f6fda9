"""What runs inside a capture process: readers that connect to a camera and give its pictures.

A reader is made for one connection, `read` until it raises, and closed. It may hang: the process
around it is killed then.
"""

import math
import os
import time
from typing import Any, Dict, NamedTuple, Optional

import numpy as np

from ...core import SourceError
from .address import Address
from .base import load_cv2
from .mjpeg import MjpegReader
from .probe import Away, describe
from .timeline import SHARED


class Picture(NamedTuple):
    """One picture of a camera.

    Attributes:
        image: `(h, w, 3)` uint8 BGR.
        moment: Seconds of the monotonic clock when it arrived.
    """

    image: np.ndarray
    moment: float


class Ended(Exception):
    """The end of what was played; there is nothing to reconnect to."""


class CaptureReader:
    """Pictures through an OpenCV capture that is open.

    Args:
        capture: A `cv2.VideoCapture`.
        silent_s: Seconds after which it gives up waiting, where it does.
    """

    def __init__(self, capture: Any, silent_s: float = math.inf) -> None:
        self._capture = capture
        self._silent_s = silent_s
        self._cv2 = load_cv2()
        fps = capture.get(self._cv2.CAP_PROP_FPS)
        self.fps: Optional[float] = float(fps) if 0 < fps < 1000 else None

    def read(self) -> Picture:
        """The next picture.

        Raises:
            Away: The stream broke off.
        """
        began = time.monotonic()
        good = self._capture.grab()
        moment = time.monotonic()
        # A decoder that gave up waiting hands out its last picture as if it had just come.
        if moment - began >= 0.95 * self._silent_s:
            raise Away("the camera went silent")
        if not good:
            raise Away("the stream broke off")
        good, image = self._capture.retrieve()
        if not good or image is None or not image.size:
            raise Away("the stream cannot be decoded")
        if image.ndim == 2:
            image = self._cv2.cvtColor(image, self._cv2.COLOR_GRAY2BGR)
        return Picture(image, moment)

    def close(self) -> None:
        """Hang up."""
        self._capture.release()


class DeviceReader:
    """Pictures of a camera that Linux offers as a device.

    Args:
        device: E.g. `/dev/video0`.
        query: As in `V4l2Source`.

    Raises:
        Away: It is not plugged in, or gives nothing.
    """

    def __init__(self, device: str, query: Dict[str, str]) -> None:
        from .v4l2 import V4l2Source

        try:
            self._source = V4l2Source(device, "camera", query)
        except SourceError as error:
            raise Away(error.what) from None
        self.fps = self._source.fps
        self._frames = iter(self._source)

    def read(self) -> Picture:
        """The next picture.

        Raises:
            Away: The device was pulled out or fell silent.
        """
        try:
            frame = next(self._frames)
        except (SourceError, StopIteration):
            raise Away("the device stopped giving pictures") from None
        # Its time is that of this process's timeline, which counts from the same clock.
        now = time.monotonic()
        age = SHARED.unix(now) - frame.timestamp
        return Picture(frame.image, now - min(max(age, 0.0), 2.0))

    def close(self) -> None:
        """Let go of the device."""
        self._source.close()


def connect(spec: Dict[str, Any]) -> Any:
    """The reader that a specification asks for, connected.

    Raises:
        Away: The camera is not there, or does not want us.
        EdgelaneError: It can never work: no such file, a library is missing.
    """
    kind = spec["kind"]
    if kind == "file":
        from .played import PlayedReader

        return PlayedReader(spec)
    if kind == "device":
        return DeviceReader(spec["device"], spec["query"])
    if kind == "gstreamer":
        from .gstreamer import open_pipeline

        return open_pipeline(spec["pipeline"], spec["timeout"])
    address = Address(**spec["address"])
    if kind == "mjpeg":
        return MjpegReader(address, spec["timeout"])
    return _rtsp(address, spec)


def _rtsp(address: Address, spec: Dict[str, Any]) -> Any:
    codec = describe(address, min(spec["timeout"], 2.0))
    from . import gstreamer

    if gstreamer.chosen(spec["backend"]):
        line = gstreamer.rtsp_pipeline(
            address, codec or "h264", spec["transport"], spec["latency_ms"], gstreamer.on_jetson()
        )
        return gstreamer.open_pipeline(line, spec["timeout"])
    # Read by FFmpeg at each opening; this process has one camera, so nobody else is told.
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = ffmpeg_options(spec["transport"])
    cv2 = load_cv2()
    milliseconds = int(spec["timeout"] * 1000)
    wanted = []
    names = "CAP_PROP_OPEN_TIMEOUT_MSEC", "CAP_PROP_READ_TIMEOUT_MSEC", "CAP_PROP_N_THREADS"
    for name, value in zip(names, (milliseconds, milliseconds, 1)):
        if hasattr(cv2, name):
            wanted += [getattr(cv2, name), value]
    capture = cv2.VideoCapture()
    capture.open(address.secret_url, cv2.CAP_FFMPEG, wanted)
    if not capture.isOpened():
        capture.release()
        raise Away("the stream cannot be opened")
    return CaptureReader(capture, spec["timeout"] if hasattr(cv2, names[1]) else math.inf)


def ffmpeg_options(transport: str) -> str:
    """Options of FFmpeg's RTSP client in OpenCV's notation.

    Little is read ahead before the first picture: a camera that is back should be counted again
    soon, and what OpenCV needs to know is in the first keyframe.
    """
    return f"rtsp_transport;{transport}|fflags;nobuffer|analyzeduration;500000|max_delay;500000"
