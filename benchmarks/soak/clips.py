"""Pictures encoded once for the servers: H.264 and H.265 by PyAV, JPEG by OpenCV."""

import base64
import re
import struct
from fractions import Fraction
from typing import Any, Dict, Iterable, List, Optional, Tuple

import numpy as np

from ...core import MissingDependency
from ...runtime.sources.base import load_cv2
from .played import Camera, Clip

MOST = 1300
"""Bytes of a payload at most, so that a packet fits into a frame of Ethernet."""

ENCODERS = {"h264": "libx264", "h265": "libx265"}
Images = Iterable[np.ndarray]


def encode(images: Images, fps: float, codec: str = "h264", gop: int = 10) -> Clip:
    """Pictures as a clip.

    Args:
        images: `(h, w, 3)` uint8 BGR, with even sides; for `jpeg` in multiples of 8.
        fps: Pictures a second.
        codec: `h264`, `h265` or `jpeg`.
        gop: Pictures from one keyframe to the next.

    Raises:
        MissingDependency: PyAV or OpenCV is not installed, or PyAV has no such encoder.
    """
    if codec == "jpeg":
        return _jpeg_clip(images, fps)
    av, stream = _stream(codec, fps, gop)
    units: List[List[bytes]] = []
    size = (0, 0)
    for number, image in enumerate(images):
        if number == 0:
            size = stream.width, stream.height = image.shape[1], image.shape[0]
        frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv420p")
        frame.pts = number
        units += [split(bytes(packet)) for packet in stream.encode(frame)]
    units += [split(bytes(packet)) for packet in stream.encode(None)]
    if codec == "h264":
        return Clip(codec, size, fps, _pack(units, _h264), _h264_format(units[0]))
    return Clip(codec, size, fps, _pack(units, _h265))


def can_encode(codec: str) -> bool:
    """Whether this machine can make a clip of a codec."""
    try:
        if codec == "jpeg":
            load_cv2()
        else:
            _stream(codec, 10.0, 10)
    except MissingDependency:
        return False
    return True


def _stream(codec: str, fps: float, gop: int) -> Tuple[Any, Any]:
    try:
        import av
    except ImportError:
        raise MissingDependency(
            f"PyAV is missing, which encodes {codec}", remedy="pip install 'edgelane[bench]'"
        ) from None
    try:
        stream: Any = av.CodecContext.create(ENCODERS[codec], "w")
    except ValueError:
        raise MissingDependency(f"this PyAV cannot encode {codec}") from None
    stream.pix_fmt = "yuv420p"
    stream.time_base = Fraction(1, max(round(fps), 1))
    kind = "x264" if codec == "h264" else "x265"
    rules = f"repeat-headers=1:keyint={gop}:min-keyint={gop}:scenecut=0"
    rules += ":threads=1" if codec == "h264" else ":pools=none:frame-threads=1:log-level=error"
    stream.options = {"preset": "ultrafast", "tune": "zerolatency", f"{kind}-params": rules}
    return av, stream


def split(data: bytes) -> List[bytes]:
    """NAL units of an Annex B byte stream."""
    return [part.rstrip(b"\0") for part in re.split(b"\0\0\0?\1", data) if part]


def _pack(units: List[List[bytes]], pack: Any) -> Tuple[Tuple[bytes, ...], ...]:
    return tuple(tuple(p for nal in unit for p in pack(nal)) for unit in units)


def _pieces(body: bytes) -> List[Tuple[bytes, bool, bool]]:
    """A body in pieces, each with whether it is the first and the last."""
    parts = [body[i : i + MOST] for i in range(0, len(body), MOST)]
    return [(part, i == 0, i == len(parts) - 1) for i, part in enumerate(parts)]


def _h264(nal: bytes) -> List[bytes]:
    """RTP payloads of a NAL unit (RFC 6184)."""
    if len(nal) <= MOST:
        return [nal]
    kind = nal[0] & 31
    return [
        bytes([(nal[0] & 0xE0) | 28, (0x80 if first else 0) | (0x40 if last else 0) | kind]) + part
        for part, first, last in _pieces(nal[1:])
    ]


def _h265(nal: bytes) -> List[bytes]:
    """RTP payloads of a NAL unit (RFC 7798)."""
    if len(nal) <= MOST:
        return [nal]
    kind = nal[0] >> 1 & 0x3F
    head = bytes([(nal[0] & 0x81) | 49 << 1, nal[1]])
    return [
        head + bytes([(0x80 if first else 0) | (0x40 if last else 0) | kind]) + part
        for part, first, last in _pieces(nal[2:])
    ]


def _h264_format(unit: List[bytes]) -> str:
    sets = [next(n for n in unit if n[0] & 31 == kind) for kind in (7, 8)]
    told = ",".join(base64.b64encode(s).decode() for s in sets)
    profile = sets[0][1:4].hex()
    return f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={told}"


def _jpeg_clip(images: Images, fps: float) -> Clip:
    cv2 = load_cv2()
    options = [cv2.IMWRITE_JPEG_QUALITY, 80]
    if hasattr(cv2, "IMWRITE_JPEG_SAMPLING_FACTOR"):
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    units = []
    size = (0, 0)
    for image in images:
        size = image.shape[1], image.shape[0]
        data = cv2.imencode(".jpg", image, options)[1].tobytes()
        units.append(tuple(_jpeg(data, size)))
    return Clip("jpeg", size, fps, tuple(units))


def _jpeg(data: bytes, size: Tuple[int, int]) -> List[bytes]:
    """RTP payloads of a JPEG with the usual Huffman tables (RFC 2435)."""
    tables: Dict[int, bytes] = {}
    at, kind = 2, 1
    while True:
        mark, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : at + 2 + length]
        at += 2 + length
        if mark == 0xDB:
            while segment:
                tables[segment[0] & 15] = segment[1:65]
                segment = segment[65:]
        elif mark == 0xC0:
            kind = 1 if segment[7] == 0x22 else 0  # 4:2:0 or 4:2:2
        elif mark == 0xDA:
            break
    coded = data[at:-2]
    quantisers = b"".join(tables[key] for key in sorted(tables))
    payloads, offset = [], 0
    while offset < len(coded):
        head = struct.pack(">I", offset) + bytes([kind, 255, size[0] // 8, size[1] // 8])
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(quantisers)) + quantisers
        part = coded[offset : offset + MOST - len(head)]
        payloads.append(head + part)
        offset += len(part)
    return payloads


def bar(number: int, size: Tuple[int, int]) -> np.ndarray:
    """A picture with a bright bar that moves: `(h, w, 3)` uint8."""
    width, height = size
    image = np.full((height, width, 3), 60, np.uint8)
    left = 8 * number % (width - 16)
    image[:, left : left + 16] = 220
    return image


def bars(
    size: Tuple[int, int] = (320, 240), fps: float = 20.0, gop: int = 10, codec: str = "h264"
) -> Clip:
    """A clip of a bar that moves, four groups of pictures long."""
    return encode((bar(i, size) for i in range(4 * gop)), fps, codec, gop)


def bar_camera(second: Optional[Tuple[int, int]] = None, after: int = 0, **options: Any) -> Camera:
    """A camera that shows a moving bar; the options are those of `bars`."""
    other = None if second is None else bars(**{**options, "size": second})
    return Camera(bars(**options), other, after)
