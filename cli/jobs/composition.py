"""Config, source, model and pipeline put together and run."""

import contextlib
import os
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import msgspec

from ...core import ConfigError, UsageError
from ...pipelines.registry import camera_settings, pipeline_class
from ...runtime.config import Config, load_config, source_uri
from ...runtime.loop import Stream, run_loop
from ...runtime.mot import read_mot
from ...runtime.named import load_object
from ...runtime.opening import open_first, open_second
from ...runtime.progress import Progress
from ...runtime.replay import Replay
from ...runtime.stats import RunStats
from .awaiting import await_cameras
from .folder import (
    PathLike,
    Summary,
    known_sizes,
    open_journal,
    refuse_finished,
    write_summary,
)
from .own import ByCamera, facts_of, open_own, recall, with_triggers
from .sinks import Wanted, check_video, open_sinks
from .watching import Watched, begin_and_end, check_kinds, log_settings, watch

ConfigLike = Union[PathLike, Mapping[str, Any], Config]


def run(
    config: ConfigLike,
    *,
    source: Optional[str] = None,
    model: Optional[PathLike] = None,
    decoder: Optional[str] = None,
    out: Optional[PathLike] = None,
    video: Optional[PathLike] = None,
    show: bool = False,
    tracks: bool = False,
    detections: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    health: Optional[str] = None,
    log: Optional[str] = None,
    loop: Callable[..., RunStats] = run_loop,
) -> Tuple[Summary, Path]:
    """Run a config's pipeline on its cameras.

    A folder that holds a run which was cut off is gone on with.

    Args:
        config: Path of a YAML file, what it would hold, or a `Config`.
        source: URI instead of the config's; only with one camera.
        model: Path of a model instead of the config's.
        decoder: Name of a decoder instead of the config's.
        out: Folder of the run; `runs/<name of the config>` unless given.
        video: File for the annotated video; with several cameras the name gets the camera's.
        show: Open a window with the annotated video.
        tracks: Write `tracks.txt`, MOTChallenge rows; `tracks-<camera>.txt` with several cameras.
        detections: Record `detections.txt` likewise, to be replayed.
        overwrite: Start anew where the folder holds a run.
        progress: Tell rate and time left on stderr.
        health: Address of the health endpoint instead of the config's, e.g. `127.0.0.1:9100`;
            port 0 takes one that is free, which `status.json` in the folder tells.
        log: `json` writes the log as JSON lines, `text` for people; the config's unless given.
        loop: Called in place of `run_loop`, with its arguments, by who gives it further sinks or
            another clock.

    Returns:
        What `summary.json` holds, and the folder.

    Raises:
        EdgelaneError: Something is wrong with config, model, source or folder; what was journalled
            until then is kept.
    """
    from ...runtime.health.logs import logging_to
    from ...runtime.health.notify import Notifier
    from ...runtime.secrets import with_secrets
    from ...runtime.sources import open_source
    from ...runtime.sources.address import mask

    job = _Job(config, out)
    check_kinds(job.config)
    uris = _uris(job.config, source)
    several = any(camera.own for camera in job.config.cameras.values())
    path = "" if several else _model_path(job.config, model, job.pipeline)
    refuse_finished(job.folder, overwrite)
    with contextlib.ExitStack() as stack:
        asked = log_settings(job.config, log)
        lines = stack.enter_context(logging_to(asked))
        # Other lines between them would be no JSON.
        progress = progress and (asked is None or asked.format != "json")
        if asked is not None:
            stack.enter_context(begin_and_end(job.config, job.folder))
        notifier = Notifier()
        # A model may have to be built first, which takes minutes.
        notifier.tell("STATUS=opening model and cameras", "EXTEND_TIMEOUT_USEC=1800000000")
        opened: Dict[str, Any] = {}
        if several:
            opened = open_own(
                stack, job.config, decoder, lambda part, kind: _model_path(part, model, kind)
            )
            detector, second, classes = opened["first"], opened["second"], opened["classes"]
        else:
            detector = stack.enter_context(open_first(job.config, job.pipeline, path, decoder))
            classes = detector.classes
            second = open_second(job.config, job.pipeline, detector)
            if second is not None:
                stack.enter_context(second)
        # Secrets are put in here alone: the journal and the report keep their names.
        sources = {
            name: stack.enter_context(open_source(with_secrets(uri), name))
            for name, uri in uris.items()
        }
        await_cameras(sources, job.config, {} if overwrite else known_sizes(job.folder))
        if getattr(job.pipeline, "task", "detect") == "inspect":
            from .inspecting import triggered

            sources = {n: triggered(job.settings[n], s, stack) for n, s in sources.items()}
        where = {name: _told(uri) for name, uri in uris.items()}
        if several:
            facts = {**facts_of(opened, _facts), "sources": where}
        else:
            facts = {**_facts(detector, job.config, path, second), "sources": where}
        shown = {name: mask(uri) for name, uri in uris.items()}
        identity = {"model": path or facts, "decoder": decoder, "sources": shown}
        return job.execute(
            stack,
            sources,
            detector,
            classes,
            identity,
            facts,
            Wanted(tracks, detections, video, show),
            overwrite,
            progress,
            second,
            watched=Watched(health, lines, notifier),
            loop=loop,
        )


def replay(
    config: ConfigLike,
    detections: PathLike,
    *,
    fps: float,
    size: Optional[Tuple[int, int]] = None,
    out: Optional[PathLike] = None,
    tracks: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Tuple[Summary, Path]:
    """Run a config's pipeline on recorded detections; needs neither camera nor model.

    Args:
        config: As in `run`; of its cameras there must be one. Its `confidence` holds here too.
        detections: MOTChallenge rows; those with an id above 0 are tracks already.
        fps: Frames a second of the recording.
        size: `(width, height)` of the pictures; the config's reference size unless given.
        out: As in `run`.
        tracks: As in `run`.
        overwrite: As in `run`.
        progress: As in `run`.

    Returns:
        What `summary.json` holds, and the folder.

    Raises:
        EdgelaneError: As in `run`.
    """
    job = _Job(config, out)
    if len(job.config.cameras) != 1:
        raise UsageError(
            "a recording is of one camera",
            got=f"a config with {len(job.config.cameras)}",
            remedy="replay with a config that holds the one",
        )
    (camera,) = job.config.cameras.values()
    if size is None:
        if camera.reference_size is None:
            raise UsageError(
                "the size of the recorded pictures is not known",
                remedy="give --size WIDTHxHEIGHT, or reference_size in the config",
            )
        size = (round(camera.reference_size[0]), round(camera.reference_size[1]))
    refuse_finished(job.folder, overwrite)
    confidence = job.config.confidence or 0.0
    source = Replay(read_mot(detections), fps, size, camera.name, confidence=confidence)
    facts = {"detections": os.path.basename(str(detections)), "fps": fps, "size": list(size)}
    with contextlib.ExitStack() as stack:
        return job.execute(
            stack,
            {camera.name: source},
            None,
            job.config.classes or (),
            {**facts, "detections": str(detections)},
            facts,
            Wanted(tracks),
            overwrite,
            progress,
        )


class _Job:
    """What runs and replays share: a checked config and the way into a run folder."""

    def __init__(self, config: ConfigLike, out: Optional[PathLike]) -> None:
        self.config = load_config(config)
        self.pipeline = pipeline_class(self.config.pipeline, self.config.folder)
        self.parts = {name: self.config.of([name]) for name in self.config.cameras}
        self.pipelines = {
            name: pipeline_class(part.pipeline, part.folder) for name, part in self.parts.items()
        }
        self.settings = {
            name: camera_settings(self.pipelines[name], camera)
            for name, camera in self.config.cameras.items()
        }
        self.subscribers = _subscribers(self.config)
        self.folder = Path(out) if out is not None else Path("runs") / self.config.name
        for name, part in self.parts.items():
            for key in ("second", "detect_every"):
                asks = hasattr(self.pipelines[name], "regions")
                if key == "detect_every":
                    asks = asks and not getattr(self.pipelines[name], "every_frame", False)
                if getattr(part, key) not in (None, 1) and not asks:
                    raise ConfigError(
                        f"{key}: the pipeline {part.pipeline!r} asks for no regions, and needs "
                        "the detector in every frame",
                        remedy=f"leave {key} out",
                    )

    def execute(
        self,
        stack: contextlib.ExitStack,
        sources: Mapping[str, Any],
        model: Any,
        classes: Union[Sequence[str], Mapping[str, Sequence[str]]],
        identity: Mapping[str, Any],
        facts: Mapping[str, Any],
        wanted: Wanted,
        overwrite: bool,
        progress: bool,
        second: Any = None,
        watched: Optional[Watched] = None,
        loop: Callable[..., RunStats] = run_loop,
    ) -> Tuple[Summary, Path]:
        """Run the loop, and write the summary however it ended."""
        check_video(wanted.video, sources)
        scaled = {name: self._scaled(name, source.size) for name, source in sources.items()}
        # Made before the folder is: a line of no length must not leave one behind.
        named = classes if isinstance(classes, Mapping) else dict.fromkeys(sources, classes)
        made = {
            name: self.pipelines[name](name, scaled[name], source.size, named[name])
            for name, source in sources.items()
        }
        for name, pipeline in made.items():
            asked = second.of(name) if isinstance(second, ByCamera) else second
            if asked is not None and hasattr(pipeline, "meet_second"):
                pipeline.meet_second(asked)
        live = any(source.live for source in sources.values())
        made, board = with_triggers(made, self.config, in_turn=not live)
        streams = {
            name: Stream(
                source,
                lambda _, name=name: made[name],
                self.config.detect_every,
                self.config.cameras[name].fps,
                self.config.cameras[name].priority,
            )
            for name, source in sources.items()
        }
        journal = stack.enter_context(
            open_journal(self.folder, {**self._identity(), **identity}, overwrite)
        )
        if board is not None:
            recall(board, journal)
        journal.set("clock", "unix" if live else "file")
        shapes = {name: _shapes(scaled[name], source.size) for name, source in sources.items()}
        journal.set("shapes", shapes)
        journal.set("ended", None)
        stop = threading.Event()
        stats, latency_ms = RunStats(), self.config.latency_ms
        watching: List[Any] = []
        if watched is not None:
            watching = watch(
                stack,
                watched,
                self.config,
                self.folder,
                sources,
                journal,
                stats,
                stop,
                facts,
                classes,
            )
        files = stack.enter_context(contextlib.ExitStack())
        sinks = open_sinks(
            files, wanted, self.folder, sources, shapes, named, journal, stop, self.subscribers
        )
        sinks += watching
        station: Any = None
        if getattr(self.pipeline, "task", "detect") == "inspect":
            from .inspecting import Station

            ((name, settings),) = self.settings.items()
            station = Station(self.config, settings, sources[name], name, self.folder, journal)
            # First of all: the machine waits for it.
            sinks.insert(0, files.enter_context(station).sink)

        def summarise() -> Summary:
            told = {"pipeline": self.config.pipeline, **facts}
            told.update({} if station is None else station.facts())
            return write_summary(self.folder, made, stats, journal, told)

        try:
            loop(
                streams,
                model,
                journal,
                sinks=sinks,
                progress=Progress() if progress else None,
                stop=stop,
                stats=stats,
                second=second,
                budget_s=None if latency_ms is None else latency_ms / 1e3,
                **({"in_turn": True} if board is not None and not live else {}),
            )
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                summarise()
                journal.set("ended", stats.ended)
            raise
        summary = summarise()
        # A finished run is not gone on with, so it is called one when all its files are in place.
        files.close()
        journal.set("ended", stats.ended)
        return summary, self.folder

    def _scaled(self, name: str, size: Tuple[int, int]) -> Any:
        """A camera's settings in pixels of its stream."""
        reference = self.config.cameras[name].reference_size
        if reference is None or not hasattr(self.pipelines[name], "scale"):
            return self.settings[name]
        return self.pipelines[name].scale(
            self.settings[name], size[0] / reference[0], size[1] / reference[1]
        )

    def _identity(self) -> Dict[str, Any]:
        """What a run that is gone on with must have in common with the one that was cut off."""
        config = self.config
        more: Dict[str, Any] = {}
        if config.second is not None or config.detect_every != 1:
            more["second"] = [config.second, config.detect_every]
        if any(camera.own for camera in config.cameras.values()):
            more["own"] = {name: camera.own for name, camera in config.cameras.items()}
        if any(camera.triggers for camera in config.cameras.values()):
            more["triggers"] = {name: camera.triggers for name, camera in config.cameras.items()}
        if any(camera.fps is not None for camera in config.cameras.values()):
            more["fps"] = {name: camera.fps for name, camera in config.cameras.items()}
        return {
            "pipeline": config.pipeline,
            "settings": {n: msgspec.to_builtins(v) for n, v in self.settings.items()},
            "reference_size": {n: c.reference_size for n, c in config.cameras.items()},
            "detector": [config.classes, config.confidence, config.nms_iou, config.input],
            **more,
        }


def _subscribers(config: Config) -> List[Tuple[str, Any]]:
    """What is called with events: `subscribe: {kind: module:function}`."""
    found = []
    for kind, names in config.subscribe.items():
        for name in [names] if isinstance(names, str) else names:
            call = load_object(name, "subscriber", config.folder)
            if not callable(call):
                raise ConfigError(
                    f"subscribe.{kind}: {name} cannot be called",
                    got=type(call).__name__,
                    expected="a function of an event",
                )
            found.append((kind, call))
    return found


def _uris(config: Config, source: Optional[str]) -> Dict[str, str]:
    if source is not None:
        if len(config.cameras) != 1:
            raise UsageError(
                "--source stands in for the source of one camera",
                got=f"a config with {len(config.cameras)}",
                remedy="set the sources in the config",
            )
        return dict.fromkeys(config.cameras, source)
    return {name: source_uri(camera, config.folder) for name, camera in config.cameras.items()}


def _facts(model: Any, config: Config, path: str, second: Any) -> Dict[str, Any]:
    """What the summary tells of the models."""
    own = getattr(model, "facts", None)
    if own is not None:
        return own()
    card = model.card
    return {
        "model": os.path.basename(path),
        "decoder": card.decoder,
        "precision": card.precision,
        "input": "x".join(str(v) for v in card.input.size),
        "confidence": card.confidence,
        "classes": list(config.classes or ()),
        **({} if second is None else {"second": os.path.basename(second.where)}),
    }


def _model_path(config: Config, model: Optional[PathLike], pipeline: Any) -> str:
    """The model's file; empty where the config itself is what is opened."""
    from ...runtime.registry import resolve_model

    if getattr(pipeline, "task", "detect") == "inspect":
        for name, value in (("--model", model), ("model", config.model)):
            if value is not None:
                raise ConfigError(
                    f"{name} means nothing to an inspection",
                    remedy="models stand under `checks`, and edgelane teach writes them there",
                )
        return ""
    if model is not None:
        return resolve_model(os.fspath(model))
    if config.model is None:
        raise ConfigError("the config names no model", remedy="add `model: …`, or give --model")
    return resolve_model(config.model, config.folder)


def _told(uri: str) -> str:
    """A URI as a report may show it: files by name, others without a password."""
    from ...runtime.sources.address import mask

    if "://" not in uri:
        return os.path.basename(uri.rstrip("/")) or uri
    return mask(uri).replace("://***@", "://")


def _shapes(settings: Any, size: Tuple[int, int]) -> Dict[str, Any]:
    """Lines and zones as the report draws them, in pixels of the stream."""
    drawn = msgspec.to_builtins(settings)
    return {
        "size": list(size),
        "lines": drawn.get("lines", {}),
        "zones": drawn.get("zones", {}),
    }
