"""Video files and folders of images."""

import configparser
import re
from pathlib import Path
from typing import Any, Iterator, List, Optional, Tuple

import numpy as np

from ...core import Frame, SourceError
from .base import Query, Source, load_cv2, positive, resized, take

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_DEFAULT_FPS = 10.0


def open_file(location: str, camera: str, query: Query) -> Source:
    """A video file, or a folder of images (`?fps=`)."""
    path = Path(location).expanduser()
    if path.is_dir():
        values = take(query, location, fps=positive)
        return ImageFolder(path, camera, values.get("fps"))
    if not path.exists():
        raise SourceError(f"{path} does not exist", remedy="check the path of the source")
    take(query, location)
    return VideoFile(path, camera)


class VideoFile(Source):
    """A video file, decoded by FFmpeg through OpenCV.

    A timestamp is the frame's presentation time in the container, counted from the start of the
    video stream, rounded to a microsecond. Only where a container keeps no times it is
    `index / fps`.

    Args:
        path: The file.
        camera: Name that the frames carry.

    Raises:
        SourceError: It cannot be read, holds no video, or no frame of it can be decoded.
        MissingDependency: OpenCV is not installed.
    """

    def __init__(self, path: Path, camera: str = "camera") -> None:
        self.uri, self.camera, self.path = str(path), camera, path
        self.warnings = []
        self._start = 0
        self._begins = 0.0
        self._capture: Any = None
        self._cv2 = load_cv2()
        try:
            with open(path, "rb") as file:
                empty = not file.read(1)
        except OSError as error:
            raise SourceError(
                f"{path} cannot be read", got=error.strerror, remedy="check its permissions"
            ) from None
        if empty:
            raise SourceError(f"{path} is empty (0 bytes)", remedy="copy or record it again")
        self._first = self._open()
        if self._first is None:
            self.close()
            raise SourceError(f"{path} {why_no_video(path)}")
        image, _ = self._first
        self.size = (image.shape[1], image.shape[0])

    def _open(self) -> Optional[Tuple[np.ndarray, float]]:
        """Open (again) and read the first frame."""
        cv2 = self._cv2
        self.close()
        # One decoding thread: capture overlaps with inference anyway, and a decoder that takes
        # all cores gets in the way of the models, which need them more.
        options = []
        if hasattr(cv2, "CAP_PROP_N_THREADS"):
            options.append([cv2.CAP_PROP_N_THREADS, 1])
        # JetPack's OpenCV may have GStreamer alone.
        known = getattr(cv2, "videoio_registry", None)
        api = cv2.CAP_FFMPEG
        if known is not None and api not in known.getBackends():
            api = cv2.CAP_ANY
        capture = cv2.VideoCapture(str(self.path), api, *options)
        self._capture = capture
        if not capture.isOpened():
            return None
        fps = capture.get(cv2.CAP_PROP_FPS)
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps = float(fps) if np.isfinite(fps) and 0 < fps <= 100_000 else None
        self.frames = int(count) if np.isfinite(count) and 0 < count < 1e10 else None
        self.duration = self.frames / self.fps if self.frames and self.fps else None
        if not capture.grab():
            return None
        # Some containers count their length from 0 although their stream starts later.
        begins = capture.get(cv2.CAP_PROP_PTS) if hasattr(cv2, "CAP_PROP_PTS") else 0.0
        self._begins = begins / self.fps if self.fps and 0 < begins < 1e9 else 0.0
        return self._retrieve()

    def _retrieve(self) -> Optional[Tuple[np.ndarray, float]]:
        good, image = self._capture.retrieve()
        if not good or image is None or image.size == 0:
            return None
        if image.ndim == 2:
            image = self._cv2.cvtColor(image, self._cv2.COLOR_GRAY2BGR)
        return image, self._capture.get(self._cv2.CAP_PROP_POS_MSEC)

    def seek(self, index: int) -> None:
        """Begin with the frame `index`.

        The frames before are decoded and passed over: containers seek to keyframes and by
        time, and do not find a frame by its number where the rate varies.
        """
        self._start = max(int(index), 0)

    def __iter__(self) -> Iterator[Frame]:
        first, self._first = self._first, None
        if first is None:  # iterated before
            first = self._open()
            if first is None:
                raise SourceError(f"{self.path} {why_no_video(self.path)}")
        index, seconds = 0, 0.0
        timed = True
        step = 1.0 / (self.fps or 25.0)
        current: Optional[Tuple[np.ndarray, float]] = first
        while True:
            if current is not None:
                image, milliseconds = current
                if index and milliseconds <= 0 and timed:
                    timed = False
                    self.warnings.append(
                        f"{self.path} keeps no times: frames are taken as {1 / step:g} a second."
                    )
                seconds = round(milliseconds * 1000) / 1e6 if timed else round(index * step, 6)
                if (image.shape[1], image.shape[0]) != self.size:
                    image = resized(image, self.size)
                if index >= self._start:
                    yield Frame(image, seconds, self.camera, index)
            index += 1
            while index < self._start and self._capture.grab():
                index += 1
            if not self._capture.grab():
                break
            current = self._retrieve()
        self._start = 0
        self._ended(index, seconds)

    def _ended(self, count: int, seconds: float) -> None:
        """Note an end that came before the one the container promises."""
        if not self.frames or not self.duration or count >= self.frames:
            return
        interval = seconds / max(count - 1, 1)
        # The promise is an estimate in some containers: two hundredths and three frames of slack.
        if self._begins + seconds + 3 * interval < 0.98 * self.duration:
            self.warnings.append(
                f"{self.path} ended at {seconds:.1f} s of {self.duration:.1f} s: "
                "the file is truncated or damaged there."
            )

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None


class ImageFolder(Source):
    """The images of a folder in natural order (`2.jpg` before `10.jpg`).

    The first readable image sets the size; images that cannot be read or have another size are
    passed over, counted in a warning, and leave a hole in index and time. Time is index / fps:
    `?fps=`, else `frameRate` of a MOTChallenge `seqinfo.ini` in the folder or beside it, else 10
    with a warning.

    Raises:
        SourceError: The folder holds no image that can be read.
        MissingDependency: OpenCV is not installed.
    """

    def __init__(self, path: Path, camera: str = "camera", fps: Optional[float] = None) -> None:
        self.uri, self.camera, self.path = str(path), camera, path
        self.warnings = []
        self._start = 0
        self._cv2 = load_cv2()
        try:
            self._files = sorted(
                (p for p in path.iterdir() if p.suffix.lower() in IMAGES and p.is_file()),
                key=lambda p: natural(p.name),
            )
        except OSError as error:
            raise SourceError(f"{path} cannot be read", got=error.strerror) from None
        if not self._files:
            raise SourceError(
                f"{path} holds no images",
                expected="files that end in " + ", ".join(IMAGES),
                remedy="name a video file or a folder of images",
            )
        if fps is None:
            fps = _sequence_fps(path)
        if fps is None:
            fps = _DEFAULT_FPS
            self.warnings.append(
                f"{path} does not say how fast it was recorded: taken as {fps:g} frames a second; "
                f"add ?fps= to the source if that is wrong."
            )
        self.fps = fps
        self.frames = len(self._files)
        self.duration = self.frames / fps
        for file in self._files:
            image = self._read(file)
            if image is not None:
                self.size = (image.shape[1], image.shape[0])
                break
        else:
            raise SourceError(
                f"{path}: none of its {len(self._files)} images can be read",
                remedy="open one in a viewer: they may be damaged or empty",
            )

    def _read(self, file: Path) -> Optional[np.ndarray]:
        try:
            data = np.fromfile(file, np.uint8)
        except OSError:
            return None
        if not data.size:
            return None
        try:
            return self._cv2.imdecode(data, self._cv2.IMREAD_COLOR)
        except self._cv2.error:
            return None

    def seek(self, index: int) -> None:
        self._start = max(int(index), 0)

    def __iter__(self) -> Iterator[Frame]:
        start, self._start = self._start, 0
        unread: List[str] = []
        other: List[str] = []
        unread_count = other_count = 0
        assert self.fps
        for index in range(start, len(self._files)):
            file = self._files[index]
            image = self._read(file)
            if image is None:
                unread_count += 1
                unread[3:] = []
                unread.append(file.name)
            elif (image.shape[1], image.shape[0]) != self.size:
                other_count += 1
                other[3:] = []
                other.append(file.name)
            else:
                yield Frame(image, round(index / self.fps, 6), self.camera, index)
        width, height = self.size
        for count, names, what in (
            (unread_count, unread, "that cannot be read"),
            (other_count, other, f"whose size is not {width}x{height}, that of the first"),
        ):
            if count:
                shown = ", ".join(names[:3]) + (", …" if count > 3 else "")
                images = "1 image" if count == 1 else f"{count} images"
                self.warnings.append(f"{self.path}: passed over {images} {what} ({shown}).")


def natural(name: str) -> List[Any]:
    """A key that sorts numbers inside names by their value."""
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)]


def _sequence_fps(folder: Path) -> Optional[float]:
    for place in (folder, folder.absolute().parent):
        parser = configparser.ConfigParser()
        try:
            if parser.read(place / "seqinfo.ini", encoding="utf-8"):
                return positive(parser.get("Sequence", "frameRate"))
        except (configparser.Error, ValueError, OSError):
            continue
    return None


def why_no_video(path: Path) -> str:
    """Why a file gives no frame, as far as its first bytes and its MP4 boxes tell."""
    with open(path, "rb") as file:
        head = file.read(64)
        sound = head[:4] in (b"fLaC", b"OggS") or head[:3] == b"ID3"
        if sound or (head[:4] == b"RIFF" and head[8:12] == b"WAVE"):
            return "holds sound but no picture. Name a video file"
        if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return "is no video that FFmpeg can decode, or is damaged. Play it to see what it is"
        file.seek(0, 2)
        end = file.tell()
        at, index = 0, b""
        while at + 8 <= end:
            file.seek(at)
            box = file.read(16)
            size = int.from_bytes(box[:4], "big")
            if size == 1:
                size = int.from_bytes(box[8:16], "big")
            if box[4:8] == b"moov":
                file.seek(at)
                index = file.read(min(size, 50_000_000))
            if size < 8:
                break
            at += size
    if not index:
        return "is truncated: its index (the moov box) is missing. Copy or record it again"
    if b"vide" not in index and b"soun" in index:
        return "holds sound but no picture. Name a video file"
    return "has no frame that can be decoded. Record it again, or convert it to H.264"
