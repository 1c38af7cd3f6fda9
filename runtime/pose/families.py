"""The layouts of outputs of nets that look at one person at a time.

A family binds itself to a model's signature, which gives a decoder for that very model or the
reason why the layout does not fit. Sources: Li et al., SimCC: a Simple Coordinate Classification
Perspective for Human Pose Estimation, 2022, and its exported models (RTMPose); the exported models
of MoveNet, single pose.
"""

from typing import Dict, List, Optional, Tuple

import numpy as np

from ...core import ModelError, UsageError, did_you_mean
from ..decoders import Signature, Unfit
from ..decoders.base import need
from ..preprocess import IMAGENET
from .base import BoundPose, Outputs, Points, PoseFamily, PoseSettings, to_input
from .heatmaps import decode_heatmaps


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


def decode_simcc(x: np.ndarray, y: np.ndarray, split: float) -> Points:
    """The place of each point from one classification along each axis.

    Args:
        x: `(n, k, width * split)` floats.
        y: `(n, k, height * split)` likewise.
        split: Bins a pixel; bin `b` lies at the pixel `b / split`.

    Returns:
        Pixel coordinates of the input, and the lower of the two best values as the score, within
        0..1; NaN where there is no number.
    """
    a, b = x.argmax(axis=2), y.argmax(axis=2)
    score = np.minimum(
        np.take_along_axis(x, a[..., None], axis=2), np.take_along_axis(y, b[..., None], axis=2)
    )[..., 0]
    place = np.stack((a, b), axis=2) / float(split)
    return Points(place, np.clip(score, 0, 1).astype(np.float32))


def _bind_simcc(signature: Signature, settings: PoseSettings) -> BoundPose:
    outputs = signature.outputs
    need(len(outputs) == 2, "there are not two outputs, one an axis")
    need(all(len(o.shape) == 3 for o in outputs), "an output does not have 3 axes")
    wide, high = signature.size
    named = signature.by_name("simcc_x", "simcc_y")
    first, second = named if named else outputs  # x comes first in all known exports
    (_, points, across), (_, same, down) = first.shape, second.shape
    assert points is not None and across is not None and down is not None
    need(points == same, "the two outputs have another number of points")
    split = across / wide
    need(
        split >= 1 and split == down / high and (2 * split) % 1 == 0,
        f"{across} and {down} bins are not those of {wide}x{high} pixels, with as many a pixel",
    )
    x, y = first.name, second.name
    return BoundPose(lambda o: decode_simcc(o[x], o[y], split), points)


def _bind_movenet(signature: Signature, settings: PoseSettings) -> BoundPose:
    need(len(signature.outputs) == 1, "there is more than one output")
    output = signature.outputs[0]
    shape = output.shape
    need(len(shape) == 4 and shape[1] == 1 and shape[3] == 3, "it is not [N, 1, points, 3]")
    points = shape[2]
    assert points is not None

    def decode(outputs: Outputs) -> Points:
        table = outputs[output.name][:, 0].astype(np.float64)
        # Shares of the input between its edges, y first.
        place = table[:, :, 1::-1] * signature.size - 0.5
        return Points(place, np.clip(table[:, :, 2], 0, 1).astype(np.float32))

    return BoundPose(decode, points)


HEATMAP = PoseFamily(
    name="pose-heatmap",
    layout="one [N, points, h, w] of heatmaps at stride 2, 4 or 8",
    bind=_bind_heatmap,
    input=IMAGENET,
)
SIMCC = PoseFamily(
    name="simcc",
    layout="[N, points, width * s] and [N, points, height * s], one classification an axis",
    bind=_bind_simcc,
    input=IMAGENET,
)
MOVENET = PoseFamily(
    name="movenet-single",
    layout="one [N, 1, points, 3] of y, x as shares of the input, and score",
    bind=_bind_movenet,
    input={"colour": "rgb", "scale": 1.0, "pad": 0},
)

POSE_FAMILIES: Dict[str, PoseFamily] = {family.name: family for family in (HEATMAP, SIMCC, MOVENET)}


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
