"""FastestDet: one map of objectness, box and class scores at stride 16.

Source: the model's own description. Centre = (tanh(xy) + cell) * stride, size = sigmoid(wh) of
the whole input, score = objectness^0.6 * class^0.4; objectness and classes are probabilities.
"""

from typing import Dict

import numpy as np

from .base import (
    Bound,
    Family,
    Request,
    Rows,
    Signature,
    centre_to_corners,
    grid,
    level_shapes,
    likely_scores,
    need,
    one_output,
    sigmoid,
    wanted_classes,
)

_STRIDE = 16


def _bind(signature: Signature) -> Bound:
    output = one_output(signature, 4)
    _, channels, high, wide = output.shape
    need(
        (high, wide) == level_shapes(signature.size, (_STRIDE,))[0],
        f"{high}x{wide} cells are not those of stride {_STRIDE}",
    )
    need(channels and channels > 5, f"{channels} channels leave none for classes")
    assert channels is not None
    name = output.name

    def decode(outputs: Dict[str, np.ndarray], request: Request) -> Rows:
        table = outputs[name][0].reshape(channels, -1)
        keep = request.keep
        # A class is at most 1, so objectness alone must reach the threshold's root.
        cells = np.flatnonzero(~(table[0] < request.confidence ** (1 / 0.6)))
        few = table[:, cells]
        classes = few[5:].argmax(axis=0)
        best = few[5 + classes, np.arange(len(cells))]
        # What is below 0 is no probability: its power is NaN, and dropped.
        scores = (few[0] ** 0.6 * best**0.4).astype(np.float32)
        good = ~(scores < request.confidence)
        if keep is not None:
            good &= wanted_classes(classes, keep)
        few, cells = few[:, good], cells[good]
        points, _ = grid(request.size, (_STRIDE,))
        size = np.asarray(request.size, np.float32)
        centre = np.tanh(few[1:3].T) * np.float32(_STRIDE) + points[cells]
        return Rows(
            centre_to_corners(centre, sigmoid(few[3:5].T) * size), scores[good], classes[good]
        )

    def plausible(outputs: Dict[str, np.ndarray]) -> bool:
        table = outputs[name][0]
        return likely_scores(table[0]) and likely_scores(table[5:])

    return Bound(decode, channels - 5, plausible)


FASTESTDET = Family(
    name="fastestdet",
    layout="one [N, 5 + classes, h, w] of stride 16",
    bind=_bind,
    input={"colour": "bgr", "scale": 1 / 255, "resize": "stretch"},
    nms_iou=0.45,
)
