"""Models that give corners in pixels and class scores side by side: PicoDet and DAMO-YOLO."""

from functools import partial
from typing import Dict, Tuple

import numpy as np

from .base import (
    Bound,
    Family,
    Request,
    Rows,
    Signature,
    likely_scores,
    need,
    pick,
)


def _bind(signature: Signature, strides: Tuple[int, ...], axis: int) -> Bound:
    anchors = signature.cells(strides)
    need(len(signature.outputs) == 2, "there are not two outputs, boxes and scores")
    need(all(len(o.shape) == 3 for o in signature.outputs), "boxes or scores lack an axis")
    # `axis` is where the scores of one picture have their classes: [A, classes] or [classes, A].
    boxes = [o for o in signature.outputs if o.shape[1:] == (anchors, 4)]
    scores = [o for o in signature.outputs if o.shape[2 - axis] == anchors]
    if len(boxes) == 2:  # four classes look like four sides
        boxes = [o for o in boxes if _not_scores(o.name, signature)] or boxes[1:]
    need(len(boxes) == 1, f"no output holds {anchors} boxes, one for each cell of {strides}")
    scores = [o for o in scores if o is not boxes[0]]
    need(len(scores) == 1, f"no output holds the scores of {anchors} boxes")
    boxes_name, scores_name = boxes[0].name, scores[0].name

    def decode(outputs: Dict[str, np.ndarray], request: Request) -> Rows:
        rows, best, ids = pick(outputs[scores_name][0], request, axis)
        return Rows(outputs[boxes_name][0, rows], best, ids)

    def plausible(outputs: Dict[str, np.ndarray]) -> bool:
        return likely_scores(outputs[scores_name]) and not likely_scores(outputs[boxes_name])

    return Bound(decode, scores[0].shape[1 + axis], plausible)


def _not_scores(name: str, signature: Signature) -> bool:
    """Whether an output is known to hold boxes, by its name or by values beyond 0..1."""
    if "box" in name.lower():
        return True
    return signature.probe is not None and not likely_scores(signature.probe[name])


PICODET = Family(
    name="picodet",
    layout="[N, A, 4] corners in pixels and [N, classes, A] scores; an anchor for each cell of "
    "strides 8, 16, 32, 64",
    bind=partial(_bind, strides=(8, 16, 32, 64), axis=0),
    input={
        "colour": "rgb",
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "resize": "stretch",
    },
)
DAMO = Family(
    name="damo-yolo",
    layout="[N, A, classes] scores and [N, A, 4] corners in pixels; an anchor for each cell of "
    "strides 8, 16, 32",
    bind=partial(_bind, strides=(8, 16, 32), axis=1),
    input={"colour": "rgb", "scale": 1.0, "resize": "letterbox", "pad": 0},
    nms_iou=0.7,
)
