"""Is the run well? From what is counted to `ok`, `degraded` or `failed`, with reasons."""

from collections import deque
from typing import Any, Deque, Dict, Iterable, List, Optional, Set, Tuple

from ..cameras import GAP_S
from ..stats import CameraStats, RunStats, Times
from .machine import Heat, Vitals
from .settings import HealthSettings

OK, DEGRADED, FAILED = "ok", "degraded", "failed"
STATES = (OK, DEGRADED, FAILED)

STUCK_S = 10.0
"""A loop that has not gone round for so long is stuck."""
STARTING_S = 20.0
"""So long a camera may take to its first picture before that is told."""
DROPPED_SHARE = 0.05
"""More frames dropped in the last minute are told."""
MEMORY_SHARE = 0.05
"""Less memory available is told."""
FPS_S = 10.0
RECENT_S = 60.0


class Pace:
    """How fast one camera is lately, in fixed memory.

    Attributes:
        fps: Frames a second over the last ten seconds.
        dropped: Share of the frames of the last minute that were dropped, 0..1.
        interval: Seconds from frame to frame while they came.
        recent: Latencies of the last minute.
    """

    def __init__(self) -> None:
        self.fps = 0.0
        self.dropped = 0.0
        self.interval = 0.0
        self._last: Tuple[int, Optional[float]] = (0, None)
        self.recent = Times()
        self._counts: Deque[Tuple[float, int, int]] = deque()
        self._latencies: Deque[Tuple[float, Times]] = deque()

    def sample(self, stats: CameraStats, now: float) -> None:
        """Look at the counters; about once a second."""
        before, heard = self._last
        if stats.frames != before and stats.heard is not None:
            if heard is not None and stats.frames > before:
                passed = (stats.heard - heard) / (stats.frames - before)
                self.interval += (passed - self.interval) * (0.2 if self.interval else 1.0)
            self._last = stats.frames, stats.heard
        counts = self._counts
        counts.append((now, stats.frames, stats.dropped))
        while len(counts) > 2 and now - counts[1][0] >= RECENT_S:
            counts.popleft()
        first = next((c for c in counts if now - c[0] <= FPS_S), counts[-1])
        passed = now - first[0]
        self.fps = (stats.frames - first[1]) / passed if passed > 0 else 0.0
        frames, dropped = stats.frames - counts[0][1], stats.dropped - counts[0][2]
        self.dropped = dropped / (frames + dropped) if frames + dropped > 0 else 0.0
        latencies = self._latencies
        if not latencies or now - latencies[-1][0] >= RECENT_S / 6:
            kept = Times()
            kept.merge(stats.latency)
            latencies.append((now, kept))
            while len(latencies) > 2 and now - latencies[1][0] >= RECENT_S:
                latencies.popleft()
        self.recent = stats.latency.since(latencies[0][1])
        if not self.recent.count:
            self.recent = stats.latency.since(Times())


def camera_told(
    stats: CameraStats, pace: Pace, connection: Dict[str, Any], now: float, running_s: float
) -> Dict[str, Any]:
    """How one camera is, as the health endpoint tells it.

    Args:
        stats: What the loop counted.
        pace: Its pace.
        connection: What its source tells of its connection, or empty.
        now: By the monotonic clock.
        running_s: Seconds since the run began.
    """
    age = None if stats.heard is None else max(now - stats.heard, 0.0)
    state = "ok"
    if stats.ended:
        state = "ended"
    elif stats.live:
        silent = running_s if age is None else age
        lost = connection.get("connected") is False and silent > GAP_S
        if age is None and silent <= STARTING_S:
            state = "starting"
        elif lost or silent > max(GAP_S, 4 * pace.interval):
            state = "away"
    elif age is None:
        state = "starting"
    told: Dict[str, Any] = {
        "state": state,
        "fps": round(pace.fps, 2) if state != "ended" else 0.0,
        "latency_ms": {
            "p50": round(1e3 * pace.recent.quantile(0.5), 1),
            "p99": round(1e3 * pace.recent.quantile(0.99), 1),
        },
        "frames": stats.frames,
        "dropped": stats.dropped,
        "skipped": stats.skipped,
        "dropped_share": round(pace.dropped, 4),
        "events": stats.events,
        "gaps": stats.gaps,
        "missing_s": round(stats.missing_s, 1),
        "last_frame_age_s": None if age is None else round(age, 2),
        "live": stats.live,
        "size": list(stats.size),
    }
    for key in ("reconnects", "restarts", "tries"):
        told[key] = int(connection.get(key, 0))
    if state == "away":
        told["away_s"] = round(running_s if age is None else age, 1)
        told["reason"] = connection.get("reason") or "no pictures come"
    return told


def judge(
    stats: RunStats,
    cameras: Dict[str, Dict[str, Any]],
    vitals: Vitals,
    heat: Heat,
    settings: HealthSettings,
    turn_age_s: float,
    notes: List[str],
) -> Tuple[str, List[str]]:
    """The state of a run, and sentences that say why.

    Args:
        stats: What the loop counted.
        cameras: As `camera_told` gives them.
        vitals: How the machine is.
        heat: Whether it is hot or slowed down.
        settings: From when on something is told.
        turn_age_s: Seconds since the loop went round last.
        notes: What else is wrong, e.g. with webhooks.
    """
    failed: List[str] = []
    degraded: List[str] = []
    running = stats.ended == "running"
    if stats.ended == "error":
        failed.append("the run ended with an error")
    if running and turn_age_s > STUCK_S:
        failed.append(f"the run loop is stuck for {turn_age_s:.0f} s")
    away = [name for name, told in cameras.items() if told["state"] == "away"]
    watched = [name for name, told in cameras.items() if told["state"] != "ended"]
    for name in away:
        told = cameras[name]
        (failed if len(away) == len(watched) else degraded).append(
            f"camera {name} gives no pictures for {told['away_s']:.0f} s: {told['reason']}"
        )
    for name, told in cameras.items():
        if told["state"] == "ok" and told["dropped_share"] > DROPPED_SHARE:
            degraded.append(
                f"camera {name}: {100 * told['dropped_share']:.0f} % of the frames of the last "
                "minute were dropped"
            )
    if heat.hot:
        degraded.append(f"the machine is hot: {heat.hot}")
    if heat.throttled:
        degraded.append(f"the machine is {heat.throttled}")
    free = vitals.disk.get("free")
    if free is not None and free < settings.disk_mb * 1e6:
        degraded.append(f"only {free / 1e6:.0f} MB of disk are free")
    total, available = vitals.memory.get("total"), vitals.memory.get("available")
    if total and available is not None and available < MEMORY_SHARE * total:
        degraded.append(f"only {available / 1e6:.0f} MB of memory are available")
    degraded.extend(notes)
    state = FAILED if failed else DEGRADED if degraded else OK
    return state, failed + degraded


class Tally:
    """Counts of events by camera and kind, and of what stores ask for: crossings, entries and
    visitors. A sink of the run loop; begun with what an earlier run has journalled, it never
    goes back."""

    def __init__(self) -> None:
        self.kinds: Dict[Tuple[str, str], int] = {}
        self.crossings: Dict[Tuple[str, str, str], int] = {}
        self.entries: Dict[Tuple[str, str], int] = {}
        self.visitors: Dict[str, int] = {}
        self._known: Set[str] = set()

    def __call__(self, step: Any) -> None:
        for event in step.events:
            if not self._known or event.id not in self._known:
                self.add(event)

    def add(self, event: Any) -> None:
        """Count one event."""
        camera, kind, payload = event.camera, event.kind, event.payload
        self.count(camera, kind, 1)
        if kind == "crossing":
            key = (camera, str(payload.get("line")), str(payload.get("direction")))
            self.crossings[key] = self.crossings.get(key, 0) + 1
        elif kind == "entry":
            zone = (camera, str(payload.get("zone")))
            self.entries[zone] = self.entries.get(zone, 0) + 1
        elif kind == "visitor":
            self.visitors[camera] = self.visitors.get(camera, 0) + 1

    def count(self, camera: str, kind: str, more: int) -> None:
        """Count events of which only the kind is known."""
        self.kinds[camera, kind] = self.kinds.get((camera, kind), 0) + more

    def begin(self, journal: Any, recordings: Iterable[str] = ()) -> None:
        """Count on from what a journal holds.

        Args:
            journal: Open for reading.
            recordings: Cameras that are played again from their last snapshot: what they told
                since comes again, and is counted once.
        """
        for name in recordings:
            saved = journal.snapshot(name)
            after = float("-inf") if saved is None else saved.timestamp
            self._known.update(e.id for e in journal.events(name) if e.timestamp > after)
        for camera, kind, number in journal.kinds():
            self.count(camera, kind, number)
        for camera, (line, way), number in journal.counts("crossing", "line", "direction"):
            self.crossings[camera, line, way] = number
        for camera, (zone,), number in journal.counts("entry", "zone"):
            self.entries[camera, zone] = number
        for camera, _, number in journal.counts("visitor"):
            self.visitors[camera] = number


def turn_age(turns: int, seen: Optional[Tuple[int, float]], now: float) -> Tuple[int, float]:
    """The turns of the loop and since when they stand there."""
    return seen if seen is not None and seen[0] == turns else (turns, now)
