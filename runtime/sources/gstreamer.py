"""GStreamer: pipelines as strings, run by OpenCV's GStreamer or an appsink through PyGObject.

On a Jetson its elements decode in hardware. pip's OpenCV has no GStreamer, and JetPack's own has.
"""

import os
import re
import time
from typing import Any, Mapping, Optional

import numpy as np

from ...core import MissingDependency
from .address import Address
from .base import load_cv2
from .probe import Away

SINK = "appsink name=sink drop=true max-buffers=1 sync=false"
_HARDWARE = "nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR"
_SOFTWARE = "videoconvert ! video/x-raw,format=BGR"
_DEPAY = {
    "h264": "rtph264depay ! h264parse",
    "h265": "rtph265depay ! h265parse",
    "mpeg4": "rtpmp4vdepay ! mpeg4videoparse",
    "jpeg": "rtpjpegdepay ! jpegparse",
}
_AVDEC = {"h264": "avdec_h264", "h265": "avdec_h265", "mpeg4": "avdec_mpeg4", "jpeg": "jpegdec"}


def on_jetson() -> bool:
    """Whether this machine has a Jetson's elements."""
    from ..jetson import detect

    return detect() is not None


def csi_pipeline(
    sensor: int, width: int = 1280, height: int = 720, fps: float = 30.0, flip: int = 0
) -> str:
    """A CSI camera through Argus: exposure and colours are the image processor's.

    Args:
        sensor: Number of the camera.
        width: In pixels; a mode of the sensor.
        height: In pixels.
        fps: Frames a second.
        flip: How `nvvidconv` turns the picture: 0 not, 2 by 180 degrees.
    """
    turn = f" flip-method={flip}" if flip else ""
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={_rate(fps)} ! "
        + _HARDWARE.replace("nvvidconv", f"nvvidconv{turn}", 1)
        + f" ! {SINK}"
    )


def rtsp_pipeline(
    address: Address,
    codec: str,
    transport: str,
    latency_ms: int,
    hardware: bool,
    tls: Optional[Mapping[str, Any]] = None,
) -> str:
    """A network camera.

    Args:
        address: Of the stream.
        codec: `h264`, `h265`, `mpeg4` or `jpeg`.
        transport: `tcp` or `udp`.
        latency_ms: How long packets may take to arrive in order.
        hardware: Decode with a Jetson's elements.
        tls: Of an encrypted stream: `verify`, whether the camera has to prove who it is; GStreamer
            trusts the certificates that the machine trusts.
    """
    login = "" if tls is None or tls.get("verify", True) else " tls-validation-flags=0"
    if address.user is not None:
        login += f" user-id={quoted(address.user)} user-pw={quoted(address.password or '')}"
    if not hardware:
        decoder = f"{_AVDEC[codec]} ! {_SOFTWARE}"
    elif codec == "jpeg":
        decoder = f"nvv4l2decoder mjpeg=1 ! {_HARDWARE}"
    else:
        decoder = f"nvv4l2decoder enable-max-performance=1 ! {_HARDWARE}"
    return (
        f"rtspsrc location={quoted(address.url)}{login} latency={latency_ms} "
        f"protocols={transport} ! {_DEPAY[codec]} ! {decoder} ! {SINK}"
    )


def usb_pipeline(
    device: str,
    width: Optional[int] = None,
    height: Optional[int] = None,
    fps: Optional[float] = None,
) -> str:
    """A USB camera's Motion JPEG, decoded by a Jetson's hardware.

    Args:
        device: E.g. `/dev/video0`.
        width: In pixels; None for the camera's own.
        height: In pixels.
        fps: Frames a second.
    """
    caps = "image/jpeg"
    caps += f",width={width}" if width else ""
    caps += f",height={height}" if height else ""
    caps += f",framerate={_rate(fps)}" if fps else ""
    return (
        f"v4l2src device={quoted(device)} ! {caps} ! jpegparse ! nvv4l2decoder mjpeg=1 ! "
        f"{_HARDWARE} ! {SINK}"
    )


def quoted(text: str) -> str:
    """A value as GStreamer's parser reads it back."""
    if re.fullmatch(r"[A-Za-z0-9_./:-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rate(fps: float) -> str:
    return f"{fps:g}/1" if fps == int(fps) else f"{round(fps * 1000)}/1000"


def chosen(backend: str) -> bool:
    """Whether `auto`, `gstreamer` or `ffmpeg` means GStreamer on this machine."""
    if backend == "auto":
        return on_jetson() and (opencv_has_gstreamer() or load_gst() is not None)
    return backend == "gstreamer"


def opencv_has_gstreamer() -> bool:
    """Whether this OpenCV was built with GStreamer."""
    try:
        cv2 = load_cv2()
    except MissingDependency:
        return False
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


def load_gst() -> Any:
    """PyGObject's `Gst`, ready; None where it is not installed."""
    try:
        import gi

        gi.require_version("Gst", "1.0")
        from gi.repository import Gst
    except (ImportError, ValueError):
        return None
    # GStreamer's own lines would tell addresses with their passwords.
    os.environ.setdefault("GST_DEBUG", "0")
    Gst.init(None)
    return Gst


def open_pipeline(line: str, timeout: float) -> Any:
    """Run a pipeline that ends in `SINK`.

    Raises:
        Away: The camera is not there.
        MissingDependency: There is no GStreamer to run it.
    """
    if opencv_has_gstreamer():
        from .readers import CaptureReader

        cv2 = load_cv2()
        capture = cv2.VideoCapture(line, cv2.CAP_GSTREAMER)
        if not capture.isOpened():
            capture.release()
            raise Away("the stream cannot be opened")
        return CaptureReader(capture)
    gst = load_gst()
    if gst is None:
        raise MissingDependency(
            "GStreamer is missing",
            expected="an OpenCV that was built with it, or PyGObject",
            remedy="sudo apt install python3-gi gir1.2-gst-plugins-base-1.0 gstreamer1.0-tools, "
            "or on a Jetson use JetPack's own OpenCV instead of pip's",
        )
    return GstReader(gst, line, timeout)


class GstReader:
    """Pictures from an appsink.

    Args:
        gst: PyGObject's `Gst`.
        line: The pipeline.
        timeout: Seconds without a picture after which the camera counts as away.
    """

    fps: Optional[float] = None

    def __init__(self, gst: Any, line: str, timeout: float) -> None:
        self._gst = gst
        self._wait = int(timeout * gst.SECOND)
        self._pipeline: Any = None
        try:
            self._pipeline = gst.parse_launch(line)
        except Exception as error:
            # Its message may quote the pipeline, and that has the password.
            what = re.search(r'no element "(\w+)"', str(error))
            missing = f" (no element {what.group(1)})" if what else ""
            raise MissingDependency(
                f"GStreamer cannot run the camera's pipeline{missing}",
                remedy="sudo apt install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad "
                "gstreamer1.0-libav",
            ) from None
        self._sink = self._pipeline.get_by_name("sink")
        self._pipeline.set_state(gst.State.PLAYING)

    def read(self) -> Any:
        """The next picture.

        Raises:
            Away: The stream broke off or is silent.
        """
        from .readers import Picture

        gst = self._gst
        sample = self._sink.emit("try-pull-sample", self._wait)
        moment = time.monotonic()
        if sample is None:
            raise Away(self._why())
        caps = sample.get_caps().get_structure(0)
        width, height = caps.get_value("width"), caps.get_value("height")
        if self.fps is None:
            good, above, below = caps.get_fraction("framerate")
            self.fps = above / below if good and above and below else None
        buffer = sample.get_buffer()
        good, mapped = buffer.map(gst.MapFlags.READ)
        if not good:
            raise Away("the stream cannot be decoded")
        try:
            # Rows begin at multiples of four bytes.
            stride = (3 * width + 3) & ~3
            rows = np.frombuffer(mapped.data, np.uint8, stride * height).reshape(height, stride)
            image = rows[:, : 3 * width].reshape(height, width, 3).copy()
        finally:
            buffer.unmap(mapped)
        return Picture(image, moment)

    def _why(self) -> str:
        gst = self._gst
        message = self._pipeline.get_bus().pop_filtered(gst.MessageType.ERROR | gst.MessageType.EOS)
        if message is None:
            # The sink knows of the end before the bus has told of it.
            ended = self._sink.get_property("eos")
            return "the stream broke off" if ended else "the camera went silent"
        if message.type == gst.MessageType.EOS:
            return "the stream broke off"
        return f"the stream broke off ({message.parse_error()[0].message.rstrip('.')})"

    def close(self) -> None:
        """Hang up."""
        if self._pipeline is not None:
            self._pipeline.set_state(self._gst.State.NULL)
            self._pipeline = None
