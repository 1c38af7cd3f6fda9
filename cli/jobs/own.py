"""Cameras of one config with pipelines and models of their own."""

import contextlib
import math
import os
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ...pipelines.registry import pipeline_class
from ...pipelines.triggers import Switchboard, Triggered, read_links
from ...runtime.config import Config
from ...runtime.journal import Journal
from ...runtime.opening import open_first, open_second


class ByCamera:
    """Several models where a run has one: whoever asks says for which camera.

    Args:
        models: By camera; None where it has none.
    """

    def __init__(self, models: Mapping[str, Any]) -> None:
        self.models = dict(models)

    def of(self, camera: str) -> Any:
        """The model of a camera."""
        return self.models[camera]


def groups(config: Config) -> List[List[str]]:
    """The cameras that share pipeline and models, in the config's order."""
    found: Dict[str, List[str]] = {}
    for name, camera in config.cameras.items():
        found.setdefault(repr(sorted(camera.own.items())), []).append(name)
    return list(found.values())


def open_own(
    stack: contextlib.ExitStack, config: Config, decoder: Optional[str], path_of: Any
) -> Dict[str, Any]:
    """Open the models of all cameras, each once for those that share it.

    Args:
        stack: Closes them.
        config: The whole one.
        decoder: Instead of the configs'.
        path_of: From a group's config and its pipeline's class to its model's path.

    Returns:
        `first` and `second`, a `ByCamera` each or None; `classes` by camera; and `groups`: config,
        path, model and second model of each.
    """
    first: Dict[str, Any] = {}
    second: Dict[str, Any] = {}
    classes: Dict[str, Any] = {}
    told = []
    for names in groups(config):
        part = config.of(names)
        kind = pipeline_class(part.pipeline, part.folder)
        path = path_of(part, kind)
        model = stack.enter_context(open_first(part, kind, path, decoder))
        other = open_second(part, kind, model)
        if other is not None:
            stack.enter_context(other)
        told.append((part, path, model, other))
        for name in names:
            first[name], second[name], classes[name] = model, other, model.classes
    asked = any(other is not None for other in second.values())
    return {
        "first": ByCamera(first),
        "second": ByCamera(second) if asked else None,
        "classes": classes,
        "groups": told,
    }


def facts_of(opened: Mapping[str, Any], facts: Any) -> Dict[str, Any]:
    """What the summary tells of the models: of each group, by its first camera."""
    models = {
        next(iter(part.cameras)): {"pipeline": part.pipeline, **facts(model, part, path, other)}
        for part, path, model, other in opened["groups"]
    }
    paths = [os.path.basename(path) for _, path, _, _ in opened["groups"] if path]
    return {"model": ", ".join(dict.fromkeys(paths)), "models": models}


def with_triggers(
    made: Mapping[str, Any], config: Config, in_turn: bool
) -> Tuple[Dict[str, Any], Optional[Switchboard]]:
    """The pipelines, wrapped so that they heed one another where the config says so.

    Raises:
        ConfigError: A trigger names what there is not.
    """
    links = read_links({name: camera.triggers for name, camera in config.cameras.items()})
    if not links:
        return dict(made), None
    board = Switchboard(links, list(made), in_turn)
    return {name: Triggered(pipeline, name, board) for name, pipeline in made.items()}, board


def recall(board: Switchboard, journal: Journal) -> None:
    """After a restart: what the cameras told that others may not have heeded yet."""
    if not board.in_turn:
        return  # what a live camera heeded stands in its state
    sources = {link.source for link in board.links}
    targets = {link.target for link in board.links}
    saved = [journal.snapshot(name) for name in targets]
    since = min((-math.inf if s is None else s.timestamp) for s in saved)
    for name in sorted(sources):
        board.recall(name, (e for e in journal.events(name) if e.timestamp >= since))
