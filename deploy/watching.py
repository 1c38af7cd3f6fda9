"""How a running release is, as its journal and its service tell."""

import contextlib
import time
from typing import Callable, Dict, Iterator, NamedTuple, Optional

from ..core import EdgelaneError
from ..runtime.journal import Journal
from .layout import Layout, PathLike
from .probation import BACK, Limits, Sample, Verdict, probation
from .service import Service, this_service

JOURNAL = "events.db"
EVERY_S = 2.0


class Reading(NamedTuple):
    """Frames of each camera at one moment.

    Attributes:
        at: Seconds that never go backwards.
        frames: By camera, those that went through the pipeline.
    """

    at: float
    frames: Dict[str, int]


def read_frames(layout: Layout, release: Optional[str]) -> Dict[str, int]:
    """Frames of each camera that a release's journal tells; none where there is none.

    The journal tells them once a second.
    """
    path = layout.runs / str(release) / JOURNAL
    if release is None or not path.is_file():
        return {}
    frames: Dict[str, int] = {}
    # The run may be making its journal at this moment.
    with contextlib.suppress(EdgelaneError), Journal(path, readonly=True) as journal:
        for camera in journal.cameras():
            saved = journal.snapshot(camera)
            if saved is not None:
                frames[camera] = int(saved.stats.get("frames", 0))
    return frames


def read_now(layout: Layout, clock: Callable[[], float] = time.monotonic) -> Reading:
    """The frames of the release that runs."""
    current = layout.current()
    return Reading(clock(), read_frames(layout, current.id if current else None))


def speeds(first: Reading, second: Reading) -> Dict[str, float]:
    """Frames a second of each camera between two readings, at least a second apart.

    A camera that stood still has 0; one that appeared in between is left out.
    """
    passed = second.at - first.at
    if passed < 1.0:
        return {}
    return {
        name: max(second.frames[name] - count, 0) / passed
        for name, count in first.frames.items()
        if name in second.frames
    }


def samples(
    layout: Layout,
    service: Service,
    *,
    every_s: float = EVERY_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Sample]:
    """How the release that runs is, every few seconds, for ever.

    Args:
        layout: The device.
        service: What runs it.
        every_s: Seconds between two samples.
        clock: Seconds that never go backwards.
        sleep: Waits.
    """
    began: Optional[int] = None
    while True:
        state = service.state()
        restarts = state.restarts if state is not None else 0
        if began is None or restarts < began:  # somebody started it by hand
            began = restarts if began is None else 0
        reading = read_now(layout, clock)
        # Where nobody can tell whether it lives, its frames alone do.
        alive = state is None or state.alive
        yield Sample(reading.at, alive, restarts - began, reading.frames)
        sleep(every_s)


def watch_release(
    root: PathLike = "/",
    duration_s: Optional[float] = None,
    *,
    service: Optional[Service] = None,
    every_s: float = EVERY_S,
) -> Verdict:
    """Watch the release that was installed last by its journal and its service.

    One that is taken back makes room for the release before at once.

    Args:
        root: The device's root.
        duration_s: For how long; as its installation said unless given.
        service: What runs the release; systemd where the root is that of a machine it runs.
        every_s: Seconds between two looks.

    Returns:
        As `probation`.

    Raises:
        ReleaseError: As `probation`.
    """
    layout = Layout(root)
    service = service or this_service(layout.root)
    state = layout.read_state()
    limits = Limits(duration_s=state.probation_s if duration_s is None else duration_s)
    # What is watched for a short while cannot be given the usual time to start.
    limits = limits._replace(grace_s=min(limits.grace_s, limits.duration_s / 2))
    looks = samples(layout, service, every_s=every_s)
    verdict = probation(looks, root, before=state.before, limits=limits)
    if verdict.action == BACK:
        service.restart()
    return verdict
