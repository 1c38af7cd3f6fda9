"""What the run loop keeps for one camera, and when its pictures were missing."""

import logging
from typing import TYPE_CHECKING, Any, Dict, Optional

from ..core import Event, Pipeline
from .scene import Scene
from .scheduling.pace import Pace, pace_of
from .stats import CameraStats

if TYPE_CHECKING:
    from .loop import Stream

LOG = logging.getLogger("edgelane.camera")
LOG_EVERY_S = 60.0
LOG_FIRST_S = 5.0
"""That frames are dropped is logged this often, and not before: a start takes a moment."""

WORTH_TELLING = 0.01
FEW = 10
"""Share of a camera's frames, and how many, from which on the summary warns that they were
dropped."""

GAP_S = 3.0
"""So long without a picture is a gap, which is told; where pictures are rare, four of their
intervals are."""

RESTARTED = "edgelane was not running"
BEHIND = "pictures came, but the device did not keep up"

TINY = 1e-6
"""Seconds between two moments that have to differ."""


class LoopCamera:
    """What the loop keeps for one camera."""

    def __init__(self, name: str, stream: "Stream", pipeline: Pipeline, stats: CameraStats) -> None:
        self.name = name
        self.source = stream.source
        self.pipeline = pipeline
        self.stats = stats
        self.live = bool(getattr(stream.source, "live", False))
        self.last: Optional[float] = None
        self.scene = Scene()
        self.heard = 0.0  # by the monotonic clock, when the last frame was processed
        self.seen: Optional[float] = None  # time of the last frame
        self.interval = 0.0
        self.shift = 0.0
        self.started = False
        self.resumed = False
        self.snapshot_at = 0.0
        self.scene_at = 0.0
        self.finished = False
        self.offset = 0
        self.pace: Optional[Pace] = None
        self.rare = 0.0  # seconds between frames at the rate that is asked for
        if stream.fps is not None:
            self.pace = pace_of(stream.fps, self.live, getattr(stream.source, "fps", None))
            self.rare = 1.0 / stream.fps
        self._told = (0.0, 0, 0)  # when drops were logged, and counts until then
        self._start = (0, 0)  # counts of an earlier run
        # Asked for regions and not yet processed; with a snapshot due, these come first.
        self.ahead = 0
        self.hold = False

    @property
    def fraction(self) -> Optional[float]:
        """How much of the source is done, 0..1, or None where it has no end."""
        if self.finished:
            return 1.0
        if self.live:
            return None
        duration = getattr(self.source, "duration", None)
        if duration and self.last is not None:
            return min(self.last / duration, 1.0)
        frames = getattr(self.source, "frames", None)
        if frames:
            return min(((self.stats.index or 0) + 1) / frames, 1.0)
        return None

    def begin(
        self, monotonic: float, unix: float, reached: Optional[float], lead: float = 0.0
    ) -> None:
        """A run begins, perhaps where an earlier one had reached some moment, which was that much
        ahead of the clock."""
        self.heard = monotonic
        self.resumed = reached is not None
        self.last = reached
        self.seen = reached if reached is not None else unix
        not_before = getattr(self.source, "not_before", None)
        if self.live and reached is not None and not_before is not None:
            if lead > 0:
                not_before(reached, lead)
            else:
                not_before(reached)
        if self.pace is not None and reached is not None:
            self.pace.reached(reached)
        self._start = (self.stats.dropped, self.stats.frames)
        self._told = (monotonic - LOG_EVERY_S + LOG_FIRST_S, *self._start)

    def lead(self) -> float:
        """Seconds by which the time of frames is ahead of the clock, where the source can tell."""
        lead = getattr(self.source, "lead", None) if self.live else None
        return round(max(lead(), 0.0), 3) if lead is not None else 0.0

    def moment(self, timestamp: float) -> float:
        """The time of a frame as the pipeline sees it: it rises strictly. Where the clock of a
        live camera went back, its time goes on from where it was."""
        timestamp = timestamp + self.shift if self.shift else timestamp
        if self.last is None or timestamp > self.last:
            return timestamp
        later = round(self.last + TINY, 6)
        if self.live and self.last - timestamp > 1.0:
            self.shift += later - timestamp
        return later

    def saw(self, timestamp: float, monotonic: float) -> None:
        """A frame was processed."""
        if self.started and self.seen is not None:
            passed = min(max(timestamp - self.seen, 0.0), 60.0)
            self.interval = 0.9 * self.interval + 0.1 * passed
        self.started = True
        self.seen, self.heard = timestamp, monotonic

    def now(self, monotonic: float) -> Optional[float]:
        """What time it is on the frames' clock, which no setting of the clock changes; None
        before the first frame."""
        if self.seen is None or not self.started:
            return None
        return self.seen + monotonic - self.heard

    def gap(self, timestamp: float, monotonic: float) -> Optional[Event]:
        """What was missing before a frame of this time, or None."""
        if not self.live or self.seen is None:
            return None
        missing = timestamp - self.seen
        if not (self.resumed and not self.started):
            # A clock that was set forward makes no gap: the time has to have passed.
            missing = min(missing, monotonic - self.heard)
        if missing <= self._usual():
            return None
        if self.started:
            return self._gap(timestamp - missing, timestamp, self._reason(missing, timestamp))
        if self.resumed:
            return self._gap(timestamp - missing, timestamp, RESTARTED)
        reason = self._reason(missing, timestamp, "")
        return self._gap(timestamp - missing, timestamp, reason) if reason else None

    def missing(self, monotonic: float) -> Optional[Event]:
        """What is missing at the end of a run, or None."""
        if not self.live or self.seen is None:
            return None
        passed = monotonic - self.heard
        if passed <= self._usual():
            return None
        end = self.seen + passed
        reason = self._reason(passed, end, BEHIND if self.started else "")
        if not reason:
            return None
        if self.stats.index is None:
            self.stats.index, self.stats.last = -1, end  # nothing was seen; that is journalled
        return self._gap(end - passed, end, reason)

    def _usual(self) -> float:
        """So many seconds without a frame are no gap."""
        return max(GAP_S, 4 * self.interval, 4 * self.rare)

    def tell_drops(self, monotonic: float, last: bool = False) -> None:
        """Log now and then that frames are dropped; at the end the summary says so."""
        stats, (told_at, dropped, frames) = self.stats, self._told
        # What came while the run was being started was not the device's fault.
        busy = stats.dropped - int(getattr(self.source, "early", 0))
        new, seen = busy - dropped, stats.frames - frames
        if last:
            busy -= self._start[0]
            share = busy / max(busy + stats.frames - self._start[1], 1)
            if share >= WORTH_TELLING and busy >= FEW:
                stats.warnings.append(
                    f"{self.name}: {busy} frames ({100 * share:.0f} %) were dropped, as "
                    "the device did not keep up. A lower `fps` spares it, a `priority` shares it "
                    "out."
                )
        elif new > 0 and monotonic - told_at >= LOG_EVERY_S:
            self._told = (monotonic, busy, stats.frames)
            if new >= max(WORTH_TELLING * (new + seen), FEW):
                LOG.warning(
                    "%s: the device does not keep up: %d of %d frames were dropped",
                    *(self.name, new, new + seen),
                )

    def connection(self) -> Dict[str, Any]:
        """How the camera's connection is, where its source can tell."""
        health = getattr(self.source, "health", None)
        return dict(health()) if health is not None else {}

    def _reason(self, missing: float, end: float, otherwise: str = BEHIND) -> str:
        asked = getattr(self.source, "reason", None)
        known = asked(end - missing, end) if asked is not None else ""
        return known or otherwise

    def _gap(self, start: float, end: float, reason: str) -> Event:
        self.stats.gaps += 1
        self.stats.missing_s += end - start
        payload = {"from": round(start, 3), "to": round(end, 3), "reason": reason}
        return Event(self.name, end, "gap", payload)
