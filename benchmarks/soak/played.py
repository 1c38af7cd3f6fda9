"""What the servers show: pictures that are encoded already, at their time."""

import struct
import time
from dataclasses import dataclass
from typing import List, Optional, Tuple

CLOCK_RATE = 90000


@dataclass(frozen=True)
class Clip:
    """Pictures as RTP payloads, played over and over.

    Attributes:
        codec: `h264`, `h265` or `jpeg`.
        size: `(width, height)` in pixels.
        fps: Pictures a second.
        units: Of each picture the payloads of its packets; the first is a keyframe.
        format: What `a=fmtp` tells of the stream, or nothing.
    """

    codec: str
    size: Tuple[int, int]
    fps: float
    units: Tuple[Tuple[bytes, ...], ...]
    format: str = ""

    @property
    def payload(self) -> int:
        """The payload type."""
        return 26 if self.codec == "jpeg" else 96

    def sdp(self) -> bytes:
        """What DESCRIBE is answered with."""
        names = {"h264": "H264", "h265": "H265", "jpeg": "JPEG"}
        lines = [
            "v=0",
            "o=- 0 0 IN IP4 127.0.0.1",
            "s=camera",
            "c=IN IP4 0.0.0.0",
            "t=0 0",
            f"m=video 0 RTP/AVP {self.payload}",
            f"a=rtpmap:{self.payload} {names[self.codec]}/{CLOCK_RATE}",
            f"a=framerate:{self.fps:g}",
            "a=control:track0",
        ]
        if self.format:
            lines.append(f"a=fmtp:{self.payload} {self.format}")
        return ("\r\n".join(lines) + "\r\n").encode()


class Camera:
    """What a server shows: the same moment for all viewers, whether anybody looks or not.

    Args:
        clip: What is played.
        second: What is played later without a new connection, as when somebody sets another size.
        after: Pictures until then.
    """

    def __init__(self, clip: Clip, second: Optional[Clip] = None, after: int = 0) -> None:
        self.clip, self.second, self.after = clip, second, after
        self.began = self._since = time.monotonic()
        self._base, self._pace = 0.0, 1.0

    @property
    def pace(self) -> float:
        """How fast it plays; 1 is its own rate."""
        return self._pace

    @pace.setter
    def pace(self, pace: float) -> None:
        base = self.position()
        self._base, self._since, self._pace = base, time.monotonic(), pace

    def position(self) -> float:
        """Pictures since the beginning."""
        return self._base + (time.monotonic() - self._since) * self.clip.fps * self._pace

    def unit(self, number: int) -> Tuple[bytes, ...]:
        """Payloads of picture `number`."""
        shown = self.second if self.second is not None and number >= self.after else self.clip
        return shown.units[number % len(shown.units)]

    def packets(self, number: int, sequence: int) -> List[bytes]:
        """RTP packets of picture `number` (RFC 3550)."""
        unit = self.unit(number)
        stamp = int(number * CLOCK_RATE / self.clip.fps) & 0xFFFFFFFF
        made = []
        for at, payload in enumerate(unit):
            kind = self.clip.payload | (0x80 if at == len(unit) - 1 else 0)
            head = struct.pack(">BBHII", 0x80, kind, (sequence + at) & 0xFFFF, stamp, 0x1234)
            made.append(head + payload)
        return made
