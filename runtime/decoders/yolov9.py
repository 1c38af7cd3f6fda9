"""YOLOv9, MIT edition: nine maps, class logits, distributions and distances of three strides.

Source: the model's own description: corners = cell centre -/+ distances, in strides. The
distributions are what the distances were made from, and are not looked at.
"""

import dataclasses
from typing import Dict, List, Tuple

import numpy as np

from .base import (
    Bound,
    Family,
    Request,
    Rows,
    Signature,
    grid,
    level_shapes,
    logit,
    need,
    pick,
    sides_to_corners,
    sigmoid,
)
from .nanodet import join

_STRIDES = (8, 16, 32)


def _bind(signature: Signature) -> Bound:
    levels: List[Tuple[str, str]] = []
    widths = set()
    need(len(signature.outputs) in (6, 9), "there are not three outputs for each of three strides")
    for cells, stride in zip(level_shapes(signature.size, _STRIDES), _STRIDES):
        maps = [o for o in signature.outputs if len(o.shape) == 4 and o.shape[2:] == cells]
        need(len(maps) == 2, f"stride {stride} does not have class scores and distances")
        sides = [o for o in maps if o.shape[1] == 4]
        need(sides, f"stride {stride} has no map of four distances")
        scores = maps[0] if maps[0] is not sides[-1] else maps[1]  # with four classes they lead
        levels.append((scores.name, sides[-1].name))
        widths.add(scores.shape[1])
    need(len(widths) == 1, "the strides do not agree on the number of classes")
    classes = widths.pop()

    def decode(outputs: Dict[str, np.ndarray], request: Request) -> Rows:
        raw = dataclasses.replace(request, confidence=logit(request.confidence))
        parts = []
        for (scores_name, sides_name), stride in zip(levels, _STRIDES):
            table = outputs[scores_name][0]
            rows, scores, ids = pick(table.reshape(len(table), -1), raw, axis=0)
            if rows.size:
                points, _ = grid(request.size, (stride,), 0.5)
                sides = outputs[sides_name][0].reshape(4, -1)[:, rows].T * np.float32(stride)
                parts.append((sides_to_corners(points[rows], sides), sigmoid(scores), ids))
        return join(parts)

    return Bound(decode, classes)


YOLOV9 = Family(
    name="yolov9-mit",
    layout="for each of strides 8, 16, 32 class logits [N, classes, h, w], distributions "
    "[N, bins, 4, h, w] and distances [N, 4, h, w] in strides",
    bind=_bind,
    input={"colour": "rgb", "scale": 1 / 255, "resize": "centre", "pad": 114},
)
