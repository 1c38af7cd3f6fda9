"""What feeds the run loop: frames through a model on all cores, or observations as they are."""

import threading
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional

from ..core import Detections, Observation
from .scheduling import Crew
from .second import Result, SecondModel, answered, observation_of
from .stats import Stopwatch

if TYPE_CHECKING:
    from .cameras import LoopCamera
    from .loop import Loop, Stream


def feed_observations(
    loop: "Loop",
    stop: threading.Event,
    second: Optional[SecondModel],
    model: Any = None,
    every: Optional[Mapping[str, int]] = None,
) -> None:
    """One observation after another, cameras in turn by time.

    Args:
        loop: What takes them.
        stop: Ends the run.
        second: As in `run_loop`.
        model: As there; None for sources that need none.
        every: By camera, of how many frames the model looks at one.
    """
    feeds = {name: iter(camera.source) for name, camera in loop.cameras.items()}
    heads: Dict[str, Observation] = {}
    while not stop.is_set():
        for name in list(feeds):
            if name in heads:
                continue
            camera = loop.cameras[name]
            watch = Stopwatch()
            item = _wanted(camera, feeds[name])
            if item is None:
                del feeds[name]
                loop.finish(camera)
                continue
            camera.stats.add("decode", watch.lap())
            if model is None:
                heads[name] = observation_of(item, Detections.empty())
            else:
                heads[name] = _seen(camera, item, model, (every or {}).get(name, 1))
        if not heads:
            return
        name = min(heads, key=lambda n: heads[n].timestamp) if len(heads) > 1 else next(iter(heads))
        camera, given = loop.cameras[name], heads.pop(name)
        if second is None:
            given = loop.dated(camera, given)
        else:
            given = loop.ask(camera, given)
            camera.ahead -= 1
            watch = Stopwatch()
            asked = given.regions
            given = answered(given, second)
            if given.regions is not asked:
                camera.stats.add("second", watch.lap())
        loop.step(camera, given)


def _seen(camera: "LoopCamera", frame: Any, model: Any, every: int) -> Observation:
    """A frame through the model, at once."""
    if int(frame.index) % every:
        return observation_of(frame, Detections.empty(), False)
    of = getattr(model, "of", None)
    own = model if of is None else of(camera.name)
    watch = Stopwatch()
    tensor, transform = own.preprocess(frame.image)
    camera.stats.add("preprocess", watch.lap())
    outputs = own.infer(tensor)
    camera.stats.add("infer", watch.lap())
    answer = own.postprocess(outputs, transform)
    camera.stats.add("postprocess", watch.lap())
    return observation_of(frame, answer)


def _wanted(camera: "LoopCamera", feed: Any) -> Any:
    """The next of a camera at the rate that is asked for; None at the end."""
    pace, skipped = camera.pace, 0
    for item in feed:
        if pace is None or pace.take(item.timestamp):
            camera.stats.skipped += skipped
            return item
        skipped += 1
    camera.stats.skipped += skipped
    return None


def feed_frames(
    loop: "Loop",
    streams: "Mapping[str, Stream]",
    model: Any,
    workers: int,
    stop: threading.Event,
    second: Optional[SecondModel],
    budget_s: float,
    patience: float,
) -> None:
    """Frames through the model on all cores, and what came of them in order.

    Args:
        loop: What takes them.
        streams: Cameras by name.
        model: As in `run_loop`.
        workers: Threads that run it.
        stop: Ends the run.
        second: As in `run_loop`.
        budget_s: As in `run_loop`.
        patience: Seconds after which cameras without a frame are told that time passes.
    """

    def count(camera: "LoopCamera", more: int) -> None:
        camera.stats.dropped = dropped[camera.name] + crew.dropped(camera.name)
        camera.stats.skipped = skipped[camera.name] + more

    def take(name: str, result: Result) -> None:
        camera = loop.cameras[name]
        camera.stats.add("decode", result.decode)
        if result.observation.detected:
            for stage in ("preprocess", "infer", "postprocess"):
                camera.stats.add(stage, getattr(result, stage))
        if result.second is not None:
            camera.stats.add("second", result.second)
        # As it was at this frame: a file's capture is ahead, and would count anew after a restart.
        count(camera, result.skipped)
        if second is None:
            loop.step(camera, loop.dated(camera, result.observation), result.captured)
        else:
            camera.ahead -= 1
            loop.step(camera, result.observation, result.captured)

    def ask(name: str, observation: Observation) -> Observation:
        return loop.ask(loop.cameras[name], observation)

    def hold(name: str) -> bool:
        camera = loop.cameras[name]
        return camera.hold and camera.ahead > 0

    def idle() -> None:
        now = loop.clock.monotonic()
        for camera in loop.cameras.values():
            if not camera.finished:
                if camera.live:
                    count(camera, crew.skipped(camera.name))
                camera.tell_drops(now)
        loop.tick()

    cameras = loop.cameras
    dropped = {name: camera.stats.dropped for name, camera in cameras.items()}
    skipped = {name: camera.stats.skipped for name, camera in cameras.items()}
    crew = Crew(
        {name: camera.source for name, camera in cameras.items()},
        model,
        workers,
        stop,
        second,
        every={name: int(stream.every) for name, stream in streams.items()},
        priority={name: stream.priority for name, stream in streams.items()},
        paces={name: camera.pace for name, camera in cameras.items() if camera.pace},
        budget_s=budget_s,
    )
    with crew:
        try:
            for name in crew.work(take, idle, patience, ask, hold):
                count(cameras[name], crew.skipped(name))
                loop.finish(cameras[name])
        finally:
            loop.stats.batches = crew.batches
