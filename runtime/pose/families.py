"""The layouts of outputs of nets that look at one person at a time.

A family binds itself to a model's signature, which gives a decoder for that very model or the
reason why the layout does not fit.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ...core import ConfigError, ModelError, UsageError, did_you_mean
from ..decoders import Signature, Unfit
from ..decoders.base import need
from .heatmaps import REFINEMENTS, decode_heatmaps

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
        if not isinstance(data, dict):
            raise ConfigError("pose is no object", got=type(data).__name__)
        known = [field.name for field in dataclasses.fields(cls)]
        for name in data:
            if name not in known:
                raise ConfigError(f"pose.{name} is unknown", remedy=did_you_mean(str(name), known))
        return cls(**data)


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


def _bind_heatmap(signature: Signature, settings: PoseSettings) -> BoundPose:
    floats = [o for o in signature.outputs if o.dtype.kind == "f"]
    need(len(floats) == 1, "there is not one output of floats")
    output = floats[0]
    need(len(output.shape) == 4, f"{output.name} does not have 4 axes")
    _, points, height, width = output.shape
    assert points is not None and height is not None and width is not None
    # What is left may hold the best cell of each map, as an integer; it is not needed.
    need(
        all(o.shape in ((1, points), (1, points, 1)) for o in signature.outputs if o is not output),
        "an output beside the maps is not one number a point",
    )
    wide, high = signature.size
    stride = wide // max(width, 1)
    need(
        stride in (2, 4, 8) and (width * stride, height * stride) == (wide, high),
        f"maps of {width}x{height} are not an input of {wide}x{high} at stride 2, 4 or 8",
    )

    def decode(outputs: Outputs) -> Points:
        maps = outputs[output.name]
        cells, scores = decode_heatmaps(maps, settings.refine, settings.blur)
        return Points(to_input(cells, (width, height), (wide, high), settings.grid), scores)

    return BoundPose(decode, points)


IMAGENET = {
    "colour": "rgb",
    "scale": 1 / 255,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "pad": 0,
}
"""What nets trained in the tradition of ImageNet are fed."""

HEATMAP = PoseFamily(
    name="pose-heatmap",
    layout="one [N, points, h, w] of heatmaps at stride 2, 4 or 8",
    bind=_bind_heatmap,
    input=IMAGENET,
)

POSE_FAMILIES: Dict[str, PoseFamily] = {family.name: family for family in (HEATMAP,)}


def bind_pose(
    name: Optional[str], signature: Signature, settings: Optional[PoseSettings], where: str
) -> Tuple[PoseFamily, BoundPose]:
    """The decoder of this name for a model, or without a name the one that fits.

    Raises:
        UsageError: There is no decoder of this name.
        ModelError: The layout does not fit the model; none or more than one does.
    """
    if name is not None:
        if name not in POSE_FAMILIES:
            raise UsageError(
                f"there is no decoder {name!r} of poses", remedy=did_you_mean(name, POSE_FAMILIES)
            )
        family = POSE_FAMILIES[name]
        try:
            return family, family.bind(signature, settings or family.settings)
        except Unfit as reason:
            raise ModelError(
                f"decoder {name!r} does not fit {where}, {reason}",
                got="; ".join(str(o) for o in signature.outputs),
                expected=family.layout,
            ) from None
    fitting: List[Tuple[PoseFamily, BoundPose]] = []
    for family in POSE_FAMILIES.values():
        try:
            fitting.append((family, family.bind(signature, settings or family.settings)))
        except Unfit:
            continue
    if len(fitting) == 1:
        return fitting[0]
    wide, high = signature.size
    names = " and ".join(family.name for family, _ in fitting)
    raise ModelError(
        f"the outputs of {where} fit more than one decoder of poses, {names}"
        if fitting
        else f"no decoder of poses fits the outputs of {where}",
        got="; ".join(str(o) for o in signature.outputs) + f" for an input of {wide}x{high}",
        expected="; or ".join(family.layout for family in POSE_FAMILIES.values()),
        remedy="name its decoder" if fitting else None,
    )
