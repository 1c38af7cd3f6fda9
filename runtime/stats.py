"""How a run went: frames, drops, and what each stage cost."""

import math
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

STAGES = (
    "decode",
    "preprocess",
    "infer",
    "postprocess",
    "regions",
    "second",
    "pipeline",
    "journal",
    "sinks",
)
"""Stages in the order a frame passes them. `regions` is `Pipeline.regions`, `second` the second
model, in frames in which something was asked of it. `pipeline` is `Pipeline.process`; `journal`
also holds its snapshots and the picture of the scene."""

_STEP = math.log(1.02)


class Times:
    """Durations in fixed memory: a histogram whose bins are 2 % wide.

    Attributes:
        count: How many.
        wall: Their sum in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.wall = 0.0
        self._bins: Dict[int, int] = {}

    def note(self, wall: float) -> None:
        """Add one, in seconds."""
        self.count += 1
        self.wall += wall
        at = math.floor(math.log(max(wall, 1e-9)) / _STEP)
        self._bins[at] = self._bins.get(at, 0) + 1

    def merge(self, other: "Times") -> None:
        """Add all of another histogram."""
        self.count += other.count
        self.wall += other.wall
        for at, count in list(other._bins.items()):
            self._bins[at] = self._bins.get(at, 0) + count

    def since(self, earlier: "Times") -> "Times":
        """What was added since this histogram was the earlier one.

        May be asked for by another thread while times are added.
        """
        later = Times()
        for at, count in list(self._bins.items()):
            more = count - earlier._bins.get(at, 0)
            if more > 0:
                later._bins[at] = more
                later.count += more
        later.wall = max(self.wall - earlier.wall, 0.0)
        return later

    def quantile(self, q: float) -> float:
        """Seconds that a share `q` (0..1) of them do not exceed, to 1 %; 0.0 without any.

        May be asked for by another thread while times are added.
        """
        bins = sorted(self._bins.items())
        wanted, seen = q * sum(count for _, count in bins), 0
        for at, count in bins:
            seen += count
            if seen >= wanted:
                return math.exp((at + 0.5) * _STEP)
        return 0.0

    def at_most(self, seconds: float) -> int:
        """How many are not longer, to the width of a bin: what a cumulative bucket holds."""
        return sum(
            n for at, n in list(self._bins.items()) if math.exp((at + 0.5) * _STEP) <= seconds
        )

    def summary_ms(self) -> Dict[str, float]:
        """`p50`, `p95` and `p99` in milliseconds."""
        return {f"p{n}": round(1e3 * self.quantile(n / 100), 3) for n in (50, 95, 99)}


class StageTimes(Times):
    """Wall and CPU time of one stage, a frame at a time, in fixed memory.

    The median comes from a histogram whose bins are 2 % wide.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cpu = 0.0

    def add(self, wall: float, cpu: float) -> None:
        """Add one frame, in seconds."""
        self.note(wall)
        self.cpu += cpu

    @property
    def median_ms(self) -> float:
        """Median wall milliseconds a frame, to 1 %."""
        return 1e3 * self.quantile(0.5)

    @property
    def cpu_ms(self) -> float:
        """Mean CPU milliseconds a frame of the thread that ran it."""
        return 1e3 * self.cpu / self.count if self.count else 0.0


class Stopwatch:
    """Wall and CPU time of this thread since the last `lap`."""

    __slots__ = ("_cpu", "_wall")

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def lap(self) -> Tuple[float, float]:
        """Seconds of wall and CPU since the last lap, which ends now."""
        wall, cpu = time.perf_counter(), time.thread_time()
        spent = (wall - self._wall, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu
        return spent


@dataclass
class CameraStats:
    """What one camera gave.

    Attributes:
        frames: Frames that the pipeline saw, with those before a restart.
        dropped: Frames of a live camera that were not looked at, because the device was busy and
            newer ones came.
        skipped: Frames between those of the rate that was asked for; not dropped, but not wanted.
        first: Time of the first frame in seconds, or None.
        last: Time of the last frame in seconds, or None.
        index: Number of the last frame in its source, or None.
        size: `(width, height)` in pixels.
        resumed: Number of the frame from which a restart went on, or None.
        events: Events of this process.
        live: Whether the camera is live.
        heard: When the last frame was processed, by the monotonic clock, or None.
        ended: Whether its source has ended.
        gaps: How often pictures were missing, in this process.
        missing_s: Seconds that they were missing.
        connection: What the source tells of its connection; empty without one.
        warnings: Sentences that a user should see.
        stages: Times by stage, of this process.
        latency: From the moment a frame was captured (for sources that are not live: handed
            out) to when its events are journalled, of this process.
    """

    frames: int = 0
    dropped: int = 0
    skipped: int = 0
    first: Optional[float] = None
    last: Optional[float] = None
    index: Optional[int] = None
    size: Tuple[int, int] = (0, 0)
    resumed: Optional[int] = None
    events: int = 0
    gaps: int = 0
    missing_s: float = 0.0
    connection: Dict[str, Any] = field(default_factory=dict)
    warnings: List[str] = field(default_factory=list)
    stages: Dict[str, StageTimes] = field(default_factory=dict)
    latency: Times = field(default_factory=Times)
    live: bool = False
    heard: Optional[float] = None
    ended: bool = False

    def add(self, stage: str, spent: Tuple[float, float]) -> None:
        """Add one frame's `(wall, CPU)` seconds to a stage."""
        times = self.stages.get(stage)
        if times is None:
            times = self.stages[stage] = StageTimes()
        times.add(*spent)

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last, taken as long as the mean one."""
        if self.first is None or self.last is None or self.frames < 2:
            return 0.0
        return (self.last - self.first) * self.frames / (self.frames - 1)

    def summary(self) -> Dict[str, Any]:
        """`frames`, `duration_s`, `dropped`, `timing_ms`, `cpu_ms`, of a live camera `latency_ms`
        and, if any, `warnings`."""
        ordered = [name for name in STAGES if name in self.stages]
        result: Dict[str, Any] = {
            "frames": self.frames,
            "duration_s": round(self.duration_s, 3),
            "dropped": self.dropped,
            "timing_ms": {name: round(self.stages[name].median_ms, 3) for name in ordered},
            "cpu_ms": {name: round(self.stages[name].cpu_ms, 3) for name in ordered},
        }
        if self.skipped:
            result["skipped"] = self.skipped
        if self.live and self.latency.count:
            result["latency_ms"] = self.latency.summary_ms()
        if self.resumed is not None:
            result["resumed_at_frame"] = self.resumed
        if self.connection:
            result["connection"] = dict(self.connection)
        if self.warnings:
            result["warnings"] = list(self.warnings)
        return result


@dataclass
class RunStats:
    """What a run gave; filled while it runs.

    Attributes:
        cameras: By name.
        wall_s: Seconds that the loop took.
        cpu_s: CPU seconds of the whole process in that time, all threads.
        processed: Frames in that time, all cameras.
        workers: Threads that ran the model.
        ended: `running`, `end` (the sources ended), `stopped` (asked to stop) or `error`.
        batches: How often the model ran on so many frames at once; empty where it takes one.
        turns: How often the loop went round, with a frame or while it waited for one: it stands
            still where the loop is stuck.
    """

    cameras: Dict[str, CameraStats] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    processed: int = 0
    workers: int = 0
    ended: str = "running"
    turns: int = 0
    batches: Dict[int, int] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        """Frames a second over all cameras."""
        return self.processed / self.wall_s if self.wall_s > 0 else 0.0

    def summary(self) -> Dict[str, Any]:
        """The loop's part of `summary.json` over all cameras; times as means over the frames."""
        cameras = list(self.cameras.values())
        if len(cameras) == 1:
            result = cameras[0].summary()
        else:
            both: CameraStats = CameraStats(
                frames=sum(c.frames for c in cameras),
                dropped=sum(c.dropped for c in cameras),
                skipped=sum(c.skipped for c in cameras),
            )
            for camera in cameras:
                for name, times in camera.stages.items():
                    into = both.stages.setdefault(name, StageTimes())
                    into.merge(times)
                    into.cpu += times.cpu
                if camera.live:
                    both.live = True
                    both.latency.merge(camera.latency)
                both.warnings.extend(camera.warnings)
            result = both.summary()
            result["duration_s"] = round(max((c.duration_s for c in cameras), default=0.0), 3)
        if any(size > 1 for size in self.batches):
            result["batches"] = {str(n): self.batches[n] for n in sorted(self.batches)}
        result["fps"] = round(self.fps, 2)
        result["ended"] = self.ended
        return result
