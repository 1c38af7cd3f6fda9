"""What runs inside a capture process: readers that connect to a camera and give its pictures.

A reader is made for one connection, `read` until it raises, and closed. It may hang: the process
around it is killed then.
"""

import os
import time
from typing import Any, Dict, NamedTuple, Optional

import numpy as np

from .address import Address
from .base import load_cv2
from .mjpeg import MjpegReader
from .probe import Away, describe


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
    """

    def __init__(self, capture: Any) -> None:
        self._capture = capture
        self._cv2 = load_cv2()
        fps = capture.get(self._cv2.CAP_PROP_FPS)
        self.fps: Optional[float] = float(fps) if 0 < fps < 1000 else None

    def read(self) -> Picture:
        """The next picture.

        Raises:
            Away: The stream broke off.
        """
        if not self._capture.grab():
            raise Away("the stream broke off")
        moment = time.monotonic()
        good, image = self._capture.retrieve()
        if not good or image is None or not image.size:
            raise Away("the stream cannot be decoded")
        if image.ndim == 2:
            image = self._cv2.cvtColor(image, self._cv2.COLOR_GRAY2BGR)
        return Picture(image, moment)

    def close(self) -> None:
        """Hang up."""
        self._capture.release()


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
    for name, value in (
        ("CAP_PROP_OPEN_TIMEOUT_MSEC", milliseconds),
        ("CAP_PROP_READ_TIMEOUT_MSEC", milliseconds),
        ("CAP_PROP_N_THREADS", 1),
    ):
        if hasattr(cv2, name):
            wanted += [getattr(cv2, name), value]
    capture = cv2.VideoCapture()
    capture.open(address.secret_url, cv2.CAP_FFMPEG, wanted)
    if not capture.isOpened():
        capture.release()
        raise Away("the stream cannot be opened")
    return CaptureReader(capture)


def ffmpeg_options(transport: str) -> str:
    """Options of FFmpeg's RTSP client in OpenCV's notation.

    Little is read ahead before the first picture: a camera that is back should be counted again
    soon, and what OpenCV needs to know is in the first keyframe.
    """
    return f"rtsp_transport;{transport}|fflags;nobuffer|analyzeduration;500000|max_delay;500000"
