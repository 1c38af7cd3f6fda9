"""Where the cameras of a config would be: for each a real server, and a proxy before it."""

import contextlib
from dataclasses import replace
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...core import UsageError
from ...runtime.sources import open_source
from ...runtime.sources.base import load_cv2
from .clips import can_encode, encode
from .played import Clip
from .proxy import Proxy
from .rtsp import RtspProcess

LOGIN = "soak:camera"
OTHER_LOGIN = "soak:another"
SECONDS = 30.0
MOST_FPS = 15.0
MOST_SIDE = 1280
"""The servers share the machine with the run."""


class Films:
    """What the servers show, rendered or read once and encoded once a size and codec.

    Args:
        source: URI of the pictures, or None for a rendered store.
        seed: Of that store.
    """

    def __init__(self, source: Optional[str] = None, seed: int = 1) -> None:
        self.codec = "h264" if can_encode("h264") else "jpeg"
        self._source, self._seed = source, seed
        self._images: Dict[Tuple[int, int], List[np.ndarray]] = {}
        self._clips: Dict[Tuple[Tuple[int, int], str], Clip] = {}
        self.fps = 10.0

    @property
    def other_codec(self) -> Optional[str]:
        """What a camera is set to when its codec is changed; None where nothing else is there."""
        known = [c for c in ("h265", "jpeg", "h264") if c != self.codec]
        return next((c for c in known if can_encode(c)), None)

    def clip(self, size: Tuple[int, int], codec: Optional[str] = None) -> Clip:
        """The film in about this size: sides are multiples of 8."""
        codec = codec or self.codec
        key = (_even(size), codec)
        if key not in self._clips:
            images = self._film(key[0])
            if codec == "h265":
                images = images[: len(images) // 3]  # slow to encode
            self._clips[key] = encode(images, self.fps, codec)
        return self._clips[key]

    def forget(self) -> None:
        """Let go of the pictures; the clips stay."""
        self._images.clear()

    def _film(self, size: Tuple[int, int]) -> List[np.ndarray]:
        if size not in self._images:
            uri = self._source or (
                f"synth://store?seed={self._seed}&fps={self.fps:g}&seconds={SECONDS:g}"
                f"&size={size[0]}x{size[1]}&people=10"
            )
            self._images[size] = self._read(uri, size)
        return self._images[size]

    def _read(self, uri: str, size: Tuple[int, int]) -> List[np.ndarray]:
        cv2 = load_cv2()
        with open_source(uri) as source:
            if source.live:
                raise UsageError(
                    "a soak plays its own pictures over and over",
                    got="a live source",
                    expected="a video file or a folder of images",
                )
            fps = source.fps or 10.0
            every = max(int(np.ceil(fps / MOST_FPS - 1e-6)), 1)
            self.fps = fps / every
            images = []
            for index, frame in enumerate(source):
                if index % every:
                    continue
                if len(images) >= SECONDS * self.fps:
                    break
                image = frame.image
                if (image.shape[1], image.shape[0]) != size:
                    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                images.append(image)
        if len(images) < 2:
            raise UsageError("a soak needs moving pictures", got=f"{len(images)} of them")
        return images


class Post:
    """The stand-in of one camera.

    Attributes:
        name: Of the camera.
        size: `(width, height)` that it shows.
        uri: Where the run finds it.
        proxy: What stands before the server.

    Args:
        name: Of the camera.
        films: What there is to show.
        size: In pixels.
        seed: Of what the proxy loses.
    """

    def __init__(self, name: str, films: Films, size: Tuple[int, int], seed: int = 0) -> None:
        self.name, self.films, self.size = name, films, _even(size)
        self._clip = films.clip(self.size)
        self._login = LOGIN
        self.server = RtspProcess(self._clip, login=LOGIN)
        self._port = self.server.port
        self.proxy = Proxy(self._port, seed)
        self.uri = f"rtsp://{LOGIN}@127.0.0.1:{self.proxy.port}/cam"

    @property
    def fps(self) -> float:
        """Pictures a second that it sends when all is well."""
        return self._clip.fps

    def kill(self) -> None:
        """Gone; whoever connects is refused."""
        self.server.kill()
        self.proxy.deaf()
        self.proxy.cut()

    def start(self, clip: Optional[Clip] = None) -> None:
        """There again at the same address, perhaps showing something else."""
        self._clip = clip or self._clip
        self.server = RtspProcess(self._clip, self._port, self._login)
        if not self.proxy.listening:
            self.proxy.listen()

    def usual(self) -> Clip:
        """What it shows when nobody has changed its settings."""
        return self.films.clip(self.size)

    def other_size(self) -> Clip:
        """The film in half the size."""
        return self.films.clip((self.size[0] // 2, self.size[1] // 2))

    def other_rate(self) -> Clip:
        """The film at half the rate."""
        return replace(self.usual(), fps=self.usual().fps / 2)

    def other_codec(self) -> Clip:
        """The film in another codec."""
        return self.films.clip(self.size, self.films.other_codec)

    def login(self, login: str) -> None:
        """Set another password, and hang up on who came with the old one."""
        self._login = login
        self.server.tell(login=login)
        self.proxy.cut()

    def close(self) -> None:
        """Take it down."""
        with contextlib.suppress(OSError):
            self.server.go_on()
        self.server.__exit__()
        self.proxy.__exit__()

    def __enter__(self) -> "Post":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def _even(size: Tuple[int, int]) -> Tuple[int, int]:
    shrink = min(1.0, MOST_SIDE / max(size))
    width, height = (max(round(side * shrink / 8) * 8, 64) for side in size)
    return width, height
