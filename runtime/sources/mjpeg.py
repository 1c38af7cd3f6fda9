"""Motion JPEG over HTTP: `multipart/x-mixed-replace`, a picture a part."""

import http.client
import re
import socket
import time
from typing import Any, Mapping, Optional, Tuple

import numpy as np

from .address import Address
from .base import load_cv2
from .probe import Away, authorization, reach

_MOST = 32 << 20
_CHUNK = 1 << 16
# In coded data a 0xFF is followed by 0 or a restart mark; anything else is the next segment.
_MARK = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class MjpegReader:
    """Pictures of one connection.

    Pictures are found by the marks at which a JPEG begins and ends: the boundaries and lengths
    that cameras write are often not those that they announce.

    Args:
        address: Of the stream.
        timeout: Seconds without a byte after which the camera counts as away.
        tls: Of an encrypted stream, see `probe.reach`.

    Raises:
        Away: It is not there, does not want us, does not prove who it is, or sends something else.
    """

    fps: Optional[float] = None

    def __init__(
        self, address: Address, timeout: float, tls: Optional[Mapping[str, Any]] = None
    ) -> None:
        self._cv2 = load_cv2()
        self._data = bytearray()
        self._tls = tls or {}
        self._link: Any = None
        login: Optional[str] = None
        for _ in range(2):
            answer = self._get(address, timeout, login)
            if answer.status != 401 or login is not None or address.user is None:
                break
            challenges = answer.headers.get_all("WWW-Authenticate") or [""]
            digest = [c for c in challenges if c.lower().startswith("digest")]
            login = authorization((digest or challenges)[0], address, "GET", address.path)
            self.close()
        if answer.status in (401, 403):
            self.close()
            if address.user is None:
                raise Away("the camera asks for a user and a password", patient=True)
            raise Away("wrong user or password", patient=True)
        kind = (answer.headers.get("Content-Type") or "nothing").split(";")[0].strip().lower()
        if answer.status != 200 or not kind.startswith("multipart/"):
            self.close()
            if answer.status == 404:
                raise Away("the camera has no stream of that name")
            if answer.status != 200:
                raise Away(f"the camera answers {answer.status}")
            raise Away(f"no motion JPEG: the camera sends {kind}")
        self._answer = answer

    def _get(self, address: Address, timeout: float, login: Optional[str]) -> Any:
        link = http.client.HTTPConnection(address.host, address.port, timeout=timeout)
        link.default_port = 443 if address.scheme == "https" else 80  # which `Host` leaves out
        link.sock = reach(address, timeout, self._tls)
        self._link = link
        headers = {"Authorization": login} if login else {}
        try:
            link.request("GET", address.path, headers=headers)
            return link.getresponse()
        except socket.timeout:
            why = "no answer from the camera"
        except (OSError, http.client.HTTPException) as error:
            why = (
                f"the camera broke off ({getattr(error, 'strerror', None) or type(error).__name__})"
            )
        self.close()
        raise Away(why)

    def read(self) -> Any:
        """The next picture.

        Raises:
            Away: The stream broke off, or sends no pictures.
        """
        from .readers import Picture

        bad = 0
        while True:
            data = self._jpeg()
            moment = time.monotonic()
            image = self._cv2.imdecode(np.frombuffer(data, np.uint8), self._cv2.IMREAD_COLOR)
            if image is not None and image.size:
                return Picture(image, moment)
            bad += 1
            if bad >= 10:
                raise Away("the stream cannot be decoded")

    def _jpeg(self) -> bytes:
        """Bytes of one picture."""
        data, scan = self._data, 0
        while True:
            start = data.find(b"\xff\xd8\xff")
            if start < 0:
                del data[:-2]
            else:
                end, scan = _end(data, start, scan)
                if end:
                    jpeg = bytes(data[start:end])
                    del data[:end]
                    return jpeg
            if len(data) > _MOST:
                raise Away("what comes is no motion JPEG")
            self._fill()

    def _fill(self) -> None:
        try:
            more = self._answer.read1(_CHUNK)
        except socket.timeout:
            raise Away("the camera went silent") from None
        except (OSError, http.client.HTTPException):
            raise Away("the stream broke off") from None
        if not more:
            raise Away("the stream broke off")
        self._data += more

    def close(self) -> None:
        """Hang up."""
        if self._link is not None:
            self._link.close()


def _end(data: bytearray, start: int, scan: int) -> Tuple[int, int]:
    """Where the JPEG that begins at `start` ends, or 0 where more is needed; and how far its
    picture was looked through, to go on from there.

    Segments are stepped over by their length, so a thumbnail inside one ends nothing.
    """
    at = start + 2
    while True:
        if scan > at:
            at = scan
        elif at + 4 > len(data):
            return 0, 0
        elif data[at] != 0xFF:
            return at, 0  # damaged: what there is goes to the decoder, which refuses it
        elif data[at + 1] == 0xD9:
            return at + 2, 0
        else:
            coded = data[at + 1] == 0xDA
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if not coded:
                continue
        found = _MARK.search(data, at)
        if found is None:
            return 0, max(len(data) - 1, at)
        if found.group()[1] == 0xD9:
            return found.end(), 0
        at, scan = found.start(), 0
