"""What a decoder is: output tensors in, boxes with scores and classes out.

A family describes one layout of outputs. It binds itself to a model's signature, which either
gives a decoder for that very model or the reason why the layout does not fit.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..backends import TensorSpec


class Rows(NamedTuple):
    """Candidates of one picture, before suppression, as columns.

    Attributes:
        boxes: `(k, 4)` float32 left, top, right, bottom in pixels of the model's input.
        scores: `(k,)` float32 in 0..1.
        classes: `(k,)` integers.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class Request:
    """What is wanted of a decoder.

    Attributes:
        size: `(width, height)` of the model's input in pixels.
        confidence: Rows that score less may be left out.
        keep: Sorted ids of the wanted classes, or None for all. Rows whose best class is another
            one may be left out.
    """

    size: Tuple[int, int]
    confidence: float
    keep: Optional[np.ndarray] = None


@dataclass(frozen=True)
class Signature:
    """What a model looks like from outside.

    Attributes:
        outputs: Names, shapes and dtypes; the shapes without open axes, for one picture.
        inputs: Likewise.
        size: `(width, height)` of the picture input.
        named: How many classes the card or the file names, or None.
        probe: Outputs for a black picture by name, or None where nobody ran the model so far.
    """

    outputs: Tuple[TensorSpec, ...]
    inputs: Tuple[TensorSpec, ...]
    size: Tuple[int, int]
    named: Optional[int] = None
    probe: Optional[Dict[str, np.ndarray]] = None

    def by_name(self, *names: str) -> Optional[Tuple[TensorSpec, ...]]:
        """The outputs of these names, in this order, or None where one is lacking."""
        found = {o.name: o for o in self.outputs}
        if not all(name in found for name in names):
            return None
        return tuple(found[name] for name in names)

    def cells(self, strides: Sequence[int]) -> int:
        """Number of grid cells of these strides over the input."""
        return sum(h * w for h, w in level_shapes(self.size, strides))


class Unfit(Exception):
    """Why a layout does not fit a signature."""


DecodeFunction = Callable[[Dict[str, np.ndarray], Request], Rows]
"""Outputs of one picture by name (first axis 1) and the request to candidates.

A user's own decoder, named `module:function`, is such a function; any sequence of boxes, scores
and classes will do as the answer.
"""


@dataclass(frozen=True)
class Bound:
    """A decoder bound to one model.

    Attributes:
        decode: Outputs of one picture to candidates.
        num_classes: How many classes the outputs tell apart, or None where they do not say.
        plausible: Whether outputs look like this layout, judged by their values; used where the
            shapes leave a choice.
    """

    decode: DecodeFunction
    num_classes: Optional[int] = None
    plausible: Callable[[Dict[str, np.ndarray]], bool] = field(default=lambda outputs: True)


@dataclass(frozen=True)
class Family:
    """One layout of detector outputs.

    Attributes:
        name: What `--decoder` and the card call it.
        layout: The outputs in words, for error messages.
        bind: Gives the decoder for a signature.
        input: The family's usual `InputSpec` fields, for models without a card.
        nms_iou: Usual threshold of suppression; None where the outputs need none.
        confidence: Usual threshold of scores.
    """

    name: str
    layout: str
    bind: Callable[[Signature], Bound]
    input: Dict[str, Any]
    nms_iou: Optional[float] = 0.6
    confidence: float = 0.3


def need(condition: Any, reason: str) -> None:
    """Raise `Unfit` with the reason unless the condition holds."""
    if not condition:
        raise Unfit(reason)


def one_output(signature: Signature, rank: int) -> TensorSpec:
    """The only output, of this rank.

    Raises:
        Unfit: There are several, or it is of another rank.
    """
    need(len(signature.outputs) == 1, "there is more than one output")
    output = signature.outputs[0]
    need(len(output.shape) == rank, f"{output.name} does not have {rank} axes")
    return output


def level_shapes(size: Tuple[int, int], strides: Sequence[int]):
    """`(h, w)` of the grid of each stride over a `(width, height)` input, rounded up."""
    return tuple((-(-size[1] // s), -(-size[0] // s)) for s in strides)


@lru_cache(maxsize=32)
def grid(size: Tuple[int, int], strides: Tuple[int, ...], shift: float = 0.0):
    """The cells of all strides, one after another, row by row.

    Args:
        size: `(width, height)` of the input.
        strides: Pixels a cell, one for each level.
        shift: Where in its cell a point lies: 0 its corner, 0.5 its centre.

    Returns:
        `(A, 2)` float32 x, y of the points in pixels, and `(A, 1)` float32 strides. Shared
        between callers: not to be written to.
    """
    points, steps = [], []
    for stride, (rows, columns) in zip(strides, level_shapes(size, strides)):
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        points.append((np.stack((x, y), -1).reshape(-1, 2) + np.float32(shift)) * stride)
        steps.append(np.full((rows * columns, 1), stride, np.float32))
    result = np.concatenate(points).astype(np.float32), np.concatenate(steps)
    for array in result:
        array.setflags(write=False)
    return result


def centre_to_corners(centre: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """`(k, 2)` centres and `(k, 2)` widths and heights as `(k, 4)` corners."""
    boxes = np.empty((len(centre), 4), np.float32)
    half = extent * np.float32(0.5)
    np.subtract(centre, half, out=boxes[:, :2])
    np.add(centre, half, out=boxes[:, 2:])
    return boxes


def sides_to_corners(points: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """`(k, 2)` points and `(k, 4)` distances to left, top, right, bottom as `(k, 4)` corners."""
    boxes = np.empty((len(points), 4), np.float32)
    np.subtract(points, sides[:, :2], out=boxes[:, :2])
    np.add(points, sides[:, 2:], out=boxes[:, 2:])
    return boxes


def likely_scores(values: np.ndarray) -> bool:
    """Whether values can be scores: all but a few of those that are finite are in 0..1."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return False
    return bool(((finite > -0.01) & (finite < 1.01)).mean() > 0.99)


def pick(
    scores: np.ndarray, request: Request, axis: int = 1
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best class of every anchor, for anchors that score enough in a wanted class.

    Looks at wanted classes first, and at the others only for the few anchors that are left: an
    anchor whose best class is not wanted is dropped, exactly as if it were filtered afterwards.

    Args:
        scores: `(A, classes)`, or `(classes, A)` with `axis=0`.
        request: Threshold and wanted classes.
        axis: Axis of the classes.

    Returns:
        `(k,)` indices of anchors, their scores and their classes. Scores that are NaN are among
        them, so that what drops them can tell.
    """
    keep = request.keep
    if keep is None:
        best = scores.max(axis=axis)
    elif len(keep) == 1:
        best = scores[:, keep[0]] if axis == 1 else scores[keep[0]]
    else:
        best = scores.take(keep, axis=axis).max(axis=axis)
    anchors = (~(best < request.confidence)).nonzero()[0]
    if not anchors.size:
        return anchors, np.zeros(0, np.float32), anchors
    few = scores[anchors] if axis == 1 else scores[:, anchors].T
    classes = few.argmax(axis=1)
    best = few[np.arange(len(few)), classes]
    if keep is not None:
        wanted = wanted_classes(classes, keep)
        anchors, best, classes = anchors[wanted], best[wanted], classes[wanted]
    return anchors, best, classes


def wanted_classes(classes: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """`(k,)` bool: which of these class ids are among the kept ones."""
    return classes == keep[0] if len(keep) == 1 else np.isin(classes, keep)


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow warnings for large negative values."""
    return (0.5 * (1.0 + np.tanh(0.5 * values))).astype(np.float32, copy=False)


def logit(probability: float) -> float:
    """The inverse of `sigmoid`, finite at 0 and 1."""
    p = min(max(probability, 1e-9), 1 - 1e-9)
    return float(np.log(p / (1 - p)))
