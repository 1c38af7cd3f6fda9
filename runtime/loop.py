"""The run loop: frames in, events journalled, in order, on all cores.

For each camera a capture thread decodes; a pool of workers runs the model on whole frames, whose
turn `scheduling` decides; the calling thread takes the outputs in the order of the frames:
detections, pipeline, sinks, journal. Stages so overlap, and a pipeline still sees one frame after
another.
"""

import contextlib
import math
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from ..core import (
    Event,
    Observation,
    Pipeline,
    StorageError,
    Tracks,
    UsageError,
)
from .cameras import TINY, LoopCamera
from .feeding import feed_frames, feed_observations
from .journal import Journal
from .progress import Progress
from .second import SecondModel
from .stats import CameraStats, RunStats, Stopwatch
from .surroundings import asked_to_stop, cores, one_opencv_thread

SNAPSHOT_S = 1.0
SCENE_FIRST_S = 30.0
SCENE_S = 600.0
TICK_S = 1.0
BUDGET_S = 0.1


@dataclass(frozen=True)
class Stream:
    """One camera of a run.

    Attributes:
        source: A `Source`, or anything that has its attributes and yields `Frame`s or, without a
            model, `Observation`s (see `Replay`). One that has `choose(wanted)` is told once which
            timestamps are wanted, and yields no others.
        make_pipeline: Called once with the `(width, height)` of the source.
        every: Of how many frames the model looks at one; the others reach the pipeline without
            detections, see `Observation.detected`.
        fps: Frames a second that are looked at, at an even pace; None for all.
        priority: Weight of the camera against the others when the device cannot look at all
            frames of live cameras, above 0.
    """

    source: Any
    make_pipeline: Callable[[Tuple[int, int]], Pipeline]
    every: int = 1
    fps: Optional[float] = None
    priority: float = 1.0


@dataclass(frozen=True)
class Step:
    """What a sink is told: a frame and what came of it.

    Attributes:
        camera: Name of the camera.
        observation: The frame; None when the source has ended and `events` are the last ones.
        tracks: Tracks of this frame, or None.
        events: What happened.
        pipeline: For what it can tell beyond that, e.g. live counts for an overlay.
    """

    camera: str
    observation: Optional[Observation]
    tracks: Optional[Tracks]
    events: List[Event]
    pipeline: Pipeline


Sink = Callable[[Step], None]


class Clock:
    """The clocks of the machine; `edgelane.runtime.testing.FakeClock` stands in for them."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()

    def time(self) -> float:
        """Unix time in seconds."""
        return time.time()


def default_workers() -> int:
    """One worker more than cores: while one waits for the interpreter, which decoding a model's
    output and the pipeline share, another is inside the model and needs none."""
    return cores() + 1


def run_loop(
    streams: Mapping[str, Stream],
    model: Optional[Any],
    journal: Optional[Journal],
    *,
    sinks: Iterable[Sink] = (),
    progress: Optional[Progress] = None,
    workers: Optional[int] = None,
    stop: Optional[threading.Event] = None,
    stats: Optional[RunStats] = None,
    clock: Optional[Clock] = None,
    second: Optional[SecondModel] = None,
    budget_s: Optional[float] = None,
    in_turn: bool = False,
) -> RunStats:
    """Run until the sources end, `stop` is set, or SIGINT or SIGTERM comes.

    A journal that holds a snapshot of a camera is gone on with: the pipeline is restored, a file
    goes on at the frame after, and events that are made again count once. Timestamps that a
    pipeline sees rise strictly: one that does not is set a microsecond after the one before.

    Args:
        streams: Cameras by name.
        model: What gives detections: `preprocess(image) -> (tensor, transform)`,
            `infer(tensor) -> outputs` and `postprocess(outputs, transform) -> Detections`, or
            findings that have `detections`, see `core.Observation`; safe to call from several
            threads; best loaded with one thread a call, as there are several workers. Where
            `infer` takes several tensors along a new first axis, its attribute `batch` says how
            many: a fixed number, or None for any; it then gives arrays by name with the pictures
            along their first axis. Where cameras have models of their own, `of(camera)` gives each.
            None for sources that yield observations, or pipelines that
            look at the picture alone.
        journal: Where events go, or None.
        sinks: Called in order with each `Step`, before its events are journalled. Closing them
            is the caller's.
        progress: Told how far the run is.
        workers: Threads that run the model; one more than cores unless given.
        stop: Set it to end the run as a signal does.
        stats: Filled while the loop runs, so that a caller has it after an error too.
        clock: For tests.
        second: What looks at the regions that pipelines ask for (see `core.Pipeline`), e.g. a
            `runtime.pose.PoseModel`: from a picture and `(n, 4)` boxes in its pixels to a row a
            box. It runs in the workers, so it must be safe to call from several threads at once,
            and is best loaded with one thread a call.
        budget_s: Seconds that a live frame may wait for its turn before a newer one of its camera
            takes its place, and within which several are run together; 0.1 unless given. See
            `runtime.scheduling`.
        in_turn: Whether cameras are looked at in turn by the time of their frames, one after
            another in the calling thread: what a pipeline heeds of another camera is then the same
            in every run. For files; live cameras wait for nobody.

    Returns:
        How it went.

    Raises:
        EdgelaneError: A source, the model, a sink or the journal failed. All that came before is
            journalled, and so is what `Pipeline.finish` told, unless the journal itself failed.
    """
    stats = stats if stats is not None else RunStats()
    stop = stop or threading.Event()
    loop = Loop(journal, list(sinks), progress, stats, clock or Clock())
    for name, stream in streams.items():
        if isinstance(stream.every, bool) or int(stream.every) < 1:
            raise UsageError(
                f"camera {name}: every must be a count", got=stream.every, expected="1 or more"
            )
        for what in ("fps", "priority"):
            value = getattr(stream, what)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"camera {name}: {what}", got=value, expected="a number above 0")
    budget_s = BUDGET_S if budget_s is None else budget_s
    if not 0 < budget_s < math.inf:
        raise UsageError("the latency budget", got=budget_s, expected="seconds above 0")
    began, cpu = time.perf_counter(), time.process_time()
    try:
        with asked_to_stop(stop), one_opencv_thread():
            loop.begin(streams)
            try:
                if model is None or in_turn:
                    every = {name: int(stream.every) for name, stream in streams.items()}
                    feed_observations(loop, stop, second, model, every)
                else:
                    stats.workers = max(workers or default_workers(), 1)
                    feed_frames(
                        loop, streams, model, stats.workers, stop, second, budget_s, TICK_S / 2
                    )
            except BaseException as error:
                stats.ended = "error"
                loop.end(error)
                raise
            stats.ended = "stopped" if stop.is_set() else "end"
            loop.end(None)
    finally:
        stats.wall_s = time.perf_counter() - began
        stats.cpu_s = time.process_time() - cpu
        if stats.ended == "running":
            stats.ended = "error"
        if progress is not None:
            progress.close()
    return stats


class Loop:
    """The part that frames and recorded detections share: pipeline, sinks, journal, in order."""

    def __init__(
        self,
        journal: Optional[Journal],
        sinks: List[Sink],
        progress: Optional[Progress],
        stats: RunStats,
        clock: Clock,
    ) -> None:
        self.journal = journal
        self.sinks = sinks
        self.progress = progress
        self.stats = stats
        self.clock = clock
        self.cameras: Dict[str, LoopCamera] = {}

    def begin(self, streams: Mapping[str, Stream]) -> None:
        if not streams:
            raise UsageError("there is no camera to run")
        now = self.clock.monotonic()
        for name, stream in streams.items():
            source = stream.source
            size = (int(source.size[0]), int(source.size[1]))
            stats = self.stats.cameras[name] = CameraStats(size=size)
            camera = LoopCamera(name, stream, stream.make_pipeline(size), stats)
            stats.live = camera.live
            camera.snapshot_at = now
            camera.scene_at = now + SCENE_FIRST_S
            self.cameras[name] = camera
            saved = self.journal.snapshot(name) if self.journal is not None else None
            lead = float(saved.stats.get("lead", 0.0)) if saved is not None else 0.0
            if saved is not None:
                camera.pipeline.restore(saved.state)
                stats.last = saved.timestamp
                stats.index, stats.resumed = saved.index, saved.index + 1
                stats.frames = int(saved.stats.get("frames", 0))
                stats.dropped = int(saved.stats.get("dropped", 0))
                stats.skipped = int(saved.stats.get("skipped", 0))
                stats.first = saved.stats.get("first")
                if camera.live:
                    camera.offset = saved.index + 1  # its own numbers begin anew
                else:
                    source.seek(saved.index + 1)
            camera.begin(now, self.clock.time(), saved and saved.timestamp, lead)
            if self.journal is not None and not camera.live:
                # What an earlier end told is told anew at the true end.
                self.journal.retract(name)

    def dated(self, camera: LoopCamera, given: Observation) -> Observation:
        """The observation as the pipeline sees it: time rises strictly, and numbers go on after
        a restart."""
        moment = camera.last = camera.moment(float(given.timestamp))
        index = given.index + camera.offset
        if moment != given.timestamp or given.camera != camera.name or camera.offset:
            given = replace(given, camera=camera.name, timestamp=moment, index=index)
        return given

    def ask(self, camera: LoopCamera, given: Observation) -> Observation:
        """The observation, dated, with the regions that its pipeline asks for."""
        given = self.dated(camera, given)
        camera.ahead += 1
        asks = getattr(camera.pipeline, "regions", None)
        if asks is None:
            return given
        watch = Stopwatch()
        given = replace(given, regions=asks(given))
        camera.stats.add("regions", watch.lap())
        return given

    def step(
        self, camera: LoopCamera, given: Observation, captured: Optional[float] = None
    ) -> None:
        """One observation, dated, through pipeline, sinks and journal.

        Args:
            camera: Whose it is.
            given: The observation.
            captured: The moment of the monotonic clock from which its latency is measured.
        """
        stats = camera.stats
        watch = Stopwatch()
        gap = camera.gap(given.timestamp, self.clock.monotonic())
        events = self.told_of(camera, gap, given.timestamp) if gap else []
        events += camera.pipeline.process(given)
        stats.add("pipeline", watch.lap())
        stats.frames += 1
        self.stats.processed += 1
        self.stats.turns += 1
        stats.index, stats.last = given.index, given.timestamp
        if stats.first is None:
            stats.first = given.timestamp
        if self.sinks:
            self.tell(Step(camera.name, given, camera.pipeline.tracks(), events, camera.pipeline))
            stats.add("sinks", watch.lap())
        now = self.clock.monotonic()
        camera.saw(given.timestamp, now)
        stats.heard = now
        self.keep(camera, events, now)
        if given.image is not None:
            camera.scene.offer(given.image, given.index)
            if now >= camera.scene_at:
                camera.scene_at = now + SCENE_S
                self.keep_scene(camera)
        stats.add("journal", watch.lap())
        if captured is not None:
            stats.latency.note(max(time.monotonic() - captured, 0.0))
        if self.progress is not None:
            self.progress.update(self.stats.processed, self.fraction())

    def told_of(self, camera: LoopCamera, gap: Event, timestamp: float) -> List[Event]:
        """A gap, and what its passing brings: who was seen before it is not seen any more."""
        if camera.ahead:
            return [gap]
        return [*camera.pipeline.tick(timestamp - TINY), gap]

    def tell(self, step: Step) -> None:
        for sink in self.sinks:
            sink(step)

    def keep(self, camera: LoopCamera, events: List[Event], now: float) -> None:
        """Journal a frame; with a snapshot when one is due."""
        camera.stats.events += len(events)
        if self.journal is None:
            return
        # A file is played again from its snapshot, and the events in between are known by their
        # ids. A live camera cannot be, so its state is kept with each event.
        due = now - camera.snapshot_at >= SNAPSHOT_S or (camera.live and bool(events))
        # What a pipeline was asked ahead is not undone: the state is kept when that is processed.
        camera.hold = due and camera.ahead > 0
        due = due and not camera.hold
        self.write(camera, events, due)
        if due:
            camera.snapshot_at = self.clock.monotonic()

    def write(
        self, camera: LoopCamera, events: List[Event], snapshot: bool, provisional: bool = False
    ) -> None:
        stats = camera.stats
        if self.journal is None or stats.index is None:
            return
        state = camera.pipeline.snapshot() if snapshot else None
        counted = None
        if snapshot:
            counted = {"frames": stats.frames, "dropped": stats.dropped, "first": stats.first}
            if camera.lead() > 0:
                counted["lead"] = camera.lead()
            if camera.pace is not None:
                counted["skipped"] = stats.skipped
        self.journal.write(
            camera.name, stats.index, stats.last or 0.0, events, state, counted, provisional
        )

    def keep_scene(self, camera: LoopCamera) -> None:
        if self.journal is None:
            return
        jpeg = camera.scene.jpeg()
        # After a restart the picture of the time before is better than one of a few moments.
        if jpeg and (camera.scene.rich or self.journal.blob(camera.name, "scene") is None):
            self.journal.set_blob(camera.name, "scene", jpeg)

    def tick(self) -> None:
        """Tell pipelines of live cameras that time passes although no frame comes."""
        self.stats.turns += 1
        now = self.clock.monotonic()
        for camera in self.cameras.values():
            if not camera.live or camera.finished or camera.ahead or now - camera.heard < TICK_S:
                continue
            # A frame of this very moment may be on its way: time is told a little late.
            moment = camera.now(now)
            if moment is None or camera.last is None or moment - TICK_S / 2 <= camera.last:
                continue
            moment -= TICK_S / 2
            camera.last = moment
            events = camera.pipeline.tick(moment)
            if events:
                self.tell(Step(camera.name, None, None, events, camera.pipeline))
                self.keep(camera, events, now)

    def finish(self, camera: LoopCamera) -> None:
        """The end of one camera: what its pipeline still has to tell."""
        if camera.finished:
            return
        camera.finished = camera.stats.ended = True
        camera.stats.warnings = list(getattr(camera.source, "warnings", ()))
        camera.stats.connection = camera.connection()
        camera.tell_drops(self.clock.monotonic(), last=True)
        gap = camera.missing(self.clock.monotonic())
        events = camera.pipeline.finish()
        if gap is not None:
            events = [*events, gap]
        camera.stats.events += len(events)
        if events and self.sinks:
            self.tell(Step(camera.name, None, None, events, camera.pipeline))
        # Started again, a live camera goes on from here, but a file from its last snapshot: it
        # may have been stopped half way, and then those whose visit ends here have not left.
        self.write(camera, events, snapshot=camera.live, provisional=not camera.live)
        self.keep_scene(camera)

    def end(self, error: Optional[BaseException]) -> None:
        """The end of the run, after an error with as much as can still be kept."""
        if error is None:
            for camera in self.cameras.values():
                self.finish(camera)
            return
        if isinstance(error, StorageError):
            return  # what could not be written then cannot be written now
        for camera in self.cameras.values():
            # The first error is the one to tell; a pipeline that failed may fail again here.
            with contextlib.suppress(Exception):
                self.finish(camera)

    def fraction(self) -> Optional[float]:
        parts = [camera.fraction for camera in self.cameras.values()]
        known = [part for part in parts if part is not None]
        return sum(known) / len(known) if len(known) == len(parts) else None
