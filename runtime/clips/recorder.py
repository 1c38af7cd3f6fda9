"""One camera's pictures of the last seconds in memory, and the clip that is being written."""

import contextlib
from collections import deque
from pathlib import Path
from typing import Any, Deque, List, NamedTuple, Optional, Tuple

import numpy as np

from ...core import Event, StorageError
from ..sources.base import load_cv2
from ..video import VideoWriter
from .library import Library
from .pixelate import pixelate_boxes, pixelate_picture
from .settings import ClipSettings

AROUND_S = 0.7
"""A person is pixelated where they were seen so long before and after a picture: detectors miss
somebody in single pictures."""
QUALITY = 85


class Shot(NamedTuple):
    """A picture in memory: time, JPEG, and the boxes of people in its pixels."""

    timestamp: float
    jpeg: bytes
    boxes: np.ndarray


class _Clip:
    """A clip that is being written."""

    def __init__(
        self, part: Path, name: str, writer: VideoWriter, event: Event, start: float, end: float
    ) -> None:
        self.part, self.name, self.writer = part, name, writer
        self.events = [event]
        self.start, self.end = start, end
        self.first: Optional[float] = None
        self.last: Optional[float] = None


class Recorder:
    """Keeps one camera's pictures, and writes clips of them.

    Not pixelated pictures are in memory alone.

    Args:
        camera: Its name.
        settings: What clips are like.
        memory: Bytes that its pictures may take.
        library: Where clips go.
    """

    def __init__(
        self, camera: str, settings: ClipSettings, memory: float, library: Library
    ) -> None:
        self.camera = camera
        self._settings, self._memory, self._library = settings, memory, library
        self._around = max(AROUND_S, 2.5 / settings.fps)
        self._shots: Deque[Shot] = deque()
        self._bytes = 0
        self._clip: Optional[_Clip] = None
        self._all = settings.pixelate == "picture"

    def hide_all(self, everything: bool) -> None:
        """Pixelate whole pictures, where nobody can say where people are in them."""
        self._all = self._all or everything

    @property
    def busy(self) -> bool:
        """Whether a clip is being written."""
        return self._clip is not None

    def add(self, timestamp: float, image: np.ndarray, boxes: np.ndarray) -> bool:
        """Take in a picture; gives whether a clip was finished.

        Raises:
            StorageError: The clip cannot be written; it is given up.
        """
        if self._shots and timestamp <= self._shots[-1].timestamp:
            return False
        shot = _shot(timestamp, image, boxes, self._settings.width)
        self._shots.append(shot)
        self._bytes += len(shot.jpeg)
        done = False
        clip = self._clip
        if clip is not None:
            self._write(timestamp - self._around)
            if timestamp - self._around > clip.end:
                done = self.finish()
        oldest = timestamp - self._settings.before_s - 2 * self._around
        while self._shots and (
            self._shots[0].timestamp < oldest or self._bytes > max(self._memory, len(shot.jpeg))
        ):
            self._bytes -= len(self._shots.popleft().jpeg)
        return done

    def event(self, event: Event) -> bool:
        """Begin a clip of an event, or go on with the one that is being written; gives whether
        one was finished.

        Raises:
            StorageError: The disk is full.
        """
        settings, clip, done = self._settings, self._clip, False
        end = event.timestamp + settings.after_s
        if clip is not None:
            if event.timestamp <= clip.end and end - clip.start <= settings.longest_s:
                clip.end = max(clip.end, end)
                clip.events.append(event)
                return False
            clip.end = min(clip.end, event.timestamp)
            done = self.finish()
        if not self._shots:
            return done
        if not self._library.room():
            raise StorageError("the disk has no room for clips", remedy="free some space")
        height, width = _decoded(self._shots[-1]).shape[:2]
        part, name = self._library.new(self.camera, event.kind, event.timestamp, settings.format)
        try:
            writer = VideoWriter(part, settings.fps, (width, height))
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        start = event.timestamp - settings.before_s
        self._clip = _Clip(part, name, writer, event, start, end)
        return done

    def finish(self) -> bool:
        """Write the rest of the clip that is being written; gives whether there was one.

        Raises:
            StorageError: It cannot be written; it is given up.
        """
        clip = self._clip
        if clip is None:
            return False
        self._write(clip.end)
        self._clip = None
        try:
            clip.writer.close()
            if clip.first is None or clip.last is None:
                return False  # no picture came
            _check(clip.part, clip.writer.written)
            span = clip.first, clip.last
            how = "picture" if self._all else self._settings.pixelate
            self._library.add(clip.part, clip.name, self.camera, span, how, clip.events)
            return True
        finally:
            with contextlib.suppress(OSError):
                clip.part.unlink()

    def give_up(self) -> None:
        """Leave the clip that is being written, as if it had not begun."""
        clip, self._clip = self._clip, None
        if clip is not None:
            with contextlib.suppress(Exception):
                clip.writer.close()
            with contextlib.suppress(OSError):
                clip.part.unlink()

    def _write(self, until: float) -> None:
        """Write what is in memory up to a moment."""
        clip = self._clip
        assert clip is not None
        try:
            for shot in list(self._shots):
                behind = clip.last is not None and shot.timestamp <= clip.last
                if behind or shot.timestamp < clip.start or shot.timestamp > clip.end:
                    continue
                if shot.timestamp > until:
                    break
                clip.writer.write(self._shown(shot), shot.timestamp)
                clip.first = shot.timestamp if clip.first is None else clip.first
                clip.last = shot.timestamp
        except BaseException:
            self.give_up()
            raise

    def _shown(self, shot: Shot) -> np.ndarray:
        """A picture as it may be kept."""
        image = _decoded(shot)
        if self._all:
            return pixelate_picture(image)
        if self._settings.pixelate == "people":
            near: List[np.ndarray] = [
                other.boxes
                for other in self._shots
                if abs(other.timestamp - shot.timestamp) <= self._around
            ]
            return pixelate_boxes(image, np.concatenate(near))
        return image


def _shot(timestamp: float, image: np.ndarray, boxes: np.ndarray, widest: int) -> Shot:
    cv2: Any = load_cv2()
    height, width = image.shape[:2]
    size = _size(width, height, widest)
    if size != (width, height):
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        boxes = boxes * np.array([size[0] / width, size[1] / height] * 2, np.float32)
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not good:
        raise StorageError("a picture cannot be kept for clips")
    return Shot(timestamp, data.tobytes(), boxes)


def _size(width: int, height: int, widest: int) -> Tuple[int, int]:
    """At most so wide, in even numbers, as MPEG-4 wants them."""
    scale = min(widest / width, 1.0)
    return max(round(width * scale / 2) * 2, 2), max(round(height * scale / 2) * 2, 2)


def _decoded(shot: Shot) -> np.ndarray:
    cv2: Any = load_cv2()
    return cv2.imdecode(np.frombuffer(shot.jpeg, np.uint8), cv2.IMREAD_COLOR)


def _check(part: Path, pictures: int) -> None:
    """A full disk makes OpenCV write less and say nothing."""
    cv2: Any = load_cv2()
    capture = cv2.VideoCapture(str(part))
    try:
        good, _ = capture.read()
        whole = good and capture.get(cv2.CAP_PROP_FRAME_COUNT) >= 0.9 * pictures
    finally:
        capture.release()
    if not whole:
        raise StorageError(f"clip {part.name} was cut off", remedy="free some space")
