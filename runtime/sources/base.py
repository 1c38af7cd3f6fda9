"""What a source of frames is, and how a URI finds its own."""

import importlib
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union
from urllib.parse import parse_qsl, unquote

import numpy as np

from ...core import Frame, MissingDependency, SourceError, UsageError, did_you_mean
from .address import mask

Query = Dict[str, str]


class Source(ABC):
    """Frames of one camera, in order, with true timestamps.

    Iterated by one thread; `close` is called when no thread iterates any more.

    Attributes:
        uri: Where the frames come from.
        camera: Name that the frames carry.
        live: Whether the world goes on while nobody reads: frames may be dropped, time is Unix
            time, and there is no going back.
        size: `(width, height)` in pixels of every frame.
        fps: Nominal frames a second, or None.
        frames: How many frames are expected, or None; an estimate where the container keeps none.
        duration: Seconds that are expected, or None.
        warnings: Sentences that a user should see; may grow while frames are read.
    """

    uri: str = ""
    camera: str = "camera"
    live: bool = False
    size: Tuple[int, int] = (0, 0)
    fps: Optional[float] = None
    frames: Optional[int] = None
    duration: Optional[float] = None
    warnings: List[str]

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames.

        Raises:
            SourceError: The source broke off.
        """

    def seek(self, index: int) -> None:
        """Begin with the frame `index` when next iterated.

        Raises:
            SourceError: The source is live.
        """
        raise SourceError(f"{self.uri} cannot be wound to a frame")

    def close(self) -> None:  # noqa: B027 - many sources hold nothing
        """Let go of the file or device. May be called twice."""

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


Opener = Callable[[str, str, Query], Source]
"""`(location, camera, query) -> Source`: location is what stands behind `scheme://`."""

_OPENERS: Dict[str, Union[str, Opener]] = {
    "file": "file:open_file",
    "synth": "synth:SynthSource",
    "v4l2": "v4l2:V4l2Source",
    "rtsp": "network:open_rtsp",
    "rtsps": "network:open_rtsp",
    "http": "network:open_http",
    "https": "network:open_http",
    "csi": "network:open_csi",
    "live+v4l2": "network:open_device",
    "live+file": "network:open_live_file",
    "live+synth": "network:open_live_synth",
}
_WHOLE = ("rtsp", "rtsps", "http", "https")
"""Schemes whose openers get the address as it stands: most of its query is the camera's."""
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)
_CLASS = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")


def register(scheme: str, opener: Opener) -> None:
    """Let `open_source` understand another scheme."""
    _OPENERS[scheme.lower()] = opener


def open_source(uri: Union[str, "Path"], camera: str = "camera") -> Source:
    """Open what a URI names and read as much of it as tells the size of its frames.

    Args:
        uri: A video file, a folder of images (`frames?fps=7`), `/dev/video0`,
            `v4l2:///dev/video0?width=1280&height=720&fps=30`, a network camera
            (`rtsp://user:password@host/stream?transport=tcp`, `http://host/video.mjpg`), a
            Jetson's `csi://0`, a file played as a live camera (`live+file:///clip.mp4?loop=1`),
            any registered scheme, or the user's own `module:Class?key=value`, called as
            `Class(camera=…, key="value")`.
        camera: Name that the frames carry.

    Raises:
        SourceError: There is no such thing, or it gives no frames.
        UsageError: The scheme or a key of the query is unknown.
        MissingDependency: OpenCV is not installed.
    """
    text = str(uri)
    match = _SCHEME.match(text)
    if match:
        scheme, rest = match.group(1).lower(), match.group(2)
        if scheme not in _OPENERS:
            raise UsageError(
                f"source {mask(text)!r}: unknown scheme {scheme!r}",
                remedy=did_you_mean(scheme, _OPENERS),
            )
        if scheme in _WHOLE and isinstance(_OPENERS[scheme], str):
            return _opener(scheme)(text, camera, {})
        location, query = _split(unquote(rest) if scheme.endswith("file") else rest)
        return _opener(scheme)(location, camera, query)
    location, query = _split(text)
    if _CLASS.match(location) and not Path(location).exists():
        return _own(location, camera, query)
    scheme = "v4l2" if location.startswith("/dev/video") else "file"
    return _opener(scheme)(location, camera, query)


def _split(text: str) -> Tuple[str, Query]:
    if "?" not in text or Path(text).exists():
        return text, {}
    location, query = text.rsplit("?", 1)
    return location, dict(parse_qsl(query, keep_blank_values=True))


def _opener(scheme: str) -> Opener:
    opener = _OPENERS[scheme]
    if isinstance(opener, str):
        module, name = opener.split(":")
        opener = getattr(importlib.import_module(f".{module}", __package__), name)
    return opener  # type: ignore[return-value]


def _own(location: str, camera: str, query: Query) -> Source:
    module, name = location.split(":")
    try:
        kind: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"source {location!r} cannot be imported",
            got=error,
            remedy="name it as module:Class, importable from where edgelane is started",
        ) from None
    return kind(camera=camera, **query)


def take(query: Query, uri: str, **kinds: Callable[[str], Any]) -> Dict[str, Any]:
    """The query's values, converted; a key that is not among `kinds` is an error."""
    values = {}
    for key, text in query.items():
        if key not in kinds:
            raise UsageError(
                f"source {uri!r}: unknown key {key!r}", remedy=did_you_mean(key, kinds)
            )
        try:
            values[key] = kinds[key](text)
        except ValueError:
            raise UsageError(
                f"source {uri!r}: {key} is wrong", got=repr(text), expected="a number above 0"
            ) from None
    return values


def positive(text: str) -> float:
    """A finite number above 0."""
    value = float(text)
    if not 0 < value < 1e6:
        raise ValueError(text)
    return value


def resized(image: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """A picture in another size: a mean over what becomes one pixel where neither side grows, so
    that fine patterns do not turn into coarse ones; else bilinear.

    Args:
        image: `(h, w, …)` uint8.
        size: `(width, height)` in pixels.

    Returns:
        `(height, width, …)` uint8.
    """
    cv2 = load_cv2()
    shrinks = image.shape[1] >= size[0] and image.shape[0] >= size[1]
    # The plain bilinear rounds otherwise on ARM; means are alike but for ties.
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR_EXACT
    return cv2.resize(image, size, interpolation=how)


def load_cv2() -> Any:
    """OpenCV, told to keep its log to itself.

    Raises:
        MissingDependency: It is not installed.
    """
    import os

    # FFmpeg's and OpenCV's own lines would run through the progress line and say less than the
    # errors raised here. Both are read when the library first opens something.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    try:
        import cv2
    except ImportError as error:
        raise MissingDependency(
            "OpenCV is missing", got=error, remedy="pip install 'edgelane[cpu]'"
        ) from None
    # Where it stands differs between OpenCV 4 and 5, and JetPack's own may have neither.
    library: Any = cv2
    logging = getattr(getattr(library, "utils", None), "logging", None)
    if logging is not None:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    elif hasattr(library, "setLogLevel"):
        library.setLogLevel(0)
    return cv2
