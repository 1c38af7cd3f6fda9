"""A new release is watched for a while, and taken back if it does worse than the one before."""

from typing import Dict, Iterable, List, NamedTuple, Optional

from ..core import UsageError
from .files import Files
from .layout import Layout, PathLike
from .releases import mark_good, rollback

WATCH, KEEP, BACK = "watch", "keep", "back"


class Limits(NamedTuple):
    """When a release is taken back.

    Attributes:
        duration_s: How long it is watched.
        grace_s: How long it may take to start and to find its cameras.
        crashes: How often it may end by itself.
        starts: How often the device may start anew while it is watched.
        stall_s: How long a camera may stand still after its grace.
        speed: Share of a camera's frames a second before that it must reach.
        slow_s: For how long it may be slower than that.
    """

    duration_s: float = 600.0
    grace_s: float = 60.0
    crashes: int = 2
    starts: int = 3
    stall_s: float = 30.0
    speed: float = 0.7
    slow_s: float = 120.0


class Sample(NamedTuple):
    """How a running edgelane is at one moment.

    Attributes:
        at: Seconds that never go backwards.
        alive: Whether its process runs.
        crashes: How often it has ended by itself since the switch.
        frames: Frames that went through the pipeline since it started, by camera.
    """

    at: float
    alive: bool
    crashes: int
    frames: Dict[str, int]


class Verdict(NamedTuple):
    """What to do now.

    Attributes:
        action: `watch`, `keep` or `back`.
        reason: Why it is taken back, as a sentence; empty otherwise.
    """

    action: str
    reason: str = ""


class _Camera:
    """What is known of one camera."""

    def __init__(self, began: float) -> None:
        self.frames = 0
        self.moved: Optional[float] = None  # when its last frame came
        self.quick = began  # when it was last as quick as it must be
        self.past: List[tuple] = []  # (time, frames) of the last while


class Probation:
    """Watches a release. Pure: it is fed samples, and time is theirs.

    Args:
        limits: When to take it back.
        before: Frames a second of each camera before the switch; cameras that had none are not
            missed, for they were lost already.
    """

    def __init__(self, limits: Limits, before: Dict[str, float]) -> None:
        if limits.duration_s <= 0 or not 0 <= limits.speed <= 1:
            raise UsageError("the limits of a probation make no sense", got=limits)
        self.limits = limits
        self.before = {name: fps for name, fps in before.items() if fps > 0}
        self._began: Optional[float] = None
        self._cameras: Dict[str, _Camera] = {}
        self._dead: Optional[float] = None
        self._verdict = Verdict(WATCH)

    def feed(self, sample: Sample) -> Verdict:
        """Judge by one sample more; once it is not `watch`, the verdict stays."""
        if self._verdict.action != WATCH:
            return self._verdict
        if self._began is None:
            self._began = sample.at
            self._cameras = {name: _Camera(sample.at) for name in self.before}
        self._verdict = self._judge(sample, sample.at - self._began)
        return self._verdict

    def _judge(self, sample: Sample, age: float) -> Verdict:
        limits = self.limits
        if sample.crashes > limits.crashes:
            return Verdict(BACK, f"it has crashed {sample.crashes} times")
        if sample.alive:
            self._dead = None
        elif self._dead is None:
            self._dead = sample.at
        if self._dead is not None and sample.at - self._dead >= max(limits.stall_s, 1.0):
            return Verdict(BACK, f"it has not run for {sample.at - self._dead:.0f} s")
        for name, camera in self._cameras.items():
            self._note(camera, sample, sample.frames.get(name, 0))
            reason = self._worse(name, camera, sample.at, age)
            if reason:
                return Verdict(BACK, reason)
        if age < limits.duration_s:
            return Verdict(WATCH)
        # What is down at the last moment has not been proved.
        return Verdict(KEEP) if sample.alive else Verdict(WATCH)

    def _note(self, camera: _Camera, sample: Sample, frames: int) -> None:
        if frames > camera.frames or (frames and frames < camera.frames):
            camera.moved = sample.at
        if frames < camera.frames:  # the process is another one
            camera.past = []
        camera.frames = frames
        camera.past.append((sample.at, frames))
        while len(camera.past) > 2 and camera.past[1][0] <= sample.at - self.limits.stall_s:
            camera.past.pop(0)

    def _worse(self, name: str, camera: _Camera, at: float, age: float) -> str:
        limits = self.limits
        if age < limits.grace_s:
            camera.quick = at
            return ""
        if camera.moved is None:
            return f"camera {name} gives no frames any more"
        if at - camera.moved >= limits.stall_s:
            return f"camera {name} has stood still for {at - camera.moved:.0f} s"
        (since, first), wanted = camera.past[0], limits.speed * self.before[name]
        if at <= since or (camera.frames - first) / (at - since) >= wanted:
            camera.quick = at
        if at - camera.quick >= limits.slow_s:
            fps = (camera.frames - first) / (at - since)
            return (
                f"camera {name} is down to {fps:.1f} frames a second from {self.before[name]:.1f}"
            )
        return ""


def probation(
    samples: Iterable[Sample],
    root: PathLike = "/",
    *,
    before: Dict[str, float],
    limits: Optional[Limits] = None,
    files: Optional[Files] = None,
) -> Verdict:
    """Watch the release that was installed last, and go back by itself if it does not do.

    A device that starts anew begins the watch anew; one that does so again and again goes back.

    Args:
        samples: How the running edgelane is, every few seconds.
        root: The device's root.
        before: Frames a second of each camera before the switch.
        limits: When to take it back.
        files: What changes the disk.

    Returns:
        `keep` where the release counts as good now, or where nothing is watched; `back` where the
        release before runs again; `watch` where the samples ended before anything was certain.

    Raises:
        ReleaseError: It must be taken back, and there is nothing to go back to.
    """
    limits = limits or Limits()
    layout = Layout(root, files)
    with layout.locked():
        state, current = layout.read_state(), layout.current()
        if current is None or state.probation != current.id:
            return Verdict(KEEP)
        state.starts += 1
        layout.write_state(state)
    verdict = Verdict(WATCH)
    if state.starts > limits.starts:
        verdict = Verdict(BACK, f"the device has started anew {state.starts - 1} times")
    watch = Probation(limits, before)
    for sample in samples if verdict.action == WATCH else ():
        verdict = watch.feed(sample)
        if verdict.action != WATCH:
            break
    if verdict.action == BACK:
        rollback(root, files=files)
    elif verdict.action == KEEP:
        mark_good(root, files=files)
    return verdict
