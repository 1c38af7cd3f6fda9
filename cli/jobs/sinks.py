"""What a run writes or shows beside its journal, as sinks of the run loop."""

import contextlib
import re
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ...core import Event, UsageError
from ...runtime.journal import Journal
from ...runtime.loop import Sink, Step
from ...runtime.mot import DetectionsWriter, TracksWriter
from .folder import PathLike


class Wanted(NamedTuple):
    """What a user asked for; see `run`."""

    tracks: bool = False
    detections: bool = False
    video: Optional[PathLike] = None
    show: bool = False


def open_sinks(
    stack: contextlib.ExitStack,
    wanted: Wanted,
    folder: Path,
    sources: Mapping[str, Any],
    shapes: Mapping[str, Mapping[str, Any]],
    classes: Mapping[str, Sequence[str]],
    journal: Journal,
    stop: threading.Event,
    subscribers: Sequence[Tuple[str, Any]] = (),
) -> List[Sink]:
    """Open what was asked for; the stack closes it.

    Args:
        stack: Closes the files.
        wanted: What to write and show.
        folder: The run folder, for rows.
        sources: By camera.
        shapes: Lines and zones by camera, in pixels of the stream.
        classes: By camera, names by class id.
        journal: Tells how far a run that was cut off had come.
        stop: Set when the user closes the window.
        subscribers: Kinds of events, and what is called with each of that kind.

    Returns:
        Sinks for `run_loop`.
    """
    sinks: List[Sink] = [_subscriber(kind, call) for kind, call in subscribers]
    for name, source in sources.items():
        saved = journal.snapshot(name)
        resume = None if saved is None else saved.index
        suffix = _suffix(name, sources)
        if wanted.tracks:
            path = folder / f"tracks{suffix}.txt"
            bridge = round(source.fps or 10)  # a second
            rows = stack.enter_context(TracksWriter(path, resume, bridge))
            sinks.append(_track_sink(name, rows))
        if wanted.detections:
            path = folder / f"detections{suffix}.txt"
            found = stack.enter_context(DetectionsWriter(path, resume))
            sinks.append(_detection_sink(name, found))
        if wanted.video is not None or wanted.show:
            sinks += _pictures(
                stack, wanted, name, suffix, source, shapes[name], classes[name], journal, stop
            )
    return sinks


def _pictures(
    stack: contextlib.ExitStack,
    wanted: Wanted,
    name: str,
    suffix: str,
    source: Any,
    shapes: Mapping[str, Any],
    classes: Sequence[str],
    journal: Journal,
    stop: threading.Event,
) -> List[Sink]:
    from ...runtime.overlay import Overlay
    from ...runtime.video import VideoSink, WindowSink

    def overlay() -> Overlay:
        lines = {k: (line["from"], line["to"]) for k, line in shapes["lines"].items()}
        zones: Dict[str, Any] = {k: zone["polygon"] for k, zone in shapes["zones"].items()}
        return Overlay(classes, lines, zones, journal.events(name))

    sinks: List[Sink] = []
    if wanted.video is not None:
        path = _with(suffix, wanted.video)
        video = VideoSink(path, source.fps, source.size, overlay(), name)
        stack.callback(video.close)
        sinks.append(video)
    if wanted.show:
        window = WindowSink(overlay(), stop, name, f"edgelane {name}")
        stack.callback(window.close)
        sinks.append(window)
    return sinks


def check_video(video: Optional[PathLike], sources: Mapping[str, Any]) -> None:
    """Make sure that an annotated video does not take the place of what is played.

    Raises:
        UsageError: It would.
    """
    for name in sources if video is not None else ():
        path = _with(_suffix(name, sources), video)
        if any(_is_played(path, source) for source in sources.values()):
            raise UsageError(
                f"--video would overwrite {path}, which is played", remedy="name another file"
            )


def _suffix(name: str, sources: Mapping[str, Any]) -> str:
    """What stands behind the names of a camera's files; nothing where there is one camera."""
    return "" if len(sources) == 1 else "-" + re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _with(suffix: str, video: Any) -> Path:
    path = Path(video)
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")


def _is_played(path: Path, source: Any) -> bool:
    """Whether a file is what a source plays."""
    played = getattr(source, "path", None)
    if played is None and str(source.uri).startswith("live+file://"):
        played = str(source.uri)[len("live+file://") :]
    try:
        return played is not None and path.samefile(played)
    except OSError:
        return False


def _subscriber(kind: str, call: Callable[[Event], Any]) -> Sink:
    """Calls with each event of a kind, and with nothing else; `*` is every kind."""

    def sink(step: Step) -> None:
        for event in step.events:
            if kind in (event.kind, "*"):
                call(event)

    return sink


def _track_sink(camera: str, writer: TracksWriter) -> Sink:
    def sink(step: Step) -> None:
        if step.camera == camera and step.observation is not None:
            writer.write(step.observation.index, step.tracks)

    return sink


def _detection_sink(camera: str, writer: DetectionsWriter) -> Sink:
    def sink(step: Step) -> None:
        if step.camera == camera and step.observation is not None:
            writer.write(step.observation.index, step.observation.detections)

    return sink
