"""Whoever watches a run and is told of it: monitor, webhooks, clips; put together."""

import contextlib
import logging
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Union

from ... import __version__
from ...core import ConfigError, did_you_mean
from ...runtime.config import Config
from ...runtime.health.logs import Log
from ...runtime.health.monitor import Monitor
from ...runtime.health.notify import Notifier
from ...runtime.health.settings import HealthSettings, LogSettings, given_listen
from ...runtime.journal import Journal
from ...runtime.loop import Sink
from ...runtime.stats import RunStats
from ...runtime.timezones import Zone

KINDS = {"counting": ("crossing", "entry", "visit", "visitor", "track", "occupancy", "heatmap")}
"""Kinds of events by pipeline, where they are always the same."""
ALWAYS = ("gap", "alert", "stopped", "started", "marked")
"""Kinds that every run may tell: of the loop, of the monitor, of triggers between cameras."""

LOG = logging.getLogger("edgelane.run")


class Watched(NamedTuple):
    """What a run is to be watched with, beside what its config says.

    Attributes:
        listen: Address of the health endpoint instead of the config's.
        log: What writes the log, or None.
        notifier: Tells systemd.
    """

    listen: Optional[str] = None
    log: Optional[Log] = None
    notifier: Optional[Notifier] = None


def log_settings(config: Config, log: Optional[str]) -> Optional[LogSettings]:
    """The config's settings of the log, with the format of the command line.

    Raises:
        ConfigError: There is no such format.
    """
    from ...runtime.config import decode

    settings = config.service.log
    if log is None:
        return settings
    given: Dict[str, Any] = {"format": log}
    if settings is not None:
        given.update(level=settings.level, burst=settings.burst, every_s=settings.every_s)
    return decode(LogSettings, given, "log")


def check_kinds(config: Config) -> None:
    """Make sure that webhooks and clips wait for events that can come.

    Raises:
        ConfigError: A kind is none of the cameras' pipelines, as far as theirs are known.
    """
    pipelines = sorted({config.of([name]).pipeline for name in config.cameras})
    if not all(pipeline in KINDS for pipeline in pipelines):
        return
    known = [kind for pipeline in pipelines for kind in KINDS[pipeline]]
    service = config.service
    asked = [(f"webhooks[{n}].events", hook.events) for n, hook in enumerate(service.webhooks)]
    if service.clips is not None:
        asked.append(("clips.events", service.clips.events))
    for where, kinds in asked:
        for kind in kinds:
            if kind not in (*known, *ALWAYS, "*"):
                raise ConfigError(
                    f"{where}: the pipeline {' and '.join(pipelines)} tells no {kind!r}",
                    remedy=did_you_mean(kind, [*known, *ALWAYS]),
                )


@contextlib.contextmanager
def begin_and_end(config: Config, folder: Path) -> Iterator[None]:
    """Log that a run begins, and how it ended."""
    cameras = ", ".join(config.cameras)
    LOG.info("begins: %s on %s, into %s", config.pipeline, cameras, folder)
    try:
        yield
    except BaseException as error:
        LOG.error("ended with an error: %s", error)
        raise
    LOG.info("ended")


def watch(
    stack: contextlib.ExitStack,
    watched: Watched,
    config: Config,
    folder: Path,
    sources: Mapping[str, Any],
    journal: Journal,
    stats: RunStats,
    stop: threading.Event,
    facts: Mapping[str, Any],
    classes: Union[Sequence[str], Mapping[str, Sequence[str]]] = (),
) -> List[Sink]:
    """Watch a run until the stack is left.

    Args:
        stack: Ends the watching.
        watched: See above.
        config: Says who is told of what.
        folder: The run folder.
        sources: By camera.
        journal: The journal, open for writing.
        stats: What the loop will fill.
        stop: Set when the run is asked to stop.
        facts: What is run, for the health endpoint.
        classes: Names of the model's classes, for all cameras or by camera.

    Returns:
        Sinks for `run_loop`.

    Raises:
        EdgelaneError: The endpoint cannot listen, or a secret of a webhook is not set.
    """
    service = config.service
    journal.set("timezone", Zone(service.timezone).name)
    listen = watched.listen
    if listen is not None:
        given_listen(listen)
    elif service.health is not None:
        listen = service.health.listen
    about = {
        "version": __version__,
        "pipeline": config.pipeline,
        "model": str(facts.get("model", "")),
    }
    told: List[Any] = []
    parts: Dict[str, Any] = {}
    alert = None
    if service.webhooks:
        from ...runtime.webhooks.webhooks import Webhooks

        hooks = Webhooks(service.webhooks, folder)
        told.append(hooks)
        parts["webhooks"], alert = hooks.told, hooks.alert
    if service.clips is not None:
        from ...runtime.clips.clips import Clips

        live = [name for name, source in sources.items() if source.live]
        clips = Clips(service.clips, folder, list(sources), classes, live, stop)
        told.append(clips)
        parts["clips"] = clips.told
    monitor = Monitor(
        stats,
        sources,
        folder,
        settings=service.health or HealthSettings(),
        listen=listen,
        about=about,
        stop=stop,
        log=watched.log,
        notifier=watched.notifier,
        alert=alert,
        parts=parts,
    )
    recordings = [name for name, source in sources.items() if not source.live]
    monitor.tally.begin(journal, recordings)
    # The monitor ends last, so that it tells what became of the others.
    stack.enter_context(monitor)
    return [monitor.tally, *(stack.enter_context(each) for each in told)]
