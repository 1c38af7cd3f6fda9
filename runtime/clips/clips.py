"""Clips around events: a sink that hands pictures to a thread, which keeps and writes them."""

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ...core import Event, StorageError
from .library import Library
from .pixelate import people_boxes
from .recorder import Recorder
from .settings import ClipSettings

LOG = logging.getLogger("edgelane.clips")

MOST_WAITING = 8
PATIENCE_S = 1.0
"""So long a picture of a recording waits for room; one of a live camera does not."""
QUIET_S = 15.0
"""A clip is finished when no picture has come for so long."""
EXPIRE_S = 60.0
STOP_S, END_S = 0.8, 30.0
"""So long a run that is asked to stop, or has come to its end, waits for the last clips."""


class Clips:
    """Keeps clips of a run's events, as a context around the run loop, of which it is a sink.

    Pictures are handed over without copying them; where the thread does not keep up, those of
    live cameras are left out, and counted. Nothing that goes wrong here ends the run.

    Attributes:
        written: Clips that were written.
        failed: Clips that could not be.
        skipped: Pictures that were left out.

    Args:
        settings: What clips are like, and of which events.
        folder: The run folder.
        cameras: Names of the cameras.
        classes: Names of the model's classes, for all cameras or by camera: `person` among them
            is who is pixelated, without it everything that is detected, and the whole picture
            where there are no classes.
        live: Cameras that do not wait.
        stop: Set when the run is asked to stop.

    Raises:
        StorageError: The folder cannot be written.
    """

    def __init__(
        self,
        settings: ClipSettings,
        folder: Path,
        cameras: Sequence[str],
        classes: Union[Sequence[str], Mapping[str, Sequence[str]]] = (),
        live: Collection[str] = (),
        stop: Optional[threading.Event] = None,
    ) -> None:
        self._settings = settings
        keep_s = None if settings.keep_days is None else settings.keep_days * 86400.0
        self._library = Library(
            folder, settings.budget_mb * 1e6, settings.keep_free_mb * 1e6, keep_s
        )
        self._expire_at = 0.0
        share = settings.memory_mb * 1e6 / max(len(cameras), 1)
        self._recorders: Dict[str, Recorder] = {
            name: Recorder(name, settings, share, self._library) for name in cameras
        }
        known = {
            camera: list(classes.get(camera, ()) if isinstance(classes, Mapping) else classes)
            for camera in cameras
        }
        self._people: Dict[str, List[int]] = {
            camera: [at for at, name in enumerate(names) if name == "person"]
            for camera, names in known.items()
        }
        for camera, names in known.items():
            if settings.pixelate == "people" and "person" not in names:
                self._recorders[camera].hide_all(not names)
                LOG.warning(
                    "clips: %s: the model knows no person, so %s is pixelated",
                    *(camera, "what it detects" if names else "all of the picture"),
                )
        self._live, self._stop = set(live), stop
        self._all = "*" in settings.events
        self._kinds = set(settings.events)
        self._taken: Dict[str, float] = {}
        self._pictures: queue.Queue[Any] = queue.Queue(MOST_WAITING)
        self._closing = threading.Event()
        self._deadline = float("inf")
        self._heard: Dict[str, float] = {}
        self.written = self.failed = self.skipped = 0
        self._trouble = ""
        self._told: Optional[Dict[str, Any]] = None
        self._thread = threading.Thread(target=self._work, name="clips", daemon=True)

    def __call__(self, step: Any) -> None:
        events = [e for e in step.events if self._all or e.kind in self._kinds]
        seen = step.observation
        taken = False
        if (
            seen is not None
            and seen.image is not None
            and step.camera in self._recorders
            and self._due(step.camera, seen.timestamp)
        ):
            boxes = people_boxes(step, self._people[step.camera])
            taken = self._hand((step.camera, seen.timestamp, seen.image, boxes, events))
        if events and not taken:
            self._hand((step.camera, None, None, None, events))

    def _due(self, camera: str, timestamp: float) -> bool:
        """Whether a picture is one of those that a clip of its rate needs."""
        interval = 1.0 / self._settings.fps
        due = self._taken.get(camera, timestamp)
        # A little early, so that the rate of a camera that trembles is met.
        if timestamp < due - 0.25 * interval and due - timestamp <= interval:
            return False
        late = not -interval <= timestamp - due <= interval
        self._taken[camera] = (timestamp if late else due) + interval
        return True

    def _hand(self, item: Tuple[Any, ...]) -> bool:
        camera, _, image, _, events = item
        patience = 0.0 if camera in self._live else PATIENCE_S
        try:
            if patience and not self._closing.is_set():
                self._pictures.put(item, timeout=patience)
            else:
                self._pictures.put_nowait(item)
            return True
        except queue.Full:
            if image is not None:
                self.skipped += 1
            elif events:
                self.failed += 1
                LOG.warning(
                    "clips: %s: an event gets none, as the machine does not keep up", camera
                )
            return False

    def __enter__(self) -> "Clips":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        asked = error[0] is not None or (self._stop is not None and self._stop.is_set())
        self._deadline = time.monotonic() + (STOP_S if asked else END_S)
        self._closing.set()
        self._thread.join(max(self._deadline + 0.2 - time.monotonic(), 0.0))
        self._told = self.told()[0]
        if not self._thread.is_alive():
            self._library.close()

    def told(self) -> Tuple[Dict[str, Any], List[str]]:
        """`kept`, `bytes`, `written`, `failed` and `skipped_frames`; and a sentence where clips
        cannot be written."""
        trouble = [f"clips are not written: {self._trouble}"] if self._trouble else []
        if self._told is not None:
            return self._told, trouble
        kept, size = 0, 0
        with contextlib.suppress(sqlite3.Error):
            kept, size = self._library.tallies()
        told = {
            "kept": kept,
            "bytes": size,
            "written": self.written,
            "failed": self.failed,
            "skipped_frames": self.skipped,
        }
        return told, trouble

    def _work(self) -> None:
        while True:
            try:
                item = self._pictures.get(timeout=0.2)
            except queue.Empty:
                if self._closing.is_set():
                    break
                self._look()
                continue
            if time.monotonic() > self._deadline:
                break
            self._take(*item)
            if time.monotonic() >= self._expire_at:
                self._look()
        for name, recorder in self._recorders.items():
            if time.monotonic() > self._deadline:
                if recorder.busy:
                    self.failed += 1
                recorder.give_up()
            else:
                self._guarded(name, recorder.finish)

    def _take(
        self,
        camera: str,
        timestamp: Optional[float],
        image: Optional[np.ndarray],
        boxes: Optional[np.ndarray],
        events: Sequence[Event],
    ) -> None:
        recorder = self._recorders.get(camera)
        if recorder is None:
            return
        self._heard[camera] = time.monotonic()
        if timestamp is not None and image is not None and boxes is not None:
            self._guarded(camera, recorder.add, timestamp, image, boxes)
        for event in events:
            self._guarded(camera, recorder.event, event)

    def _look(self) -> None:
        """Finish clips of cameras that give no pictures any more; delete what is too old."""
        now = time.monotonic()
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_S
            with contextlib.suppress(sqlite3.Error, OSError):
                self._library.expire()
        for name, recorder in self._recorders.items():
            if recorder.busy and now - self._heard.get(name, now) > QUIET_S:
                self._guarded(name, recorder.finish)

    def _guarded(self, camera: str, call: Any, *arguments: Any) -> None:
        """Nothing that goes wrong with a clip may end the run."""
        try:
            if call(*arguments):
                self.written += 1
                self._trouble = ""
        except Exception as error:  # noqa: BLE001 - also whatever OpenCV and SQLite raise
            self.failed += 1
            self._recorders[camera].give_up()
            got = getattr(error, "got", None) or getattr(error, "what", None) or error
            self._trouble = str(got)
            if not isinstance(error, (StorageError, OSError, sqlite3.Error)):
                LOG.warning("clips: %s: one is given up", camera, exc_info=True)
            else:
                LOG.warning("clips: %s: one cannot be written: %s", camera, got)
