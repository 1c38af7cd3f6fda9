"""What all models of pictures share: how they are opened, fed, run and closed."""

import contextlib
import dataclasses
import logging
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple, Type, TypeVar

import numpy as np

from ..core import ConfigError, InputSpec, ModelCard, ModelError, did_you_mean
from ..core.card import METADATA_KEY
from .backends import Backend
from .graph import Outputs, layout_of, picture_input, run_pictures

_LOG = logging.getLogger("edgelane")

M = TypeVar("M", bound="PictureModel")
T = TypeVar("T")


class PictureModel:
    """A graph that takes pictures, and its card. May be called from several threads at once.

    Attributes:
        backend: What runs the graph.
        card: What the model is; with thresholds and input as they are used.
        where: What to call it in messages, e.g. its path.
    """

    def __init__(self, backend: Backend, card: ModelCard, where: str = "the model") -> None:
        self.backend = backend
        self.card = card
        self.where = where
        self._picture = picture_input(backend, where)
        self._noticed = False

    def infer(self, tensor: np.ndarray) -> Outputs:
        """Run the graph on a tensor of `preprocess`, or on several along a new first axis.

        Returns:
            Outputs by name, with the pictures along their first axis. A graph of a fixed batch is
            run as often as it takes.

        Raises:
            ModelError: The graph fails.
        """
        if tensor.ndim == 3:
            tensor = tensor[None]
        return run_pictures(self.backend, self._picture, self.card.input.size, tensor)

    @property
    def batch(self) -> Optional[int]:
        """How many pictures the graph takes a run, None for any number; see `run_loop`."""
        return self._picture.shape[0]

    @property
    def takes_pixels(self) -> bool:
        """Whether the graph takes pixels as they are: scale, mean and std are then inside it."""
        return self._picture.dtype == np.uint8

    @property
    def input_name(self) -> str:
        """What the graph calls the input that takes the picture."""
        return self._picture.name

    def close(self) -> None:
        """Let go of the model's memory."""
        self.backend.close()

    def __enter__(self: M) -> M:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _tell_lost(self, count: int, what: str, fate: str) -> None:
        """Say once in the log that the model gave what is no number."""
        if not self._noticed:
            self._noticed = True
            _LOG.warning(
                "%s gave %d %s that are not finite; %s. "
                "A model that was converted to fp16 or int8 may have lost its numbers.",
                self.where,
                count,
                what,
                fate,
            )


@contextlib.contextmanager
def closed_if_it_fails(backend: Backend) -> Iterator[Backend]:
    """A backend that is closed where the block fails, and only then."""
    try:
        yield backend
    except BaseException:
        backend.close()
        raise


def read_card(backend: Backend, task: str, kind: str, where: str) -> Optional[ModelCard]:
    """The card that a graph carries; None without one.

    Args:
        backend: The graph.
        task: What the model has to do, e.g. `detect`.
        kind: What a model of this task is called, e.g. `detector`.
        where: What to call the model in errors.

    Raises:
        ModelError: The card makes no sense, or is one of another task.
    """
    text = backend.metadata.get(METADATA_KEY)
    card = ModelCard.from_json(text) if text else None
    if card is not None and card.task != task:
        raise ModelError(f"{where} is no {kind}", got=f"task {card.task!r}", expected=repr(task))
    return card


def usual_input(
    backend: Backend, size: Tuple[int, int], fields: Mapping[str, Any], where: str
) -> InputSpec:
    """The input of a model without a card.

    Args:
        backend: The graph, which tells the layout.
        size: `(width, height)` in pixels.
        fields: The other fields, as models of its family usually have them.
        where: What to call the model in errors.

    Raises:
        ModelError: It does not take one picture.
    """
    return InputSpec(size=size, layout=layout_of(picture_input(backend, where)), **fields)


def changed_input(
    spec: InputSpec, changes: Optional[Mapping[str, Any]], size: Tuple[int, int]
) -> InputSpec:
    """An input with fields replaced as a config asks for.

    Args:
        spec: As the card or the family says.
        changes: Fields by name, or None.
        size: `(width, height)` that the graph really takes, see `graph.signature_of`.

    Raises:
        ConfigError: There is no such field.
        ModelError: A value makes no sense.
    """
    check_fields(InputSpec, changes or {}, "input")
    return dataclasses.replace(spec, **{**(changes or {}), "size": size})


def given_thresholds(confidence: Optional[float], nms_iou: Optional[float]) -> Dict[str, float]:
    """The thresholds that are not None, by their names on a card.

    Raises:
        ConfigError: One is not within 0 to 1.
    """
    given = {"confidence": confidence, "nms_iou": nms_iou}
    for name, value in given.items():
        if value is not None and not 0 <= value <= 1:
            raise ConfigError(f"{name} is out of range", got=value, expected="0 to 1")
    return {name: float(value) for name, value in given.items() if value is not None}


def read_settings(kind: Type[T], data: Any, path: str) -> T:
    """A dataclass from an object of a card or config; fields that it lacks are the usual ones.

    Raises:
        ConfigError: It is no object, has an unknown field, or a value makes no sense.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{path} is no object", got=type(data).__name__)
    check_fields(kind, data, path)
    return kind(**data)


def check_fields(kind: Any, data: Mapping[str, Any], path: str) -> None:
    """Refuse names that are no fields of a dataclass.

    Raises:
        ConfigError: There is one; the error tells the nearest that is known.
    """
    known = [field.name for field in dataclasses.fields(kind)]
    for name in data:
        if name not in known:
            raise ConfigError(f"{path}.{name} is unknown", remedy=did_you_mean(str(name), known))
