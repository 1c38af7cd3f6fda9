"""What runs inside a capture process: readers that connect to a camera and give its pictures.

A reader is made for one connection, `read` until it raises, and closed. It may hang: the process
around it is killed then.
"""

import math
import os
import time
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Set, Tuple

import numpy as np

from ...core import SourceError
from .address import Address
from .base import load_cv2
from .mjpeg import MjpegReader
from .probe import Away, ca_file, describe
from .timeline import SHARED

ANALYZE_S = 0.5
"""Seconds of a stream that FFmpeg looks at before it begins, where the camera describes its stream
or a keyframe comes in that time."""

KEYFRAME_S = 6.0
"""The same for a camera of which that is known not to be so: it begins with the keyframe."""

UNDECODED_S = 3.0
"""So long pictures may come that cannot be decoded."""


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
        none: Called where not even a first picture came.
    """

    def __init__(
        self, capture: Any, silent_s: float = math.inf, none: Callable[[], None] = lambda: None
    ) -> None:
        self._capture = capture
        self._none, self._first = none, True
        self._silent_s = silent_s
        self._cv2 = load_cv2()
        self._decoded = time.monotonic()
        fps = capture.get(self._cv2.CAP_PROP_FPS)
        self.fps: Optional[float] = float(fps) if 0 < fps < 1000 else None

    def read(self) -> Picture:
        """The next picture.

        Raises:
            Away: The stream broke off.
        """
        while True:
            began = time.monotonic()
            good = self._capture.grab()
            moment = time.monotonic()
            # A decoder that gave up waiting hands out its last picture as if it had just come.
            if moment - began >= 0.95 * self._silent_s:
                if self._first:
                    self._none()
                raise Away("the camera went silent")
            if not good:
                raise Away("the stream broke off")
            good, image = self._capture.retrieve()
            if good and image is not None and image.size:
                break
            # Who joins in the middle of a group of pictures can decode none before the next.
            if moment - self._decoded > min(self._silent_s, UNDECODED_S):
                if self._first:
                    self._none()
                raise Away("the stream cannot be decoded")
        self._decoded, self._first = moment, False
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
        return MjpegReader(address, spec["timeout"], spec.get("tls"))
    return _rtsp(address, spec)


def _rtsp(address: Address, spec: Dict[str, Any]) -> Any:
    tls = spec.get("tls")
    codec = describe(address, min(spec["timeout"], 2.0), tls)
    from . import gstreamer

    if gstreamer.chosen(spec["backend"]):
        line = gstreamer.rtsp_pipeline(
            address,
            codec or "h264",
            spec["transport"],
            spec["latency_ms"],
            gstreamer.on_jetson(),
            tls,
        )
        return gstreamer.open_pipeline(line, spec["timeout"])
    cv2 = load_cv2()
    timeout = spec["timeout"]
    silent_s = timeout if hasattr(cv2, "CAP_PROP_READ_TIMEOUT_MSEC") else math.inf
    for patient in (True,) if _LEARNT else (False, True):
        analyze_s = KEYFRAME_S if patient else ANALYZE_S
        options = ffmpeg_options(spec["transport"], tls, analyze_s)
        began = time.monotonic()
        capture = _ffmpeg(cv2, address, (timeout + analyze_s, timeout), options)
        # Without a size it saw no keyframe, and would not decode those to come either.
        if capture.get(cv2.CAP_PROP_FRAME_WIDTH) > 0:
            if patient and time.monotonic() - began < KEYFRAME_S / 2:
                _LEARNT.clear()  # one came soon: a line that broke was taken for rare keyframes
            return CaptureReader(capture, silent_s, lambda: _LEARNT.add("keyframes are rare"))
        capture.release()
        _LEARNT.add("keyframes are rare")
    raise Away("the stream has no keyframe")


_LEARNT: Set[str] = set()
"""What this process knows of its camera from earlier connections."""


def _ffmpeg(cv2: Any, address: Address, timeouts: Tuple[float, float], options: str) -> Any:
    """OpenCV's FFmpeg, connected; the timeouts are those to open and to read, in seconds."""
    # Read by FFmpeg at each opening; this process has one camera, so nobody else is told.
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = options
    opening, reading = (int(timeout * 1000) for timeout in timeouts)
    wanted = []
    names = "CAP_PROP_OPEN_TIMEOUT_MSEC", "CAP_PROP_READ_TIMEOUT_MSEC", "CAP_PROP_N_THREADS"
    for name, value in zip(names, (opening, reading, 1)):
        if hasattr(cv2, name):
            wanted += [getattr(cv2, name), value]
    capture = cv2.VideoCapture()
    capture.open(address.secret_url, cv2.CAP_FFMPEG, wanted)
    if not capture.isOpened():
        capture.release()
        raise Away("the stream cannot be opened")
    return capture


def ffmpeg_options(
    transport: str, tls: Optional[Mapping[str, Any]] = None, analyze_s: float = ANALYZE_S
) -> str:
    """Options of FFmpeg's RTSP client in OpenCV's notation.

    By itself it trusts whoever answers; of an encrypted stream it is told whom to trust. Little is
    read ahead before the first picture: a camera that is back should be counted again soon, and
    what OpenCV needs to know is in the first keyframe.
    """
    options = f"rtsp_transport;{transport}|analyzeduration;{int(1e6 * analyze_s)}|max_delay;500000"
    if analyze_s <= ANALYZE_S:
        # What was looked at is thrown away; else it begins with the keyframe.
        options += "|fflags;nobuffer"
    if tls is None or not tls.get("verify", True):
        return options
    trusted = ca_file(tls)
    return f"{options}|tls_verify;1" + (f"|ca_file;{trusted}" if trusted else "")
