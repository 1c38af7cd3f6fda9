"""What the families of pose nets share: settings of crops and maps, and what a decoder gives."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np

from ...core import ConfigError, did_you_mean
from ..decoders import Signature
from ..picture_model import read_settings
from .heatmaps import REFINEMENTS

Outputs = Dict[str, np.ndarray]

GRIDS = ("stride", "corners", "centres")


class Points(NamedTuple):
    """Points of `n` crops: `(n, k, 2)` in pixel coordinates of the input, `(n, k)` scores."""

    place: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class PoseSettings:
    """How a net's crops are cut and its maps are read, as its training did: `extra.pose` of a
    card.

    Attributes:
        padding: How much larger than the box a crop is.
        keep_ratio: Whether the box is widened to the input's ratio of sides or stretched to it.
        refine: How the peak between the cells of a map is found, see `decode_heatmaps`.
        blur: Standard deviation of the maps' peaks in cells, or None for the usual.
        grid: How the cell `c` of a map lies in the input. `stride`: at the pixel `c * stride`,
            the usual. `corners`: the first and last cells lie on the first and last pixels, as in
            UDP. `centres`: cells are squares of pixels, and their centre is meant.
    """

    padding: float = 1.25
    keep_ratio: bool = True
    refine: str = "dark"
    blur: Optional[float] = None
    grid: str = "stride"

    def __post_init__(self) -> None:
        for name, known in (("refine", REFINEMENTS), ("grid", GRIDS)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f"pose.{name} is unknown",
                    got=repr(value),
                    remedy=did_you_mean(str(value), known),
                )
        blur = 0.0 if self.blur is None else self.blur
        for name, value, most in (("padding", self.padding, 4.0), ("blur", blur, 20.0)):
            least = 0.5 if name == "padding" else 0.0
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and least <= value <= most):
                raise ConfigError(
                    f"pose.{name} is out of range",
                    got=repr(value),
                    expected=f"{least} to {most}",
                )

    @classmethod
    def read(cls, data: Any) -> "PoseSettings":
        """From the object of a card or config; fields that it lacks are the usual ones.

        Raises:
            ConfigError: An unknown field or a value that makes no sense.
        """
        return read_settings(cls, data, "pose")


@dataclass(frozen=True)
class BoundPose:
    """A decoder bound to one model: outputs of crops to points, and how many points a crop has."""

    decode: Callable[[Outputs], Points]
    points: int


@dataclass(frozen=True)
class PoseFamily:
    """One layout of outputs.

    Attributes:
        name: What a card's `decoder` calls it.
        layout: The outputs in words, for error messages.
        bind: Gives the decoder for a signature.
        input: The usual `InputSpec` fields, for models without a card.
        settings: The usual `PoseSettings`, likewise.
    """

    name: str
    layout: str
    bind: Callable[[Signature, PoseSettings], BoundPose]
    input: Dict[str, Any]
    settings: PoseSettings = PoseSettings()


def to_input(cells: np.ndarray, maps: Tuple[int, int], size: Tuple[int, int], grid: str):
    """Coordinates in cells of a map as pixel coordinates of the input.

    Args:
        cells: `(..., 2)` x, y.
        maps: `(width, height)` of the map in cells.
        size: `(width, height)` of the input in pixels.
        grid: See `PoseSettings`.
    """
    wide, high = np.asarray(maps, np.float64), np.asarray(size, np.float64)
    if grid == "corners":
        return cells * ((high - 1) / np.maximum(wide - 1, 1))
    stride = high / wide
    if grid == "centres":
        return (cells + 0.5) * stride - 0.5
    return cells * stride
